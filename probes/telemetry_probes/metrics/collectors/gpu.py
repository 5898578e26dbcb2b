# SPDX-License-Identifier: Apache-2.0
"""What graphics cards do: how busy they are, their memory, power, temperature, clock.

AMD's and Intel's are read from Linux' files (`gpufiles`), the others asked by their makers' programs (`gpuprograms`).
"""

from __future__ import annotations

from telemetry_probes.metrics import gpufiles, gpuprograms, gpus
from telemetry_probes.metrics.hardware import Row
from telemetry_probes.metrics.model import Absent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "graphics cards: use, memory, power, temperature"
INTERVAL_S = 10.0
METRICS = gpus.METRICS


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self.series: Sequence[Series] = ()
        self._row = Row()
        self._files: list[gpufiles.FileCard] = []
        self._programs: list[gpuprograms.Source] = []
        try:
            self._files = gpufiles.file_cards(places)
            self._programs = [
                source for source in (gpuprograms.nvidia(places), gpuprograms.tegra(places)) if source is not None
            ]
            if not self._files and not self._programs and (source := gpuprograms.others(places)) is not None:
                self._programs.append(source)
        except OSError:
            self.close()
            raise
        if not self._files and not self._programs:
            raise Absent(
                "there is no graphics card that says what it does; for NVIDIA's nvidia-smi has to be installed,"
                " for others nvtop may help"
            )

    def sample(self, now_s: float) -> Sequence[Value]:
        cards = [source.card() for source in self._files]
        for program in self._programs:
            cards += program.cards(now_s)
        row = self._row.of([point for card in cards for point in card.points()])
        self.series = self._row.series
        return row

    def close(self) -> None:
        for card in self._files:
            card.close()
        for program in self._programs:
            program.close()
        self._files = []
        self._programs = []

# SPDX-License-Identifier: Apache-2.0
"""Graphics cards that a program has to be asked about: NVIDIA's, and those that Linux' files say nothing of.

nvidia-smi and tegrastats are started once and go on saying lines: starting nvidia-smi each time costs more than all
else here. Where a card may be suspended that would keep it awake: then nvidia-smi is run once a minute, and not while
all cards are suspended. rocm-smi and nvtop are run once a minute.
"""

from __future__ import annotations

from telemetry_probes.metrics.commands import Program, Stream
from telemetry_probes.metrics.gpufiles import nvidia_devices
from telemetry_probes.metrics.gpus import (
    CARDS_MAX,
    NVIDIA_FIELDS,
    ROCM_FLAGS,
    Card,
    of_nvidia,
    of_nvtop,
    of_rocm,
    of_tegra,
)
from telemetry_probes.metrics.model import Absent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from telemetry_probes.metrics.places import Places

    class Source(Protocol):
        """What knows of cards."""

        def cards(self, now_s: float) -> list[Card]:
            """All that it knows of. OSError: it doesn't answer any longer. Absent: it never has."""

        def close(self) -> None:
            """Ends what it started."""


SECONDS_MAX = 10.0
FIRST_LINE_SECONDS_MAX = 8.0
OUTPUT_BYTES_MAX = 1 << 18
LOOP_S = 10
FRESH_S = 2.5 * LOOP_S
"""What is older isn't told any longer."""
SILENT_S = 90
"""A program that goes on saying lines and hasn't for so long is ended, and started anew by the next sample."""
ASK_EVERY_S = 60
MODEL = "/proc/device-tree/model"
_EIO, _ETIMEDOUT = 5, 110


class Streamed:
    """A program that says a line about each card every LOOP_S."""

    def __init__(self, command: Sequence[str], understood: Callable[[bytes], Card | None]) -> None:
        self._program = command[0]
        self._understood = understood
        self._known: dict[str, tuple[float, Card]] = {}
        self._silent_s: float | None = None
        self._asked = False
        self._stream = Stream(command)

    def cards(self, now_s: float) -> list[Card]:
        if not self._asked:
            self._asked = True
            self._stream.wait(FIRST_LINE_SECONDS_MAX)
        lines = self._stream.lines()
        if lines is None:
            if not self._known:
                raise Absent(f"{self._program} finds no card: run it by hand to see why")
            raise OSError(_EIO, f"{self._program} ended: run it by hand to see why")
        for line in lines:
            card = self._understood(line)
            if card is not None and (card.id in self._known or len(self._known) < CARDS_MAX):
                self._known[card.id] = (now_s, card)
        # Since the first time it was heard that it is silent: a machine that slept hasn't heard it for hours.
        if lines:
            self._silent_s = None
        elif self._silent_s is None:
            self._silent_s = now_s
        elif now_s - self._silent_s > SILENT_S:
            raise TimeoutError(_ETIMEDOUT, f"{self._program} says nothing any longer: look for its driver in dmesg")
        return [card if now_s - heard_s <= FRESH_S else card.silent() for heard_s, card in self._known.values()]

    def close(self) -> None:
        self._stream.close()


class Asked:
    """A program that is run once a minute at most. may: whether it may be run now; else the cards say nothing."""

    def __init__(
        self,
        program: Program,
        arguments: Sequence[str],
        understood: Callable[[bytes], list[Card]],
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self._program = program
        self._arguments = arguments
        self._understood = understood
        self._may = may
        self._asked_s: float | None = None
        self._cards: list[Card] = []

    def cards(self, now_s: float) -> list[Card]:
        if self._asked_s is None or now_s - self._asked_s >= ASK_EVERY_S - 1:
            self._asked_s = now_s
            if self._may():
                ran = self._program.run(now_s, *self._arguments)
                self._cards = self._understood(ran.output) if ran.status == 0 else []
            else:
                self._cards = [card.silent() for card in self._cards]
        return self._cards

    def close(self) -> None:
        """It keeps nothing open."""


def nvidia(places: Places) -> Source | None:
    """nvidia-smi, where it is."""
    path = places.program("nvidia-smi")
    if not path:
        return None
    asked = [f"--query-gpu={','.join(NVIDIA_FIELDS)}", "--format=csv,noheader,nounits"]
    devices = nvidia_devices(places)
    if not any(places.word(f"{device}/power/control") == "auto" for device in devices):
        return Streamed([path, *asked, f"--loop={LOOP_S}"], of_nvidia)

    def awake() -> bool:
        return any(places.word(f"{device}/power/runtime_status") != "suspended" for device in devices)

    return Asked(Program(path, SECONDS_MAX, OUTPUT_BYTES_MAX), asked, _nvidia_lines, awake)


def tegra(places: Places) -> Source | None:
    """tegrastats of a Jetson, where it is."""
    path = places.program("tegrastats")
    model = places.word(MODEL).rstrip("\0")
    return Streamed([path, "--interval", str(LOOP_S * 1000)], lambda line: of_tegra(line, model)) if path else None


def others(places: Places) -> Source | None:
    """rocm-smi, or else nvtop."""
    for name, arguments, understood in (("rocm-smi", ROCM_FLAGS, of_rocm), ("nvtop", ("--snapshot",), of_nvtop)):
        path = places.program(name)
        if path:
            return Asked(Program(path, SECONDS_MAX, OUTPUT_BYTES_MAX), arguments, understood)
    return None


def _nvidia_lines(output: bytes) -> list[Card]:
    return [card for line in output.split(b"\n")[:CARDS_MAX] if (card := of_nvidia(line)) is not None]

# SPDX-License-Identifier: Apache-2.0
"""What a collector says of itself, and what it gives: metrics, series of them, and rows of values.

A row has a value for each series, in their order: what is sampled every few seconds makes no object but that row. Names
and units follow OpenTelemetry's semantic conventions where they have them; ours begin with `x.`. Pure: no I/O.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final, Protocol

    from telemetry_probes.metrics.places import Places

    Value = int | float | None
    """None: there is none now. Neither NaN nor infinity."""

    class Collector(Protocol):
        """What the class `Collector` in each file of collectors/ has. The file's name is the collector's.

        A file also has the constants TITLE (what it tells, a few words), INTERVAL_S (the default), METRICS (all that it
        may give), and OPTIONS (what its table in the configuration takes; most take none). QUICK = True stands in those
        that only read what the kernel has at hand: they are sampled in the loop. The others are sampled in a thread,
        and may wait: for a program, a socket, a disk, a sensor. A function wrong(options) stands in those whose options
        can be of the right type and of no use: it returns (option, problem, remedy) for each such one.
        """

        series: Sequence[Series]
        """What the values of a row belong to. Another object as soon as it is other series, and the same otherwise."""

        def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
            """Opens what it reads. Absent where this machine has nothing of the kind; it is asked again later on."""

        def sample(self, now_s: float) -> Sequence[Value]:
            """The row of now, as long as `series` is afterwards. now_s: seconds since the boot, asleep or not. It may
            raise Absent, OSError or ValueError: then there is no row, and the failure is told as a metric."""

        def close(self) -> None:
            """Gives back what it opened."""

    class Listening(Collector, Protocol):
        """A QUICK collector to which something is sent, as to statsd. Nothing else has `ready`."""

        fd: int
        """The loop waits for it to become readable."""

        def ready(self) -> bool:
            """Takes what has come, a bounded part of it at a time, never waiting. Whether too much comes: then it is
            left alone for a moment, and who sends has to wait."""

    Option = str | int | float | bool | Sequence[str]
    """A value of a collector's table in the configuration."""

COUNTER: Final = "counter"
"""Only grows, but for a reset; cumulative."""
GAUGE: Final = "gauge"
"""Goes up and down."""


class Absent(Exception):
    """This machine doesn't have it; the text says why, and what to do where something can be done."""


class Metric:
    """A thing that is measured. unit as in UCUM: s, By, 1, Cel, {process}. In METRICS a name that ends in `.*` stands
    for all that begin so: those that a collector learns from others."""

    __slots__ = ("kind", "name", "text", "unit")

    def __init__(self, name: str, unit: str, kind: str, text: str) -> None:
        self.name = name
        self.unit = unit
        self.kind = kind
        self.text = text

    def series(self, *attributes: tuple[str, str]) -> Series:
        """That of these attributes, (name, value) each."""
        return Series(self, attributes)


class Series:
    """One metric of one thing: a disk, a mode of a processor. Words go into attributes, with the value 1."""

    __slots__ = ("attributes", "metric")

    def __init__(self, metric: Metric, attributes: tuple[tuple[str, str], ...] = ()) -> None:
        self.metric = metric
        self.attributes = attributes


class Choice:
    """An option of a collector's table in the configuration. The default's type is the option's."""

    __slots__ = ("default", "name", "text")

    def __init__(self, name: str, default: Option, text: str) -> None:
        self.name = name
        self.default = default
        self.text = text

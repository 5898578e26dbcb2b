# SPDX-License-Identifier: Apache-2.0
"""What the operator measures: programs in a folder, and files that others write, both in Prometheus' text format.

A program runs as the user that metricprobe is, as root never: then it becomes telemetry first. One that others than its
owner, or root, could have changed isn't run.
"""

from __future__ import annotations

import posix
import time

from telemetry_probes.metrics import commands, exposition
from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Choice, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.exposition import Sample
    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

    _Attributes = tuple[tuple[str, str], ...]
    _Key = tuple[str, _Attributes]
    _Found = tuple[Metric, _Attributes, Value]

FOLDER: Final = "/etc/telemetrics/metrics.d"
TEXT_FILES: Final = "/var/lib/prometheus/node-exporter"
SOURCES_MAX: Final = 32
"""Programs and files; what is more is told as a failure."""
SERIES_MAX: Final = 2000
"""Of all of them."""
TEXT_BYTES_MAX: Final = 262_144
"""Of one program or file."""
PROGRAM_S: Final = 5.0
ALL_S: Final = 20.0
"""For all of them together; the last ones aren't run when it is over."""
SOURCE_CHARS_MAX: Final = 200
USER: Final = "telemetry"
AS_USER: Final = (f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--")
"""Of setpriv(1)."""

GAUGES: Final = Metric("x.own.*", "1", GAUGE, "A gauge that a program or a file gives, under its own name")
COUNTERS: Final = Metric("x.own.*", "1", COUNTER, "A counter that a program or a file gives, under its own name")
FAILURE: Final = Metric("x.metricprobe.own.failure", "1", GAUGE, "1: a program or file gave nothing, for that reason")
WRITTEN: Final = Metric("x.metricprobe.own.written", "s", GAUGE, "When a file was written, since 1970")

TITLE = "the operator's own programs and files"
INTERVAL_S = 60.0
METRICS = (GAUGES, COUNTERS, FAILURE, WRITTEN)
OPTIONS = (
    Choice("folder", FOLDER, "Programs in there are run; files in there that end in .prom are read."),
    Choice("text_files", TEXT_FILES, "Files in there that end in .prom are read, as node_exporter does."),
)

_UNITS: Final = {"seconds": "s", "bytes": "By", "celsius": "Cel", "volts": "V", "amperes": "A", "joules": "J"}
_WRITABLE: Final = 0o022
_S_IFMT, _S_IFDIR = 0o170000, 0o040000
_EFBIG: Final = 27
_SPECIAL: Final = ("/", ".", "~")


class Collector:
    """Looks into both folders anew at each sample."""

    __slots__ = ("_folder", "_known", "_metrics", "_pauses", "_places", "_text_files", "series")

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._places = places
        self._folder = str(options["folder"])
        self._text_files = str(options["text_files"])
        if not self._sources():
            raise Absent(
                f"there is neither a program in {self._folder} nor a file NAME.prom in {self._text_files}: put one"
                " there"
            )
        self.series: Sequence[Series] = ()
        self._known: dict[_Key, Series] = {}
        self._metrics: dict[str, Metric] = {}
        self._pauses: dict[str, float] = {}

    def sample(self, now_s: float) -> Sequence[Value]:
        """All that is given now. What fails is told with its reason, and is in nobody else's way."""
        sources = self._sources()
        if not sources:
            raise Absent(f"there is no program or file any more in {self._folder} and {self._text_files}")
        self._pauses = {path: until_s for path, until_s in self._pauses.items() if until_s > now_s and path in sources}
        found: list[_Found] = []
        taken: dict[_Key, Metric] = {}
        end_s = time.monotonic() + ALL_S
        for count, path in enumerate(sources):
            source = ("source", _shown(path.removeprefix(f"{self._folder}/")))
            try:
                if count >= SOURCES_MAX:
                    raise ValueError(f"there are more than {SOURCES_MAX} programs and files")
                if path.endswith(".prom"):
                    text, written_s = self._file(path)
                    found.append((WRITTEN, (source,), written_s))
                elif time.monotonic() < end_s:
                    text = self._said(path, now_s)
                else:
                    raise TimeoutError
                found += self._taken(exposition.samples(text), taken)
            except (OSError, ValueError) as error:
                found.append((FAILURE, (source, ("reason", _reason(error))), 1))
        return self._row(found)

    def close(self) -> None:
        """Nothing is open between two samples."""

    def _sources(self) -> list[str]:
        found = [
            f"{self._folder}/{name}" for name in self._places.listed(self._folder) if not name.startswith(_SPECIAL)
        ]
        if self._text_files != self._folder:
            found += [f"{self._text_files}/{name}" for name in self._places.listed(self._text_files)]
        return [path for path in found if self._is_source(path)]

    def _is_source(self, path: str) -> bool:
        if path.endswith(".prom"):
            return not path.rpartition("/")[2].startswith(".")
        if not path.startswith(f"{self._folder}/") or path.endswith("~"):
            return False
        try:
            return bool(posix.stat(self._places.path(path)).st_mode & 0o111) and not self._is_folder(path)
        except OSError:
            return False

    def _is_folder(self, path: str) -> bool:
        return posix.stat(self._places.path(path)).st_mode & _S_IFMT == _S_IFDIR

    def _file(self, path: str) -> tuple[bytes, int]:
        written_s = int(posix.stat(self._places.path(path)).st_mtime)
        text = self._places.read(path, TEXT_BYTES_MAX + 1)
        if len(text) > TEXT_BYTES_MAX:
            raise ValueError(f"it is larger than {TEXT_BYTES_MAX} bytes")
        return text, written_s

    def _said(self, path: str, now_s: float) -> bytes:
        real = self._places.path(path)
        ours = (0, posix.geteuid())
        for each in (real.rpartition("/")[0], real):
            status = posix.stat(each)
            if status.st_uid not in ours or status.st_mode & _WRITABLE:
                raise ValueError(f"others could change {_shown(each.rpartition('/')[2])}: chown root, chmod go-w")
        command = [real]
        if posix.geteuid() == 0:
            setpriv = self._places.program("setpriv")
            if not setpriv:
                raise ValueError("root runs no such program, and setpriv, by which it becomes another, isn't there")
            command = [setpriv, *AS_USER, real]
        if path in self._pauses:
            raise TimeoutError
        try:
            ran = commands.run(command, PROGRAM_S, TEXT_BYTES_MAX)
        except TimeoutError:
            self._pauses[path] = now_s + commands.PAUSE_S
            raise
        if ran.status:
            raise ValueError(f"it ended with {ran.status}: run it by hand, as user {USER}")
        return ran.output

    def _taken(self, samples: list[Sample], taken: dict[_Key, Metric]) -> list[_Found]:
        """All samples of a source, or none: ValueError."""
        found: list[_Found] = []
        fresh: dict[_Key, Metric] = {}
        kinds = {name: metric for (name, _), metric in taken.items()}
        for sample in samples:
            metric = self._metric(sample)
            key = metric.name, sample.labels
            if kinds.setdefault(metric.name, metric) is not metric:
                raise ValueError(f"{sample.name} is of another type where it was given before")
            if key in taken:
                raise ValueError(f"{sample.name} was given by another already")
            fresh[key] = metric
            found.append((metric, sample.labels, None if sample.counts and sample.value < 0 else sample.value))
        if len(taken) + len(fresh) > SERIES_MAX:
            raise ValueError(f"there are more than {SERIES_MAX} values in all")
        taken.update(fresh)
        return found

    def _metric(self, sample: Sample) -> Metric:
        key = f"{sample.name} {sample.counts}"
        metric = self._metrics.get(key)
        if metric is None:
            if len(self._metrics) >= SERIES_MAX:
                self._metrics.clear()
            family = COUNTERS if sample.counts else GAUGES
            name = f"x.own.{sample.name}"
            metric = self._metrics[key] = Metric(name, unit(sample.name), family.kind, family.text)
        return metric

    def _row(self, found: list[_Found]) -> list[Value]:
        """Each once. Its series are the same object as long as they are the same ones."""
        once = {(metric.name, attributes): (metric, value) for metric, attributes, value in found}
        series: list[Series] = []
        for (name, attributes), (metric, _) in once.items():
            one = self._known.get((name, attributes))
            series.append(one if one is not None and one.metric is metric else metric.series(*attributes))
        if len(series) != len(self.series) or any(
            one is not other for one, other in zip(series, self.series, strict=True)
        ):
            self.series = series
            self._known = {(one.metric.name, one.attributes): one for one in series}
        return [value for _, value in once.values()]


def not_run(places: Places, folder: str) -> tuple[list[str], list[str]]:
    """What keeps programs in there from being run, as PATH: PROBLEM; REMEDY: mistakes, and what may be meant so."""
    names = [name for name in places.listed(folder) if not name.startswith(_SPECIAL)]
    names = [name for name in names if not name.endswith(("~", ".prom"))]
    if not names:
        return [], []
    owners = _owners()
    mistakes: list[str] = []
    warnings: list[str] = []
    programs = 0
    for path in (folder, *(f"{folder}/{name}" for name in names)):
        try:
            status = posix.stat(places.path(path))
        except FileNotFoundError:
            continue  # a link to nothing is nobody's program
        except OSError as error:
            mistakes.append(f"{_shown(path)}: it can't be looked at ({error.strerror}); remove it, or be root")
            continue
        if path != folder:
            if status.st_mode & _S_IFMT == _S_IFDIR:
                continue
            if not status.st_mode & 0o111:
                warnings.append(f"{_shown(path)}: it isn't executable, so that it isn't run; to have it run: chmod a+x")
                continue
            programs += 1
        if status.st_uid not in owners or status.st_mode & _WRITABLE:
            mistakes.append(f"{_shown(path)}: others could change it, so that it isn't run; chown root, chmod go-w")
    if programs > SOURCES_MAX:
        mistakes.append(f"{_shown(folder)}: there are more than {SOURCES_MAX} programs; take some away")
    return mistakes, warnings


def wrong(options: Mapping[str, Option]) -> Sequence[tuple[str, str, str]]:
    """See model.Collector."""
    return [
        (name, "that is no absolute path", "write one, which begins with /")
        for name in ("folder", "text_files")
        if not str(options[name]).startswith("/") or "\0" in str(options[name])
    ]


def _owners() -> tuple[int, ...]:
    """Whose programs may be run: root's, and those of whom they are run as, by the service or from here."""
    import pwd

    try:
        return (0, posix.geteuid(), pwd.getpwnam(USER).pw_uid)
    except KeyError:
        return (0, posix.geteuid())


def unit(name: str) -> str:
    """That of a metric by its name's end, as Prometheus' conventions have it; 1 for none that is known."""
    return _UNITS.get(name.removesuffix("_total").rpartition("_")[2], "1")


def _shown(name: str) -> str:
    """Its end, on one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[-SOURCE_CHARS_MAX:])


def _reason(error: OSError | ValueError) -> str:
    """In one line, without what a program said."""
    if isinstance(error, TimeoutError):
        return "too slow"
    if isinstance(error, OSError):
        if error.errno == _EFBIG:
            return f"it said more than {TEXT_BYTES_MAX} bytes"
        return (error.strerror or "can't be read")[:100]
    return str(error)[:200]

# SPDX-License-Identifier: Apache-2.0
"""What each collector makes of the machines of metrics/, and that nothing in a file makes one give nonsense.

What is hostile is tried on all collectors alike: files that are missing, empty, cut, of other bytes, or whose numbers
are the largest there are.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import metricscenes
import pytest
from metricscenes import BOOTED_S, SCENES, Seen, checked, later, options, placed, put, sampled
from waiting import wait_until

from telemetry_probes.metrics import discovery
from telemetry_probes.metrics.collectors import battery, sensors
from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent
from telemetry_probes.metrics.places import Places
from telemetry_probes.metrics.readings import Readings

if TYPE_CHECKING:
    from telemetry_probes.metrics.model import Collector

NAMES = discovery.names()
GOLDEN = metricscenes.golden()

TRIES_QUICK, TRIES_SLOW = 300, 24
"""How often a scene is changed for one collector; those that aren't QUICK may run programs."""
NAME = re.compile(r"(system|process|container|hw|x)(\.[a-z0-9]+(_[a-z0-9]+)*)+(\.\*)?")
UNIT = re.compile(r"1|s|ms|By|By/s|bit/s|Hz|Cel|V|A|W|J|W\.h|A\.h|dBm|%|rpm|\{[a-z_]+\}(/s)?|[0-9.]*/s")
WHAT_ALL_TAKE = {"enabled", "interval_s"}


@pytest.mark.parametrize("name", NAMES)
def test_every_collector_has_a_golden_file(name: str) -> None:
    assert [scene for scene, collector in GOLDEN if collector == name]


@pytest.mark.parametrize(("scene", "name"), GOLDEN)
def test_what_is_measured(scene: str, name: str, tmp_path: Path) -> None:
    expected = json.loads((SCENES / scene / f"{name}.json").read_text())
    assert sampled(scene, name, tmp_path) == expected


@pytest.mark.parametrize("scene", sorted({scene for scene, _ in GOLDEN}))
def test_scene_says_where_it_is_from(scene: str) -> None:
    said = (SCENES / scene / "SOURCE.md").read_text()
    assert any(word in said for word in ("captured", "package", "constructed"))
    for path in (SCENES / scene).rglob("*"):
        if path.is_symlink():
            assert not os.readlink(path).startswith("/"), f"{path} leads out of the scene"


@pytest.mark.parametrize("name", NAMES)
def test_what_a_collector_says_of_itself(name: str) -> None:
    kind = discovery.kind(name)
    assert kind.title and not kind.title.endswith(".")
    assert discovery.INTERVAL_S_MIN <= kind.interval_s <= discovery.INTERVAL_S_MAX
    assert len({(metric.name, metric.kind) for metric in kind.metrics}) == len(kind.metrics) > 0
    for metric in kind.metrics:
        assert NAME.fullmatch(metric.name.removesuffix(".*")), metric.name
        assert UNIT.fullmatch(metric.unit), f"{metric.name}: {metric.unit}"
        assert metric.kind in (COUNTER, GAUGE)
        assert metric.text and not metric.text.endswith(".")
    assert len({choice.name for choice in kind.options}) == len(kind.options)
    for choice in kind.options:
        assert choice.name.isidentifier() and choice.text and choice.name not in WHAT_ALL_TAKE
        assert isinstance(choice.default, str | int | float) or all(isinstance(word, str) for word in choice.default)


SOON_S = 30.0
"""Far more than a thread needs to read a scene's files."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read by a thread is waited for, and not told the next time."""
    for module in (battery, sensors):
        monkeypatch.setattr(module, "Readings", functools.partial(Readings, wait_s=SOON_S))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def open_at_the_end(before: int) -> int:
    """Descriptors. A scene's server closes a connection in a thread of its own, perhaps that of the test before."""
    wait_until(lambda: descriptors() <= before, f"no more than {before} descriptors are open")
    return descriptors()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_there(name: str, tmp_path: Path) -> None:
    """An empty root: absent with a reason, or a row that is right; and all is given back."""
    kind = discovery.kind(name)
    before = descriptors()
    try:
        collector = kind.collector(Places(str(tmp_path)), {choice.name: choice.default for choice in kind.options})
    except Absent as absent:
        assert 0 < len(str(absent)) <= 200 and "\n" not in str(absent)
    else:
        attempt(kind, collector)
        collector.close()
    assert open_at_the_end(before) <= before


@pytest.mark.parametrize(("scene", "name"), GOLDEN)
def test_series_are_another_object_only_where_they_are_others(scene: str, name: str, tmp_path: Path) -> None:
    kind = discovery.kind(name)
    before = descriptors()
    with placed(scene, tmp_path) as places:
        try:
            collector = kind.collector(places, options(scene, kind))
        except Absent:
            return
        for now_s in (BOOTED_S, BOOTED_S + 60):  # some know only the second time what there is
            collector.sample(now_s)
        series = collector.series
        collector.sample(BOOTED_S + 120)
        assert collector.series is series
        collector.close()
    assert open_at_the_end(before) <= before


def attempt(kind: discovery.Kind, collector: Collector) -> None:
    """Two samples of what there is: right, or refused."""
    for now_s in (BOOTED_S + 120, BOOTED_S + 120.5):
        try:
            row = collector.sample(now_s)
        except (Absent, OSError, ValueError):
            continue
        checked(kind, collector, row)


def try_anew(scene: str, kind: discovery.Kind, places: Places) -> None:
    try:
        collector = kind.collector(places, options(scene, kind))
    except (Absent, OSError, ValueError):
        return
    try:
        attempt(kind, collector)
    finally:
        collector.close()


def files_asked(scene: str, kind: discovery.Kind, places: Seen, root: Path) -> list[tuple[Path, bytes]]:
    """The files of the placed scene that the collector reads, and what is in them; the first of them where they are
    many."""
    try_anew(scene, kind, places)
    paths = [root / name.lstrip("/") for name in sorted(places.asked)]
    found = [(path, path.read_bytes()) for path in paths if path.is_file()]
    return found[: TRIES_QUICK if kind.quick else TRIES_SLOW]


def spread(size: int, most: int) -> Iterator[int]:
    """Places in so many bytes, all of them where they are few."""
    step = max(1, -(-size // max(1, most)))
    return iter(range(0, size, step + (step > 1 and step % 2 == 0)))


def changed_in_place(scene: str, name: str, tmp_path: Path, changes: Callable[[bytes, int], Iterator[bytes]]) -> None:
    """Each file the collector reads, changed in each way, both before it is opened and while it is open."""
    kind = discovery.kind(name)
    with placed(scene, tmp_path) as places:
        files = files_asked(scene, kind, places, tmp_path / "root")
        each = max(2, (TRIES_QUICK if kind.quick else TRIES_SLOW) // max(1, len(files)))
        for path, content in files:
            for new in changes(content, each):
                put(path, new)
                try_anew(scene, kind, places)
                put(path, content)
            try:
                collector = kind.collector(places, options(scene, kind))
            except (Absent, OSError, ValueError):
                continue
            attempt(kind, collector)
            for new in changes(content, each):
                put(path, new)
                attempt(kind, collector)
            collector.close()
            put(path, content)


@pytest.mark.parametrize(("scene", "name"), GOLDEN)
def test_files_that_are_cut(scene: str, name: str, tmp_path: Path) -> None:
    before = descriptors()
    changed_in_place(
        scene, name, tmp_path, lambda content, each: (content[:size] for size in spread(len(content), each))
    )
    assert open_at_the_end(before) <= before


def others(content: bytes, _: int) -> Iterator[bytes]:
    yield re.sub(rb"[0-9]+", b"18446744073709551615", content)
    yield re.sub(rb"[0-9]+", b"-1", content)
    yield re.sub(rb"[0-9]+", b"99999999999999999999999999999999", content)
    yield re.sub(rb"[0-9]+", b"0", content)
    yield re.sub(rb"[0-9]+", b"nan", content)
    yield content.replace(b" ", b"\n")
    yield content.replace(b"\n", b" ")
    yield re.sub(rb"[a-z]", b"\xff", content)
    yield b"\x00" * len(content)
    yield content * 3


@pytest.mark.parametrize(("scene", "name"), GOLDEN)
def test_files_with_other_content(scene: str, name: str, tmp_path: Path) -> None:
    before = descriptors()
    changed_in_place(scene, name, tmp_path, others)
    assert open_at_the_end(before) <= before


@pytest.mark.parametrize(("scene", "name"), GOLDEN)
def test_files_that_go(scene: str, name: str, tmp_path: Path) -> None:
    """Missing at the start, missing later; a folder in its place, and a pipe, which would keep a reader waiting."""
    kind = discovery.kind(name)
    before = descriptors()
    with placed(scene, tmp_path) as places:
        for path, content in files_asked(scene, kind, places, tmp_path / "root"):
            path.unlink()
            try_anew(scene, kind, places)
            path.mkdir()
            try_anew(scene, kind, places)
            path.rmdir()
            os.mkfifo(path)
            try_anew(scene, kind, places)
            path.unlink()
            put(path, content)
            try:
                collector = kind.collector(places, options(scene, kind))
            except (Absent, OSError, ValueError):
                continue
            path.unlink()
            attempt(kind, collector)
            put(path, content)
            attempt(kind, collector)
            collector.close()
    assert open_at_the_end(before) <= before


@pytest.mark.parametrize(("scene", "name"), GOLDEN)
def test_counters_of_a_scene_only_grow(scene: str, name: str, tmp_path: Path) -> None:
    kind = discovery.kind(name)
    with placed(scene, tmp_path) as places:
        try:
            collector = kind.collector(places, options(scene, kind))
        except Absent:
            return
        first = checked(kind, collector, collector.sample(BOOTED_S))
        later(scene, tmp_path / "root")
        then = checked(kind, collector, collector.sample(BOOTED_S + 10))
        counters = {metricscenes.key(series) for series in collector.series if series.metric.kind == COUNTER}
        collector.close()
    for counter in counters & set(first):
        was, now = first[counter], then[counter]
        assert was is None or now is None or now >= was, counter

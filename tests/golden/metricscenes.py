# SPDX-License-Identifier: Apache-2.0
"""Machines as trees of files, and what collectors make of them. metrics/README.md says what a scene consists of.

`.venv/bin/python tests/golden/metricscenes.py SCENE COLLECTOR...` writes what is expected of those anew: read the
difference.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry_probes.metrics import discovery
from telemetry_probes.metrics.model import COUNTER, Absent
from telemetry_probes.metrics.places import Places, Space

if TYPE_CHECKING:
    from telemetry_probes.metrics.model import Collector, Option, Series, Value

SCENES = Path(__file__).parent / "metrics"
BOOTED_S = 1000.0
"""How long the machines of all scenes are up at the first sample."""
LATER_S = 10.0
"""After which the second comes, where a scene has one."""
U64_MAX = 2**64 - 1
MEASURED = ("x.http.response_time",)
"""What a stopwatch says: a golden file has "measured" for it."""


class Seen(Places):
    """The root of a scene: remembers which files were asked for, and knows the file systems of space.json."""

    __slots__ = ("asked", "spaces")

    def __init__(self, scene: Path, root: Path) -> None:
        super().__init__(str(root))
        self.asked: set[str] = set()
        self.spaces: dict[str, list[int]] = {}
        if (scene / "space.json").exists():
            self.spaces = json.loads((scene / "space.json").read_text())

    def opened(self, name: str) -> int:
        self.asked.add(name)
        return super().opened(name)

    def read(self, name: str, bytes_max: int = 1 << 20) -> bytes:
        self.asked.add(name)
        return super().read(name, bytes_max)

    def space(self, name: str) -> Space:
        if name not in self.spaces:
            raise FileNotFoundError(2, os.strerror(2), name)
        return Space(*self.spaces[name])


def golden() -> list[tuple[str, str]]:
    """(scene, collector) of all that is expected."""
    return sorted((path.parent.name, path.stem) for path in SCENES.glob("*/*.json") if path.stem in discovery.names())


@contextlib.contextmanager
def placed(scene: str, where: Path) -> Iterator[Seen]:
    """A copy of the scene below where, and with what its scene.py starts for it."""
    folder = SCENES / scene
    root = where / "root"
    shutil.copytree(folder / "root", root, symlinks=True)
    with contextlib.ExitStack() as started:
        if (folder / "scene.py").exists():
            spec = importlib.util.spec_from_file_location(f"scene_{scene.replace('-', '_')}", folder / "scene.py")
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            started.enter_context(module.around(root))
        yield Seen(folder, root)


def later(scene: str, root: Path) -> bool:
    """Put the files of later/ over those of the root, into the same inodes. Whether the scene has it."""
    folder = SCENES / scene / "later"
    if not folder.exists():
        return False
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            there = root / path.relative_to(folder)
            there.parent.mkdir(parents=True, exist_ok=True)
            put(there, path.read_bytes())
    return True


def put(path: Path, content: bytes) -> None:
    """Into the same inode, and without the sync that ext4 adds where a file is emptied and written."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    try:
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
    finally:
        os.close(fd)


def options(scene: str, kind: discovery.Kind) -> Mapping[str, Option]:
    """The defaults, and those that the scene's options.json has."""
    chosen: dict[str, Option] = {choice.name: choice.default for choice in kind.options}
    file = SCENES / scene / "options.json"
    if file.exists():
        chosen.update(json.loads(file.read_text()).get(kind.name, {}))
    return chosen


def key(series: Series) -> str:
    """As in system.cpu.time{cpu.mode=user}."""
    attributes = ",".join(f"{name}={value}" for name, value in series.attributes)
    return f"{series.metric.name}{{{attributes}}}" if attributes else series.metric.name


def checked(kind: discovery.Kind, collector: Collector, row: Any) -> dict[str, Value]:
    """The row by its series. AssertionError where a collector gives what none may."""
    assert len(row) == len(collector.series), f"{len(row)} values, {len(collector.series)} series"
    known = set(map(id, kind.metrics))
    families = tuple((metric.name[:-1], metric.kind) for metric in kind.metrics if metric.name.endswith(".*"))
    found: dict[str, Value] = {}
    for series, value in zip(collector.series, row, strict=True):
        name = key(series)
        assert id(series.metric) in known or any(
            series.metric.name.startswith(begin) and series.metric.kind == kind_of_all
            for begin, kind_of_all in families
        ), f"{name} is of a metric that METRICS doesn't have"
        assert name not in found, f"{name} twice"
        for attribute, text in series.attributes:
            assert {type(attribute), type(text)} == {str}, f"{name}: an attribute is no text"
            text.encode()  # no half of a surrogate pair
        assert type(value) in (int, float, type(None)), f"{name} is {value!r}"
        if value is not None:
            assert -1e300 < value < 1e300, f"{name} is {value!r}"
            assert series.metric.kind != COUNTER or value >= 0, f"{name} is {value}"
        found[name] = value
    return found


def steady(row: Mapping[str, Value]) -> dict[str, Any]:
    """The same each time."""
    return {key: "measured" if key.startswith(MEASURED) and value is not None else value for key, value in row.items()}


def sampled(scene: str, name: str, where: Path) -> dict[str, Any]:
    """What a golden file holds: the first row, that after later/ where it is another, or why there is none."""
    kind = discovery.kind(name)
    with placed(scene, where) as places:
        try:
            collector = kind.collector(places, options(scene, kind))
        except Absent as absent:
            return {"absent": str(absent)}
        try:
            found = {"first": steady(checked(kind, collector, collector.sample(BOOTED_S)))}
            if later(scene, where / "root"):
                then = steady(checked(kind, collector, collector.sample(BOOTED_S + LATER_S)))
                if then != found["first"]:
                    found["later"] = then
            return found
        finally:
            collector.close()


def main(scene: str, *names: str) -> None:
    for name in names:
        with tempfile.TemporaryDirectory(dir="/tmp") as where:
            text = json.dumps(sampled(scene, name, Path(where)), indent=1, ensure_ascii=False) + "\n"
        (SCENES / scene / f"{name}.json").write_text(text)
        print(text, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])

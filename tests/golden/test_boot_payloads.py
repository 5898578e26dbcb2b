# SPDX-License-Identifier: Apache-2.0
"""Boots that really ended, and what is sent of them. boots/capture.py says where the archives come from;
boots/expected/ holds what is sent. After a change that was meant, `python tests/golden/test_boot_payloads.py` writes
those anew: read the difference."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from telemetry_probes import oops, pstore
from telemetry_probes.boots import collecting, kept, marks, payload, timing, verdict
from telemetry_probes.kernel import dumpfiles, dumpreports
from telemetry_probes.kernel.incidents import Incidents

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
BOOTS = HERE / "boots"
PANIC = HERE / "kernel/pstore/panic.tar.gz"
SECRET = bytes(range(32))
NOW_S = 1_795_285_000
DPKG = (
    "2026-11-21 18:08:00 upgrade linux-image-amd64:amd64 6.1.1-1 6.1.2-1\n2026-11-20 01:02:03 install a:all <none> 1\n"
)
SHOWN = "UserspaceTimestampMonotonic=5000000\nFinishTimestampMonotonic=16000000\nNFailedUnits=0\nSystemState=running\n"


def unpacked(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as packed:
        for each in packed.getmembers():
            source = packed.extractfile(each) if each.isfile() else None
            if source is not None:
                path = into / each.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(source.read())


class Scene:
    """A root and the probes' folder. `last`: the boot before."""

    def __init__(self, folder: Path, archive: str) -> None:
        self.root = folder / "root"
        self.state = folder / "state"
        (self.state / "pstore").mkdir(parents=True)
        unpacked(BOOTS / f"{archive}.tar.gz", self.root)
        self.write("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n")
        self.write("proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-01)\n")
        self.write("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=UUID=5e3c ro quiet\n")
        self.boot = (self.root / "proc/sys/kernel/random/boot_id").read_text().strip()
        self.kept = kept.Kept()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def found(self, lifted: bool = False) -> collecting.Found:
        return collecting.collected(str(self.root), str(self.state), SECRET, self.boot, self.kept, lifted, NOW_S)

    def sent(self, lifted: bool = False) -> dict[str, Any]:
        """What golden files hold."""
        found = self.found(lifted)
        judged = verdict.judged(found.evidence)
        taken = timing.read(SHOWN)
        assert taken is not None
        fields = payload.timed(payload.fields(found, judged, self.kept, lifted), taken)
        written: dict[str, Any] = json.loads(json.dumps(fields))
        return {"severity": verdict.SEVERITIES[judged.reason], "event_id": judged.event.hex(), "fields": written}


def reboot(folder: Path) -> Scene:
    return Scene(folder, "reboot")


def cut(folder: Path) -> Scene:
    return Scene(folder, "cut")


def kernel_update(folder: Path) -> Scene:
    scene = Scene(folder, "reboot")
    seen = scene.found()
    last = seen.evidence.journal
    assert last is not None
    scene.kept.boot = last.boot
    scene.kept.release, scene.kept.told_s = "6.1.0-1-amd64", seen.last_seen_s - 86_400
    scene.kept.line_hash, scene.kept.words = "00" * 16, ["ro", "nosmt"]
    (scene.state / marks.NAME).write_bytes(marks.written(marks.Mark(last.boot, "reboot", seen.last_seen_s)))
    scene.write("var/log/dpkg.log", DPKG)
    return scene


def panic(folder: Path) -> Scene:
    """As nine reports and the end of a real kernel lie in pstore."""
    scene = Scene(folder, "cut")
    unpacked(PANIC, scene.state / "pstore")
    for path in (scene.state / "pstore").iterdir():
        os.utime(path, (NOW_S, NOW_S))
    return scene


def watchdog(folder: Path) -> Scene:
    scene = Scene(folder, "cut")
    scene.write("sys/class/watchdog/watchdog0/bootstatus", "32\n")
    scene.write("sys/class/watchdog/watchdog0/identity", "iTCO_wdt\n")
    return scene


SCENES = {each.__name__: each for each in (reboot, cut, kernel_update, panic, watchdog)}


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """dpkg writes local time."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", SCENES)
def test_what_is_sent(name: str, tmp_path: Path) -> None:
    assert SCENES[name](tmp_path).sent() == json.loads((BOOTS / f"expected/{name}.json").read_text())


READ = {
    "reboot": ("clean", "certain", "reboot", 1),
    "cut": ("power-loss", "likely", None, 2),
    "kernel_update": ("kernel-update", "certain", "reboot", 1),
    "panic": ("panic", "certain", None, 4),
    "watchdog": ("watchdog", "certain", None, 3),
}


@pytest.mark.parametrize("name", READ)
def test_what_a_person_reads(name: str, tmp_path: Path) -> None:
    sent = SCENES[name](tmp_path).sent()
    end = sent["fields"]["end"]
    assert (end["reason"], end["confidence"], end.get("how"), sent["severity"]) == READ[name]


def test_a_panic_has_the_event_of_its_dumps_record(tmp_path: Path) -> None:
    """As pstoreprobe derives it, dump by dump."""
    scene = panic(tmp_path)
    parts = [
        pstore.part(each.name, each.content(), each.time_s) for each in dumpfiles.listed(str(scene.state / "pstore"))
    ]
    events = set()
    for dump in pstore.dumps([part for part in parts if not isinstance(part, str)]):
        incidents = Incidents(SECRET)
        for report in dumpreports.reports(dump):
            found = oops.parse(report, False)
            event = incidents.event(report, found)
            if found.kind == "panic":
                events.add(event.hex())
    assert events == {scene.sent()["event_id"]}


def test_what_stays_on_the_machine(tmp_path: Path) -> None:
    text = json.dumps(cut(tmp_path / "a").sent())
    assert "5e3c" not in text
    assert '"text"' not in text
    lifted = json.dumps(cut(tmp_path / "b").sent(lifted=True))
    assert "5e3c" in lifted
    assert '"text"' in lifted


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    (BOOTS / "expected").mkdir(exist_ok=True)
    for each, make in SCENES.items():
        with tempfile.TemporaryDirectory() as made_in:
            golden = json.dumps(make(Path(made_in)).sent(), indent=1, ensure_ascii=False)
            (BOOTS / f"expected/{each}.json").write_text(golden + "\n")

# SPDX-License-Identifier: Apache-2.0
"""bootprobe as installed, with the root of a system that really ended its boots (golden/boots)."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hubprocess import HubProcess, hub_at
from ownmounts import own_mounts
from running import BIN, TIMEOUT_S, Root, Telemd, running, state_root, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHIVES = Path(__file__).parents[1] / "golden/boots"
CLASS = "org.clearlinux/boot/end"
PANIC = "Panic#1 Part1\n<0>[   12.000001] Kernel panic - not syncing: sysrq triggered crash\n"


def unpacked(name: str, into: Path) -> Path:
    with tarfile.open(ARCHIVES / f"{name}.tar.gz") as packed:
        for each in packed.getmembers():
            source = packed.extractfile(each)
            assert source is not None
            path = into / each.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read())
    return into


def command(root: Root, system: Path, *arguments: str) -> list[str]:
    return [str(BIN / "bootprobe"), "-f", str(root.config_file), "-r", str(system), *arguments]


def run(root: Root, system: Path, *arguments: str) -> tuple[int, str]:
    """The exit code, and what was said on standard error."""
    done = subprocess.run(command(root, system, *arguments), capture_output=True, text=True, timeout=TIMEOUT_S)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def state(root: Root) -> Path:
    return root.path / "var/lib/telemetry-kernel"


class Place:
    """A machine with a hub, and the system that is looked at."""

    def __init__(self, root: Root, telemd: Telemd, hub: HubProcess, system: Path) -> None:
        self.root = root
        self.telemd = telemd
        self.hub = hub
        self.system = system

    def probe(self, *arguments: str) -> tuple[int, str]:
        return run(self.root, self.system, *arguments)

    def boots_again(self) -> None:
        """The same files, as if of another boot."""
        path = self.system / "proc/sys/kernel/random/boot_id"
        first, _, rest = path.read_text().partition("-")
        path.write_text(f"{(int(first, 16) + 1) % (1 << 32):08x}-{rest}")

    def arrived(self) -> list[dict[str, Any]]:
        self.telemd.wait_delivered()
        return [each for each in self.hub.records() if each["classification"] == CLASS]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    system = unpacked("cut", tmp_path / "system")
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url) as root, running(root) as telemd:
        yield Place(root, telemd, hub, system)


def fields(record: dict[str, Any]) -> dict[str, Any]:
    """Of the payload: a hub gives a JSON document as it is, or as text."""
    found = record["payload"]
    said: dict[str, Any] = json.loads(found) if isinstance(found, str) else found
    return said


def test_a_mark_is_of_one_boot(place: Place) -> None:
    """What a mark says holds for the boot that left it."""
    assert place.probe() == (0, "")
    boot = (place.system / "proc/sys/kernel/random/boot_id").read_text().strip()
    (state(place.root) / "boot-end").write_text(f"{boot} poweroff 1795284000 end\n")
    place.boots_again()
    assert place.probe() == (0, "")
    place.boots_again()
    assert place.probe() == (0, "")
    marks = [fields(each)["evidence"].get("mark", "") for each in place.arrived()]
    assert sorted(marks) == ["", "none", "poweroff"]


def test_the_event_of_a_panic_is_pstoreprobes(place: Place) -> None:
    folder = state(place.root) / "pstore"
    folder.mkdir(parents=True)
    (folder / "dmesg-ramoops-0").write_text(PANIC)
    assert place.probe() == (0, "")
    done = subprocess.run(
        [BIN / "pstoreprobe", "-f", place.root.config_file, "-d", folder, "-b", "/no/such/table"], timeout=TIMEOUT_S
    )
    assert done.returncode == 0
    place.telemd.wait_delivered()
    events = {each["classification"]: each["event_id"] for each in place.hub.records()}
    assert events[CLASS] == events["org.clearlinux/kernel/panic"]
    assert fields(place.arrived()[0])["end"]["reason"] == "panic"


def test_waits_for_telemd(tmp_path: Path) -> None:
    system = unpacked("reboot", tmp_path / "system")
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url) as root:
        process = subprocess.Popen(command(root, system), stderr=subprocess.PIPE)
        wait_until(lambda: list(state(root).glob("boot-waiting.*")), "the record waits")
        with running(root) as telemd:
            _, said = process.communicate(timeout=TIMEOUT_S)
            assert (process.returncode, said) == (0, b"")
            telemd.wait_delivered()
        assert list(state(root).glob("boot-waiting.*")) == []
        assert [fields(each)["end"]["reason"] for each in hub.records()] == ["clean"]


def test_killed_at_any_moment_and_run_again_there_is_one(place: Place) -> None:
    for _ in range(8):
        received = place.telemd.account()["received"]
        process = subprocess.Popen(command(place.root, place.system), stderr=subprocess.DEVNULL)
        wait_until(
            lambda received=received, process=process: (  # type: ignore[misc]
                place.telemd.account()["received"] > received
                or list(state(place.root).glob("boot-waiting.*"))
                or process.poll() is not None
            ),
            "it has begun",
        )
        process.kill()
        process.wait(TIMEOUT_S)
    assert place.probe() == (0, "")
    assert len(place.arrived()) == 1


def test_opted_out_nothing_is_touched(tmp_path: Path) -> None:
    system = unpacked("reboot", tmp_path / "system")
    with state_root(opted_in=False) as root:
        before = root.files()
        code, said = run(root, system)
        assert (code, "opt-in" in said) == (1, True)
        assert run(root, system, "--ended") == (0, "")
        assert root.files() == before


def test_opted_out_while_it_waits(tmp_path: Path) -> None:
    system = unpacked("reboot", tmp_path / "system")
    with state_root() as root:
        process = subprocess.Popen(command(root, system), stderr=subprocess.PIPE, text=True)
        wait_until(lambda: list(state(root).glob("boot-waiting.*")), "the record waits")
        root.opt_out()
        _, said = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 1
        assert "left for the next time" in said
        assert " stopped " in (state(root) / "boot-end").read_text()


def test_shown_and_not_sent(tmp_path: Path) -> None:
    """telemd isn't even there."""
    system = unpacked("cut", tmp_path)
    with state_root() as root:
        whole = command(root, system, "-n")
        done = subprocess.run(whole, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        assert json.loads(done.stdout)["end"]["reason"] == "power-loss"
        assert sorted(path.name for path in state(root).iterdir()) == ["secret"]


def test_shown_once_more_of_a_boot_that_was_told(place: Place) -> None:
    """What comes of what was kept is gone; this boot's own journal is not taken for the one before."""
    assert place.probe() == (0, "")
    done = subprocess.run(
        command(place.root, place.system, "-n"), capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    (sent,) = map(fields, place.arrived())
    shown = json.loads(done.stdout)
    assert shown["end"] == sent["end"]
    assert shown["evidence"] == sent["evidence"]
    assert "was sent already" in done.stderr


def test_once_a_boot_and_the_mark_without_systemd(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where nobody can say that the machine goes down it doesn't."""
    assert place.probe() == (0, "")
    assert place.probe() == (0, "")
    (record,) = place.arrived()
    assert (record["severity"], record["payload_version"]) == (2, 1)
    assert fields(record)["end"]["reason"] == "power-loss"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(place.root, place.system, "--ended") == (0, "")
    assert " stopped " in (state(place.root) / "boot-end").read_text()


def test_state_that_cant_be_written(place: Place) -> None:
    """It is sent all the same, and again it has the same id."""
    assert place.probe() == (0, "")
    place.boots_again()
    folder = state(place.root)
    with own_mounts() as mounts:
        mounts.run("mount", "--bind", "-o", "ro", folder, folder)
        for _ in range(2):
            whole = [*mounts.command, *command(place.root, place.system)]
            done = subprocess.run(whole, capture_output=True, text=True, timeout=TIMEOUT_S)
            assert done.returncode == 1
            assert "can't be written" in done.stderr
            assert "Traceback" not in done.stderr
    assert len(place.arrived()) == 2


def hostile_links(system: Path) -> None:
    for name in ("var/log/wtmp", "run/utmp", "proc/stat", "proc/cmdline", "var/log/dpkg.log", "var/log/pacman.log"):
        path = system / name
        path.unlink(missing_ok=True)
        path.symlink_to("/etc/shadow")


def hostile_fifos(system: Path) -> None:
    for name in ("var/log/wtmp", "run/utmp", "proc/stat", "var/log/dpkg.log", "var/log/pacman.log", "proc/cmdline"):
        path = system / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)


def hostile_sizes(system: Path) -> None:
    line = b"2026-11-21 12:00:00 upgrade aaaa:amd64 1 2\n"
    (system / "var/log/dpkg.log").write_bytes(line * 200_000)
    with (system / "var/log/wtmp").open("ab") as wtmp:
        wtmp.truncate(3 << 30)
    (system / "proc/cmdline").write_bytes(b"x=" + b"y" * (1 << 20))
    (system / "proc/sys/kernel/osrelease").write_bytes(b"6" * (1 << 20))


def hostile_nothing(system: Path) -> None:
    for path in system.rglob("*"):
        if path.is_file() and path.name != "boot_id":
            path.unlink()


def hostile_journal(system: Path) -> None:
    (journal,) = (system / "var/log/journal").glob("*/system.journal")
    content = bytearray(journal.read_bytes())
    for at in range(4096, len(content), 97):
        content[at] ^= 0x5A
    journal.write_bytes(content)
    (journal.parent / "system@cut.journal").write_bytes(bytes(content[:3000]))
    os.mkfifo(journal.parent / "user-1000.journal")


def test_hostile(place: Place, tmp_path: Path) -> None:
    """A boot each: every one is told, and nothing of what a link led to."""
    scenes = (hostile_links, hostile_fifos, hostile_sizes, hostile_nothing, hostile_journal)
    for number, scene in enumerate(scenes):
        place.system = unpacked("cut", tmp_path / scene.__name__)
        for _ in range(number):
            place.boots_again()
        scene(place.system)
        assert place.probe() == (0, ""), scene
    told = place.arrived()
    assert len(told) == len(scenes)
    assert "root:" not in json.dumps([fields(each) for each in told])


@pytest.mark.parametrize("boot_id", ["", "../../../../etc/passwd-1234567890abcdefg"])
def test_boot_without_an_id(tmp_path: Path, boot_id: str) -> None:
    system = unpacked("cut", tmp_path)
    (system / "proc/sys/kernel/random/boot_id").write_text(boot_id)
    with state_root() as root:
        code, said = run(root, system)
    assert (code, "which boot this is" in said) == (1, True)


def test_no_such_root(tmp_path: Path) -> None:
    with state_root() as root:
        code, said = run(root, tmp_path / "none")
    assert (code, "is not a directory" in said) == (1, True)


def test_clock_that_jumped_back(place: Place) -> None:
    """By years, after this boot was told of: nothing is negative, and the next boot is told all the same."""
    assert place.probe() == (0, "")
    kept = state(place.root) / "boot-last"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "told_s": 4_000_000_000}))
    (place.system / "proc/stat").write_text("cpu 1\nbtime 12\nprocesses 1\n")
    place.boots_again()
    assert place.probe() == (0, "")
    said = max((fields(each) for each in place.arrived()), key=lambda each: -each["began_s"])
    assert said["began_s"] == 12
    assert "away_s" not in said["end"]
    assert said["packages"]["changes"] == []

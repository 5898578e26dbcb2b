# SPDX-License-Identifier: Apache-2.0
"""pstoreprobe and pstoreclean as installed, with what a kernel left in ramoops when it really panicked."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hubprocess import HubProcess, hub_at
from kernelsource import Scanner, scanning
from running import BIN, TIMEOUT_S, Root, Telemd, running, state_root, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = Path(__file__).parents[1] / "golden/kernel/pstore"


def unpacked(name: str, into: Path) -> Path:
    """A fixture as a directory."""
    with tarfile.open(FIXTURES / f"{name}.tar.gz") as archive:
        for each in archive.getmembers():
            if each.isfile():
                source = archive.extractfile(each)
                assert source is not None
                target = into / Path(each.name).name
                target.write_bytes(source.read())
                os.utime(target, (each.mtime, each.mtime))
    return into


def run(root: Root, program: str, *arguments: str | Path) -> tuple[int, str]:
    """The exit code, and what was said on standard error."""
    command = [BIN / program, "-f", root.config_file, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def fields(record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record["payload"].partition("\n")[0])
    return found


class Place:
    """A machine with a hub and a pstore."""

    def __init__(self, root: Root, telemd: Telemd, hub: HubProcess, pstore: Path) -> None:
        self.root = root
        self.telemd = telemd
        self.hub = hub
        self.pstore = pstore

    def probe(self, *arguments: str | Path) -> tuple[int, str]:
        return run(self.root, "pstoreprobe", "-d", self.pstore, "-b", "/no/such/table", *arguments)

    def arrived(self) -> list[dict[str, Any]]:
        self.telemd.wait_delivered()
        return self.hub.records(machine=self.telemd.status()["machine_id"])

    def left(self) -> list[str]:
        return sorted(path.name for path in self.pstore.iterdir())


@pytest.fixture
def place(shared_hub: HubProcess, tmp_path: Path) -> Iterator[Place]:
    pstore = tmp_path / "pstore"
    pstore.mkdir()
    with state_root(server=shared_hub.url) as root:
        root.name(os.urandom(16).hex())  # one of its own on a hub that others share, and it doesn't change meanwhile
        with running(root) as telemd:
            yield Place(root, telemd, shared_hub, pstore)


ONE = b"Panic#1 Part1\n<0>[   12.000001] Kernel panic - not syncing: sysrq triggered crash\n"
OF_A_PANIC = ["provoke_bug", "provoke_divide", "provoke_gpf", "provoke_list", "provoke_null", "provoke_page"]


def test_what_a_real_panic_left(place: Place) -> None:
    """Nine dumps, each with what came before it: every report once, and the panic with the event of its oops."""
    unpacked("panic", place.pstore)
    assert place.probe() == (0, "")
    assert place.left() == []
    found = place.arrived()
    (panic,) = [each for each in found if each["classification"] == "org.clearlinux/kernel/panic"]
    assert fields(panic)["reason"] == "Kernel panic - not syncing: sysrq triggered crash"
    times = [(fields(each)["since_boot_us"], fields(each)["fingerprint"]) for each in found]
    assert len(times) == len(set(times))
    text = json.dumps([each["payload"] for each in found])
    assert [name for name in OF_A_PANIC if name in text] == OF_A_PANIC
    oopses = [each for each in found if "number" in fields(each)]
    assert sorted({fields(each)["number"] for each in oopses}) == list(range(1, 9))
    assert {fields(each)["kernel"] for each in found if "kernel" in fields(each)} == {"6.1.0-56-amd64"}
    assert {each["facts"]["kernel_version"] for each in oopses} == {"6.1.0-56-amd64"}


def test_stack_that_overflowed_and_the_panic_are_one_event(place: Place) -> None:
    unpacked("deep", place.pstore)
    assert place.probe() == (0, "")
    (panic,) = [each for each in place.arrived() if each["classification"] == "org.clearlinux/kernel/panic"]
    assert fields(panic)["reason"].startswith("Kernel panic - not syncing: Fatal exception")


def test_single_part_without_newline(place: Place) -> None:
    """telemetrics-client ended here, and had removed the file before."""
    (place.pstore / "dmesg-efi-170000000001001").write_bytes(ONE.rstrip(b"\n"))
    assert place.probe() == (0, "")
    (record,) = place.arrived()
    assert fields(record)["kind"] == "panic"
    assert place.left() == []


def test_file_goes_only_when_telemd_has_the_report(tmp_path: Path) -> None:
    pstore = tmp_path / "pstore"
    pstore.mkdir()
    unpacked("panic", pstore)
    before = sorted(path.name for path in pstore.iterdir())
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url) as root:
        for _ in range(2):
            code, said = run(root, "pstoreprobe", "-d", pstore, "-b", "/no/such/table")
            assert code == 1
            assert "telemd is not running" in said
            assert sorted(path.name for path in pstore.iterdir()) == before
        with running(root) as telemd:
            assert run(root, "pstoreprobe", "-d", pstore, "-b", "/no/such/table") == (0, "")
            telemd.wait_delivered()
        assert list(pstore.iterdir()) == []
        assert len(hub.records()) >= len(before)


def test_killed_at_any_moment_and_run_again_nothing_is_twice(place: Place) -> None:
    unpacked("panic", place.pstore)
    command: list[str | Path] = [BIN / "pstoreprobe", "-f", place.root.config_file, "-d", place.pstore]
    command += ["-b", "/no/such/table"]
    for _ in range(20):
        received, files = place.telemd.account()["received"], len(place.left())
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until(
            lambda received=received, files=files, process=process: (  # type: ignore[misc]
                place.telemd.account()["received"] > received or len(place.left()) < files or process.poll() is not None
            ),
            "it has begun",
        )
        process.kill()
        process.wait(TIMEOUT_S)
    assert place.probe() == (0, "")
    found = place.arrived()
    assert len(found) == len({each["id"] for each in found})
    text = json.dumps([each["payload"] for each in found])
    assert [name for name in OF_A_PANIC if name in text] == OF_A_PANIC


def test_an_oops_that_klogscanner_saw_is_the_same_record(place: Place) -> None:
    """What did not kill the kernel is in its log and in pstore."""
    unpacked("panic", place.pstore)
    dump = (place.pstore / "dmesg-ramoops-0").read_text().splitlines()
    begin = next(at for at, line in enumerate(dump) if "BUG: kernel NULL" in line)
    log = []
    for seq, line in enumerate(dump[begin:]):
        said = re.fullmatch(r"<(\d)>\[ *(\d+)\.(\d{6})\] (.*)", line)
        if said is None:
            break  # ramoops' own word, on its checksums
        log.append(f"{said[1]},{seq},{int(said[2] + said[3])},-;{said[4]}\n".encode())
    with scanning(place.root, log) as scanner:
        assert isinstance(scanner, Scanner)
        assert scanner.end() == 0
    assert place.telemd.account()["admitted"] == 1
    assert place.probe() == (0, "")
    found = place.arrived()
    assert len([each for each in found if fields(each).get("number") == 1]) == 1


def test_keep_leaves_the_files_and_brings_nothing_twice(place: Place) -> None:
    unpacked("panic", place.pstore)
    before = place.left()
    assert [place.probe("-k"), place.probe("-k")] == [(0, ""), (0, "")]
    assert place.left() == before
    found = place.arrived()
    assert len(found) == len({each["id"] for each in found})


def test_other_names_links_and_folders_are_left_alone(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(ONE)
    (place.pstore / "dmesg-ramoops-1").symlink_to(outside)
    (place.pstore / "dmesg-ramoops-2").mkdir()
    (place.pstore / "dmesg-ramoops-3\n").write_bytes(ONE)
    (place.pstore / "pmsg-ramoops-0").write_bytes(ONE)
    os.mkfifo(place.pstore / "dmesg-efi-170000000001001")
    before = place.left()
    assert place.probe() == (0, "")
    assert place.left() == before
    assert outside.read_bytes() == ONE
    assert place.arrived() == []


def test_unreadable_and_damaged_files_stay_and_the_others_go(place: Place) -> None:
    (place.pstore / "dmesg-ramoops-0.enc.z").write_bytes(random.Random(1).randbytes(3000))
    (place.pstore / "dmesg-ramoops-1").write_bytes(ONE)
    (place.pstore / "dmesg-ramoops-2").write_bytes(random.Random(2).randbytes(3000))
    (place.pstore / "dmesg-ramoops-4").write_bytes(b"")
    code, said = place.probe()
    assert code == 1
    assert "compressed" in said
    assert place.left() == ["dmesg-ramoops-0.enc.z"]
    assert len(place.arrived()) == 1


def test_no_pstore_is_nothing_to_do(place: Place) -> None:
    place.pstore.rmdir()
    assert place.probe() == (0, "")


def test_what_was_on_the_console_is_read_where_no_dump_has_it(place: Place) -> None:
    console = (
        b"[   12.000001] Kernel panic - not syncing: sysrq triggered crash\n[   13.000000] Rebooting in 1 seconds..\n"
    )
    (place.pstore / "console-ramoops-0").write_bytes(console)
    assert place.probe() == (0, "")
    assert len(place.arrived()) == 1
    (place.pstore / "console-ramoops-0").write_bytes(console)
    (place.pstore / "dmesg-ramoops-0").write_bytes(ONE)
    assert place.probe() == (0, "")
    assert len(place.arrived()) == 1
    assert place.left() == []


def test_firmwares_record_of_errors(place: Place, tmp_path: Path) -> None:
    table = tmp_path / "BERT"
    table.write_bytes(bytes(range(200)))
    for _ in range(2):
        assert run(place.root, "pstoreprobe", "-d", place.pstore, "-b", table) == (0, "")
    (record,) = place.arrived()
    assert (record["classification"], record["severity"]) == ("org.clearlinux/bert/debug", 2)
    assert base64.b64decode(record["payload"]) == bytes(range(200))
    table.write_bytes(bytes(4096))
    assert run(place.root, "pstoreprobe", "-d", place.pstore, "-b", table) == (0, "")
    assert len(place.arrived()) == 1


def test_put_aside_and_sent_from_there(tmp_path: Path) -> None:
    """pstore is free at once, also while telemd is away; what was put aside goes when telemd has it."""
    pstore = tmp_path / "pstore"
    pstore.mkdir()
    unpacked("panic", pstore)
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url) as root:
        aside = root.path / "var/lib/telemetry-kernel/pstore"
        assert run(root, "pstoreclean", "-d", pstore) == (0, "")
        assert list(pstore.iterdir()) == []
        assert len(list(aside.iterdir())) == 9
        # another boot's, of the same name
        (pstore / "dmesg-ramoops-0").write_bytes(ONE)
        assert run(root, "pstoreclean", "-d", pstore) == (0, "")
        assert len(list(aside.iterdir())) == 10
        with running(root) as telemd:
            assert run(root, "pstoreprobe", "-d", aside, "-b", "/no/such/table") == (0, "")
            telemd.wait_delivered()
        assert list(aside.iterdir()) == []
        kinds = [fields(each)["kind"] for each in hub.records()]
        assert kinds.count("panic") == 2


def test_full_where_files_are_put_aside(tmp_path: Path) -> None:
    pstore = tmp_path / "pstore"
    pstore.mkdir()
    for number in range(140):
        (pstore / f"dmesg-ramoops-{number}").write_bytes(ONE)
    with state_root() as root:
        code, said = run(root, "pstoreclean", "-d", pstore)
        assert code == 1
        assert "12 files stay" in said
        assert len(list(pstore.iterdir())) == 12


@pytest.mark.parametrize("program", ["pstoreprobe", "pstoreclean"])
def test_opted_out_nothing_is_touched(tmp_path: Path, program: str) -> None:
    (tmp_path / "dmesg-ramoops-0").write_bytes(ONE)
    with state_root(opted_in=False) as root:
        before = root.files()
        code, said = run(root, program, "-d", tmp_path)
        assert (code, "opt-in" in said) == (1, True)
        assert root.files() == before
    assert (tmp_path / "dmesg-ramoops-0").read_bytes() == ONE

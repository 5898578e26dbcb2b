# SPDX-License-Identifier: Apache-2.0
"""The shared library as programs see it: what it exports, under which versions, and that a program linked to
telemetrics-client's library runs on ours unchanged. Never looks at anything but the built library.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ORIGINAL = {
    "tm_set_config_file": "TM_1_0_0",
    "tm_free_record": "TM_2_0_0",
    "tm_create_record": "TM_3_0_0",
    "tm_set_payload": "TM_3_0_0",
    "tm_send_record": "TM_3_0_0",
    "tm_set_event_id": "TM_4_0_0",
    "tm_is_opted_in": "TM_4_1_0",
}
WAIT_S = 30


def run(*command: str | Path, library_folder: Path | None = None) -> str:
    environment = dict(os.environ)
    if library_folder:
        environment["LD_LIBRARY_PATH"] = str(library_folder)
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, env=environment)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our library, built from the sources in front of us."""
    library = tmp_path_factory.mktemp("ours") / "libtelemetry.so.4"
    sources = sorted(ROOT.glob("libtelemetry/src/*.c"))
    run(
        "cc", "-std=gnu11", "-D_GNU_SOURCE=", "-O1", "-fPIC", "-shared", "-pthread", "-Wl,-z,defs",
        "-Wl,-soname,libtelemetry.so.4", f"-Wl,--version-script={ROOT / 'libtelemetry/libtelemetry.sym'}",
        f"-I{ROOT / 'libtelemetry/include'}", *sources, "-o", library,
    )  # fmt: skip
    return library


def symbols(binary: Path, *, defined: bool) -> dict[str, str]:
    """Name -> version of the dynamic symbols whose names are ours, or of all that are defined."""
    found = {}
    for line in run("readelf", "--dyn-syms", "--wide", binary).splitlines():
        match = re.match(r" *\d+: \S+ +\d+ \S+ +(?:GLOBAL|WEAK) +\S+ +(\S+) (\w+)@+(\w+)", line)
        if match and (match[1] != "UND") == defined and (defined or match[2].startswith("tm_")):
            found[match[2]] = match[3]
    return {name: version for name, version in found.items() if not name.startswith("TM_")}


def declared() -> set[str]:
    header = (ROOT / "libtelemetry/include/telemetry.h").read_text()
    return set(re.findall(r"\b(tm_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)))


def test_exports(ours: Path) -> None:
    exported = symbols(ours, defined=True)
    assert set(exported) == declared()
    assert exported == ORIGINAL | dict.fromkeys(declared() - set(ORIGINAL), "TM_5_0_0")
    assert "Library soname: [libtelemetry.so.4]" in run("readelf", "-d", ours)


def test_installed_library_exports_the_same(ours: Path) -> None:
    installed = ROOT / ".venv/lib/libtelemetry.so.4"
    if not installed.exists():
        pytest.skip("nothing is installed in .venv: run `make build`")
    assert symbols(installed, defined=True) == symbols(ours, defined=True)


class Telemd:
    """Answers the first record on a Unix socket as durable."""

    def __init__(self, path: Path) -> None:
        self.record = b""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(WAIT_S)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(WAIT_S)
            total = 72
            while len(self.record) < total:
                self.record += connection.recv(total - len(self.record))
                if len(self.record) >= 72:
                    (total,) = struct.unpack_from("<I", self.record, 8)
            connection.sendall(struct.pack("<IBBH", 24, 1, 0, 0) + self.record[16:32])

    def close(self) -> None:
        self.thread.join(WAIT_S)
        self.listener.close()


def test_program_linked_to_the_original_runs_on_ours(ours: Path, tmp_path: Path) -> None:
    stub = tmp_path / "stub/libtelemetry.so.4"
    program = tmp_path / "original_user"
    root = tmp_path / "r"
    for folder in (stub.parent, root / "etc/telemetrics", root / "run/telemetry"):
        folder.mkdir(parents=True)
    run(
        "cc", "-fPIC", "-shared", "-Wl,-soname,libtelemetry.so.4",
        f"-Wl,--version-script={HERE / 'abi/stub_library.sym'}",
        HERE / "abi/stub_library.c", "-o", stub,
    )  # fmt: skip
    run("cc", HERE / "abi/original_user.c", stub, "-o", program)
    assert symbols(program, defined=False) == ORIGINAL
    config = root / "telemetrics.conf"
    config.write_text(f"[settings]\nstate_root = '{root}'\n")

    assert "config -99" in run(program, config, library_folder=stub.parent)
    before_opt_in = run(program, config, library_folder=ours.parent).splitlines()
    assert before_opt_in[0] == "config 0"
    assert before_opt_in[1] == "opted in 0"
    assert before_opt_in[-1] == "send -111"

    (root / "etc/telemetrics/opt-in").touch()
    telemd = Telemd(root / "run/telemetry/telemd.sock")
    output = run(program, config, library_folder=ours.parent)
    telemd.close()
    assert output.splitlines() == [
        "config 0", "opted in 1", "wrong -22", "none 1", "create 0", "event 0", "short event -1", "payload 0", "send 0",
    ]  # fmt: skip
    assert telemd.record.endswith(b"org.clearlinux/hello/worldhello\n")
    assert telemd.record[32:48] == bytes.fromhex("00112233445566778899aabbccddeeff")

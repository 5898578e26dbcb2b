# SPDX-License-Identifier: Apache-2.0
"""Programs that die with secrets, the installed crashprobe that is given their cores, and what came of it at a hub. No
test stands here, and nothing of the product is imported.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any, NamedTuple

from hubprocess import HubProcess
from running import BIN, TIMEOUT_S, Root, Telemd

from bench import corepattern

SYSTEM = "org.clearlinux/crash/clr"
THIRD_PARTY = "org.clearlinux/crash/unknown"
BUILD = "org.clearlinux/crash/clr-build"
ERROR = "org.clearlinux/crash/error"
AS_SYSTEM = ("-E", "/usr/bin/victim")
PAYLOAD_MAX, FORMAT4_MAX = 65_536, 8192
HEADER, SEGMENT = 64, 56

SECRET = "SECRET-7Hq2-"
VICTIM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *kept;
static volatile int depth;

static void leaf(const char *secret)
{
        char local[64];

        snprintf(local, sizeof local, "SECRET-7Hq2-%s-on-the-stack", secret);
        kept = strdup(local);
        kept[14] = 'H';
        if (strcmp(secret, "call") == 0) {
                unsigned long bytes = 0;

                memcpy(&bytes, local, 5);
                ((void (*)(void))bytes)();
        }
        abort();
}

static void middle(const char *secret, int left)
{
        if (left > 0)
                middle(secret, left - 1);
        else
                leaf(secret);
        depth++;
}

int main(int argc, char **argv)
{
        (void)argc;
        middle(argv[1], atoi(argv[2]));
        return depth;
}
"""
PYTHON_VICTIM = f"""
import os

def {SECRET.replace("-", "_")}function(text):
    local = "{SECRET}" + text
    os.abort()

{SECRET.replace("-", "_")}function("python")
"""


class Victim(NamedTuple):
    """A program that died, and how."""

    core: Path
    pid: int
    program: Path


def died(folder: Path, *command: str | Path, by: int = signal.SIGABRT) -> Victim:
    """Run it until that signal ends it; the core that the kernel wrote into the folder."""
    with corepattern.plain():
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'ulimit -c unlimited && exec "$0" "$@"', *command],
            cwd=folder, env={"PATH": "/usr/bin:/bin", "TOKEN": f"{SECRET}environment"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.wait(TIMEOUT_S) == -by
    (core,) = folder.glob("core*")
    return Victim(core, process.pid, Path(command[0]))


class Service(NamedTuple):
    root: Root
    telemd: Telemd
    hub: HubProcess
    seen: set[str]

    def fresh(self) -> list[dict[str, Any]]:
        """The records that came to the hub since the last call, once nothing waits any more."""
        self.telemd.wait_delivered()
        found = [record for record in self.hub.records() if record["id"] not in self.seen]
        self.seen.update(record["id"] for record in found)
        return found


def crashprobe(root: Root, *arguments: str | Path, stdin: Any = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "crashprobe", "-f", root.config_file, *arguments],
        capture_output=True, text=True, timeout=TIMEOUT_S, stdin=stdin,
    )  # fmt: skip


def sent(service: Service, *arguments: str | Path, stdin: Any = subprocess.DEVNULL) -> dict[str, Any]:
    """The record that came of it, and no other; it said nothing."""
    done = crashprobe(service.root, *arguments, stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
    (record,) = service.fresh()
    return record


def refused(service: Service, *arguments: str | Path, stdin: Any = subprocess.DEVNULL) -> str:
    """What it said instead of sending: a line without a traceback."""
    done = crashprobe(service.root, *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("crashprobe: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert service.fresh() == []
    return done.stderr


def report_of(record: dict[str, Any]) -> dict[str, Any]:
    """The line of JSON."""
    line, _, text = record["payload"].partition("\n")
    assert record["payload_version"] == 2
    assert text.startswith("Process: ")
    assert len(record["payload"].encode()) <= PAYLOAD_MAX
    found: dict[str, Any] = json.loads(line)
    return found


def functions(report: dict[str, Any]) -> list[str]:
    return [frame.get("function", "") for frame in report["stacks"][0]["frames"]]


def printed(explained: str) -> str:
    """What --explain says would be sent."""
    return explained.partition("\n-----\n")[2].rpartition("\n-----\n")[0]


def fed(service: Service, out: int, into: Any, raw: bytes) -> dict[str, Any]:
    """The record of a core that somebody writes."""

    def write() -> None:
        try:
            with into:
                into.write(raw)
        except OSError:
            pass  # it had enough

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return sent(service, *AS_SYSTEM, stdin=out)
    finally:
        os.close(out)
        writer.join(TIMEOUT_S)


def without_notes(core: Path, copy: Path) -> Path:
    """Cut behind its program headers."""
    raw = core.read_bytes()
    copy.write_bytes(raw[: HEADER + SEGMENT * struct.unpack_from("<H", raw, 56)[0]])
    return copy


class OlderTelemd:
    """Listens on telem-0 alone, and keeps the one record that comes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(TIMEOUT_S)
        self.packet = b""
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        with self._listener:
            connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as stream:
            self.packet = stream.read()

    def record(self) -> tuple[dict[str, str], bytes]:
        """Header lines and payload."""
        self._thread.join(TIMEOUT_S)
        (size,) = struct.unpack_from("<I", self.packet)
        assert size == len(self.packet)
        rest = self.packet[4:].partition(b"\0")[2] if self.packet[4:8] == b"CFG:" else self.packet[4:]
        (header_size,) = struct.unpack_from("<I", rest)
        header, payload = rest[4 : 4 + header_size], rest[4 + header_size :]
        lines = [line.partition(": ") for line in header.decode().splitlines()]
        assert payload.endswith(b"\0")
        return {name: value for name, _, value in lines}, payload[:-1]

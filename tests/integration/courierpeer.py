# SPDX-License-Identifier: Apache-2.0
"""telemd's end of a courier's stream, for tests: starts a real courier, hands it batches, reads its verdicts.

The bytes of records and frames are written anew here, from docs/protocol.md; nothing of the product is imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 60.0
MACHINE = "00112233445566778899aabbccddeeff"
OTHER_MACHINE = "ffeeddccbbaa99887766554433221100"
FACTS = {"arch": "x86_64", "host_type": "v|p|1", "build": "12", "kernel_version": "6.1", "system_name": "debian"}
DELIVERED, DUPLICATE, REJECTED, RETRY = range(4)


def record(number: int, payload: bytes = b"hello", *, severity: int = 1, classification: bytes = b"a/b/c") -> bytes:
    """docs/protocol.md, section 1."""
    record_id = struct.pack(">6xHQ", 0x7000, 1 << 63 | number)
    total = 72 + len(classification) + len(payload)
    ids = record_id + number.to_bytes(16, "big")
    head = struct.pack("<4sHBBII", b"TLM5", 72, 5, 0, total, len(payload)) + ids
    head += struct.pack("<qIBBBBHHI", 1_700_000_000_000_000 + number, 1, severity, 0, len(classification), 0, 0, 0, 0)
    return head + classification + payload


def record_id(number: int) -> str:
    return struct.pack(">6xHQ", 0x7000, 1 << 63 | number).hex()


class Answer(NamedTuple):
    """docs/protocol.md, section 5: VERDICTS."""

    batch_id: int
    retry_after_s: int
    pairs: list[tuple[int, int]]
    text: str

    @property
    def verdicts(self) -> list[int]:
        return [verdict for verdict, _ in self.pairs]


class Courier:
    """A running courier and telemd's end of its stream."""

    def __init__(self, *arguments: str, program: str = "", env: dict[str, str] | None = None) -> None:
        self.stream, theirs = socket.socketpair()
        self.stream.settimeout(TIMEOUT_S)
        start = (
            program or "import sys; from telemd.courier import main; sys.exit(main(['telemd-courier', *sys.argv[1:]]))"
        )
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", start, "--fd", str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()],
                stderr=subprocess.PIPE,
                env={**os.environ, **(env or {})},
                text=True,
            )
        self.batch_id = 0

    def send(self, records: list[bytes], server: str, *, machine: str = MACHINE, **destination: str) -> None:
        self.batch_id += 1
        named = {"server": server, "transport": "hub", "tidheader": "", "cainfo": "", **destination}
        head = json.dumps({"destination": named, "host": {"machine_id": machine, **FACTS}}).encode()
        body = struct.pack("<I", len(head)) + head + b"".join(records)
        self.stream.sendall(struct.pack("<IBQ", 9 + len(body), 1, self.batch_id) + body)

    def answer(self) -> Answer:
        length, kind, batch_id = struct.unpack("<IBQ", self._read(13))
        assert kind == 2
        assert batch_id == self.batch_id
        body = self._read(length - 9)
        retry_after_s, count = struct.unpack_from("<IH", body)
        pairs = list(struct.iter_unpack("<BB", body[6 : 6 + 2 * count]))
        (text_len,) = struct.unpack_from("<H", body, 6 + 2 * count)
        text = body[8 + 2 * count :]
        assert len(text) == text_len
        return Answer(batch_id, retry_after_s, pairs, text.decode())

    def wait_ready(self) -> None:
        """Its first frame says that it is there, and nothing else."""
        assert struct.unpack("<IBQ", self._read(13)) == (9, 3, 0)

    def ask(self, records: list[bytes], server: str, *, machine: str = MACHINE, **destination: str) -> Answer:
        self.send(records, server, machine=machine, **destination)
        return self.answer()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.stream.recv(count - len(data))
            assert piece, f"the courier left: {self.process.communicate(timeout=TIMEOUT_S)[1]}"
            data += piece
        return data

    def leave(self) -> tuple[int, str]:
        """End its stream; the exit status and all it said on standard error."""
        self.stream.close()
        _, said = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, said


def hasty(batch_s: float) -> str:
    """The program of a courier that has so long for a batch, instead of its 25 s."""
    return f"import sys; from telemd import courier; courier.BATCH_S = {batch_s}; sys.exit(courier.main(sys.argv))"


@contextlib.contextmanager
def courier(*arguments: str, program: str = "", env: dict[str, str] | None = None) -> Iterator[Courier]:
    running = Courier(*arguments, program=program, env=env)
    try:
        running.wait_ready()
        yield running
    finally:
        running.stream.close()
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def memory_kb(pid: int, name: str) -> int:
    """A line of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))

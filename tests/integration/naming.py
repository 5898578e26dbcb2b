# SPDX-License-Identifier: Apache-2.0
"""Records that name a configuration file (`CFG:` in format 4, attribute 16 in format 5), and sending them as somebody.

The bytes are written anew from docs/protocol.md; nothing of the product is imported here.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ownersplace import owners_place
from records import record_id
from running import BIN, Root

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parents[1] / "vectors"
FORMAT4 = bytes.fromhex(
    next(each["hex"] for each in json.loads((VECTORS / "format4.json").read_text()) if each["name"] == "plain")
)
FORMAT5 = bytes.fromhex(
    next(each["hex"] for each in json.loads((VECTORS / "format5.json").read_text()) if each["verdict"] == "none")
)


def format4_naming(path: bytes) -> bytes:
    rest = b"CFG:" + path + b"\0" + FORMAT4[4:]
    return (4 + len(rest)).to_bytes(4, sys.byteorder) + rest


def format5_naming(path: bytes, number: int, payload: bytes = b"x") -> bytes:
    """docs/protocol.md, section 1, written out: attribute 16 and nothing else."""
    attribute = (16).to_bytes(2, "little") + len(path).to_bytes(2, "little") + path
    body = b"org.test/probe/named" + attribute + payload
    head = bytearray(FORMAT5[:72])
    head[4:6] = (72).to_bytes(2, "little")
    head[8:12] = (72 + len(body)).to_bytes(4, "little")
    head[12:16] = len(payload).to_bytes(4, "little")
    head[16:32] = record_id(number)
    head[62] = len(b"org.test/probe/named")
    head[64:66] = len(attribute).to_bytes(2, "little")
    return bytes(head) + body


SEND = """
import socket, sys
for path in sys.argv[1:]:
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(path)
    size = int.from_bytes(sys.stdin.buffer.read(4), "big")
    stream.sendall(sys.stdin.buffer.read(size))
    stream.shutdown(socket.SHUT_WR)
    stream.recv(24)
"""


def send_both(root: Root, path: bytes, user: int | None, number: int = 1) -> None:
    """One record of either format that names the path, as that user; None: as the test's own."""
    records = (format4_naming(path), format5_naming(path, number))
    subprocess.run(
        [BIN / "python", "-IS", "-c", SEND, str(root.socket4), str(root.socket5)],
        input=b"".join(len(each).to_bytes(4, "big") + each for each in records),
        user=user,
        check=True,
        timeout=60,
    )


@contextlib.contextmanager
def owners_root(**settings: str | int | bool) -> Iterator[Root]:
    """A state root where files count as the owner's, opted in, removed at the end."""
    with owners_place() as place:
        root = Root(place)
        root.configure(**settings)
        root.opt_in()
        root.opt_in_file.parent.parent.chmod(0o755)
        root.opt_in_file.parent.chmod(0o755)
        yield root


def owners_file(root: Root, name: str, **settings: str | bool) -> Path:
    """A configuration in the owner's telemetrics folder."""
    path = root.opt_in_file.parent / name
    write_configuration(path, **settings)
    return path


def write_configuration(path: Path, **settings: str | bool) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    path.write_text("\n".join(["[settings]", *lines, ""]))
    path.chmod(0o644)

# SPDX-License-Identifier: Apache-2.0
"""A record that ends the courier: found by halving, put away, and everything else is delivered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from records import record
from running import BIN, Telemd, running, state_root
from senders import connected, receive_answer

COURIER = """\
#!{python}
import os, socket
from telemd import courierframes as frames

stream = socket.socket(fileno=3)
reader = frames.FrameReader((frames.BATCH,))
stream.sendall(frames.encode_ready())
while piece := stream.recv(65536):
    for frame in reader.feed(piece):
        batch = frames.decode_batch(frame)
        if b"POISON" in batch.records:
            os._exit(9)
        count = batch.records.count(b"TLM5")
        verdicts = frames.Verdicts(batch.batch_id, [(frames.DELIVERED, 0)] * count)
        stream.sendall(frames.encode_verdicts(verdicts))
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A telemd beside a courier that dies of certain records and takes all others for delivered."""
    (tmp_path / "telemd").symlink_to(BIN / "telemd")
    courier = tmp_path / "telemd-courier"
    courier.write_text(COURIER.format(python=sys.executable))
    courier.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("poison", [{1}, {150}, {40, 41, 299}])
def test_everything_else_is_delivered(programs: Path, poison: set[int]) -> None:
    with state_root(server="http://127.0.0.1:9/", retry_max_s=1) as root:
        with (
            running(root, program=programs / "telemd") as telemd,
            connected(root.socket5) as stream,
        ):
            for number in range(1, 301):
                stream.sendall(record(number, b"POISON" if number in poison else b"harmless"))
                assert receive_answer(stream) is not None
            account = wait_settled(telemd)
            telemd.wait_log("ended the courier again and again")
        assert account["delivered"] == 300 - len(poison) and account["rejected"] == len(poison)
        kept = sorted(path.read_bytes() for path in (root.spool / "quarantine").iterdir())
        assert kept == sorted(record(number, b"POISON") for number in poison)


def wait_settled(telemd: Telemd) -> dict[str, int]:
    """The pauses after each death of the courier are cut short."""

    def is_settled(seen: dict[str, int]) -> bool:
        telemd.ask("send-now")
        return seen["pending"] == 0

    return telemd.wait_account("nothing waits", is_settled)

# SPDX-License-Identifier: Apache-2.0
"""telemd.courierframes: the bytes of docs/protocol.md, section 5, written a second time, and every way to break them.

No process and no socket: those are in tests/integration/test_courier.py.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from telemd import courierframes as frames

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINE_ID = "0123456789abcdef0123456789abcdef"
HEAD = {
    "destination": {"server": "http://127.0.0.1:8080", "transport": "hub", "tidheader": "X: y", "cainfo": "/ca.pem"},
    "host": {"machine_id": MACHINE_ID, "arch": "x86_64"},
}


def raw_frame(kind: int, batch_id: int, body: bytes) -> bytes:
    return struct.pack("<IBQ", 9 + len(body), kind, batch_id) + body


def raw_batch(head: object, records: bytes = b"records") -> bytes:
    encoded = head if isinstance(head, bytes) else json.dumps(head).encode()
    return raw_frame(1, 7, struct.pack("<I", len(encoded)) + encoded + records)


def raw_verdicts(pairs: bytes, text: bytes = b"", *, retry_after_s: int = 0, count: int | None = None) -> bytes:
    head = struct.pack("<IH", retry_after_s, len(pairs) // 2 if count is None else count)
    return raw_frame(2, 7, head + pairs + struct.pack("<H", len(text)) + text)


def read_one(data: bytes) -> frames.Frame:
    reader = frames.FrameReader((frames.BATCH, frames.VERDICTS))
    (frame,) = reader.feed(data)
    assert not reader.unfinished
    return frame


def test_a_batch_is_written_as_the_protocol_has_it() -> None:
    destination = frames.Destination("http://127.0.0.1:8080", "hub", "X: y", "/ca.pem")
    head = frames.encode_head(destination, HEAD["host"])
    records = b"the records"
    data = frames.batch_prefix(0x1122334455667788, head, len(records)) + records
    length, kind, batch_id, head_len = struct.unpack_from("<IBQI", data)
    assert (length, kind, batch_id) == (len(data) - 4, 1, 0x1122334455667788)
    assert json.loads(data[17 : 17 + head_len]) == HEAD
    assert data[17 + head_len :] == b"the records"


def test_a_batch_comes_back_as_it_was() -> None:
    batch = frames.decode_batch(read_one(raw_batch(HEAD)))
    assert batch.batch_id == 7
    assert batch.destination == frames.Destination("http://127.0.0.1:8080", "hub", "X: y", "/ca.pem")
    assert batch.destination != frames.Destination("http://127.0.0.1:8081", "hub", "X: y", "/ca.pem")
    assert batch.host == HEAD["host"]
    assert batch.records == b"records"


def test_unknown_names_in_the_head_are_ignored_and_missing_ones_empty() -> None:
    head = {"destination": {"server": "http://h", "colour": "red"}, "host": {"machine_id": MACHINE_ID}, "more": [1]}
    assert frames.decode_batch(read_one(raw_batch(head))).destination == frames.Destination("http://h", "")


@pytest.mark.parametrize(
    "data",
    [
        raw_frame(1, 7, b""),
        raw_frame(1, 7, b"\0\0\0"),
        raw_frame(1, 7, struct.pack("<I", 100) + b"{}"),
        raw_frame(1, 7, struct.pack("<I", 0xFFFFFFFF) + b"{}"),
        raw_frame(1, 7, struct.pack("<I", 65537) + b" " * 65537),
        raw_batch(HEAD, b"r" * (1024 * 1024 + 1)),
        raw_batch(b"not json"),
        raw_batch(b"\xff\xfe"),
        raw_batch(b"[" * 60000),
        raw_batch([]),
        raw_batch({}),
        raw_batch({**HEAD, "destination": None}),
        raw_batch({**HEAD, "destination": {"server": 1}}),
        raw_batch({**HEAD, "host": {}}),
        raw_batch({**HEAD, "host": {"machine_id": MACHINE_ID.upper()}}),
        raw_batch({**HEAD, "host": {"machine_id": MACHINE_ID[:-1]}}),
        raw_batch({**HEAD, "host": {"machine_id": MACHINE_ID, "arch": None}}),
        raw_verdicts(b"\0\0"),
    ],
)
def test_what_is_no_batch_is_an_error(data: bytes) -> None:
    frame = read_one(data)
    with pytest.raises(frames.FrameError):
        frames.decode_batch(frame)


def test_verdicts_are_written_as_the_protocol_has_it() -> None:
    answer = frames.Verdicts(7, [(0, 0), (1, 0), (2, 1), (3, 6)], 120, "ü")
    expected = raw_verdicts(bytes([0, 0, 1, 0, 2, 1, 3, 6]), "ü".encode(), retry_after_s=120)
    assert frames.encode_verdicts(answer) == expected


def test_verdicts_come_back_as_they_were() -> None:
    answer = frames.decode_verdicts(read_one(raw_verdicts(bytes([0, 0, 3, 6]), b"wait", retry_after_s=9)), 2)
    assert (answer.batch_id, answer.verdicts, answer.retry_after_s, answer.text) == (7, [(0, 0), (3, 6)], 9, "wait")


def test_what_telemd_reads_is_bounded_and_fit_for_a_log() -> None:
    sent = frames.Verdicts(7, [(3, 6)] * 1000, 10**9, "a\x1b[2J\nb" + "€" * 1000)
    answer = frames.decode_verdicts(read_one(frames.encode_verdicts(sent)), 1000)
    assert answer.retry_after_s == frames.RETRY_AFTER_S_MAX
    assert answer.text.startswith("a?[2J?b€")
    assert len(answer.text.encode()) <= frames.TEXT_BYTES_MAX + 3
    hostile = read_one(raw_verdicts(b"\3\6", b"\xff\0\r", retry_after_s=0xFFFFFFFF))
    answer = frames.decode_verdicts(hostile, 1)
    assert (answer.retry_after_s, answer.text.isprintable()) == (frames.RETRY_AFTER_S_MAX, True)


@pytest.mark.parametrize(
    "data",
    [
        raw_frame(2, 7, b""),
        raw_frame(2, 7, b"\0" * 5),
        raw_verdicts(b""),
        raw_verdicts(b"\0\0\0\0"),
        raw_verdicts(b"\4\0"),
        raw_verdicts(b"\0\0", count=1)[:-1] + b"\1",
        raw_frame(2, 7, struct.pack("<IH", 0, 1) + b"\0\0"),
        raw_frame(2, 7, struct.pack("<IH", 0, 1) + b"\0\0" + struct.pack("<H", 0) + b"more"),
        raw_frame(2, 7, struct.pack("<IH", 0, 1) + b"\0\0" + struct.pack("<H", 9) + b"less"),
        raw_verdicts(b"\0\0", b"x" * 1001),
        raw_batch(HEAD),
    ],
)
def test_what_is_no_answer_to_one_record_is_an_error(data: bytes) -> None:
    frame = read_one(data)
    with pytest.raises(frames.FrameError):
        frames.decode_verdicts(frame, 1)


def test_pieces_of_any_size_make_the_same_frames() -> None:
    chance = random.Random(5)
    sent = [(chance.choice((1, 2)), chance.getrandbits(64), chance.randbytes(chance.randrange(3000))) for _ in range(9)]
    stream = b"".join(raw_frame(*each) for each in sent)
    for piece_max in (1, 12, 13, 14, 1000, len(stream)):
        reader = frames.FrameReader((1, 2))
        got = []
        at = 0
        while at < len(stream):
            size = chance.randint(1, piece_max)
            got += [(frame.kind, frame.batch_id, frame.body) for frame in reader.feed(stream[at : at + size])]
            at += size
        assert got == sent
        assert not reader.unfinished


def test_a_frame_cut_off_shows() -> None:
    reader = frames.FrameReader((1,))
    assert reader.feed(raw_batch(HEAD)[:-1]) == []
    assert reader.unfinished


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<IBQ", 2 * 1024 * 1024 - 3, 1, 7),
        struct.pack("<IBQ", 0xFFFFFFFF, 1, 7),
        struct.pack("<IBQ", 8, 1, 7),
        struct.pack("<IBQ", 0, 1, 7),
        struct.pack("<IBQ", 9, 0, 7),
        struct.pack("<IBQ", 9, 2, 7),
    ],
)
def test_a_stream_that_cannot_be_followed_is_an_error_before_its_body_is_there(head: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.FrameReader((frames.BATCH,)).feed(head)


def test_the_largest_frame_is_taken() -> None:
    largest = raw_frame(1, 7, bytes(frames.FRAME_BYTES_MAX - 13))
    assert len(largest) == frames.FRAME_BYTES_MAX
    assert len(read_one(largest).body) == frames.FRAME_BYTES_MAX - 13


@pytest.mark.parametrize(
    "write",
    [
        lambda: frames.batch_prefix(7, b"{}", 1024 * 1024 + 1),
        lambda: frames.encode_head(frames.Destination("x" * 70000), {}),
        lambda: frames.encode_verdicts(frames.Verdicts(7, [(0, 0)] * 1001)),
    ],
)
def test_nothing_over_a_limit_is_written(write: Callable[[], bytes]) -> None:
    with pytest.raises(frames.FrameError):
        write()


def test_garbage_never_does_worse_than_an_error() -> None:
    chance = random.Random(11)
    good = raw_batch(HEAD), raw_verdicts(b"\0\0\3\6", b"text")
    refused = 0
    for _ in range(3000):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            for frame in frames.FrameReader((1, 2)).feed(bytes(data)):
                frames.decode_verdicts(frame, 2) if frame.kind == 2 else frames.decode_batch(frame)
        except frames.FrameError:
            refused += 1
    assert refused > 500


def test_every_reason_has_a_name() -> None:
    reasons = {name: value for name, value in vars(frames).items() if name.startswith("REASON_")}
    codes = {name: value for name, value in reasons.items() if isinstance(value, int)}
    assert sorted(codes.values()) == list(range(len(frames.REASON_NAMES)))
    for name, value in codes.items():
        assert frames.reason_name(value) == name.removeprefix("REASON_").lower().replace("_", "-")
    assert frames.reason_name(255) == "unknown"


# What telemd, with its 18 MB, must not get to hold through these modules.
HEAVY = {"asyncio", "dataclasses", "datetime", "email", "enum", "http", "inspect", "json", "logging", "re", "requests"}
HEAVY |= {"socket", "ssl", "subprocess", "typing", "urllib3", "zstandard"}


@pytest.mark.parametrize("module", ["telemd.courierframes", "telemd.backoff", "telemd.answers"])
def test_what_telemd_imports_is_cheap(module: str) -> None:
    program = f"import sys; before = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - before))"
    paths = f"import sys; sys.path[:] = {sys.path!r}; "
    done = subprocess.run([sys.executable, "-IS", "-c", paths + program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not HEAVY & loaded
    assert len(loaded) <= 8

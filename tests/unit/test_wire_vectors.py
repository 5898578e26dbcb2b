# SPDX-License-Identifier: Apache-2.0
"""libtelemetry.wire against the examples of tests/vectors, and against json and struct on random records."""

from __future__ import annotations

import base64
import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from libtelemetry import RecordError, reason_name, wire

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors/format5.json").read_text())
GOOD = [vector for vector in VECTORS if vector["verdict"] == "none"]
BAD = [vector for vector in VECTORS if vector["verdict"] != "none"]
FACT_NAMES = "arch host_type build kernel_version system_name board_name cpu_model bios_version".split()
KINDS = ("text", "json", "metric", "json-zstd")


def test_there_are_vectors_of_both_sorts() -> None:
    assert len(GOOD) >= 10
    assert len(BAD) >= 20
    assert {vector["verdict"] for vector in BAD} <= set(wire.REASON_NAMES)


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector["name"])
def test_good_vector(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    record = wire.decode(raw)
    fields, expected = vector["fields"], vector["json"]
    assert record.record_id.hex() == fields["record_id"]
    assert record.event_id.hex() == fields["event_id"]
    for name in ("created_us", "payload_version", "severity", "payload_kind", "flags", "classification"):
        assert getattr(record, name) == fields[name]
    assert record.attributes == {int(key): bytes.fromhex(value) for key, value in fields["attributes"].items()}
    assert len(record.payload) == fields["payload_len"]
    if "payload" in expected:
        assert record.payload == expected["payload"].encode()
    else:
        assert record.payload == base64.b64decode(expected["payload_base64"], validate=True)

    lines, count = wire.to_ndjson(raw)
    assert count == 1
    assert lines.endswith(b"}\n")
    assert lines.count(b"\n") == 1
    assert json.loads(lines) == expected


@pytest.mark.parametrize("vector", BAD, ids=lambda vector: vector["name"])
def test_bad_vector(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    with pytest.raises(RecordError) as caught:
        wire.decode(raw)
    assert reason_name(caught.value.reason) == vector["verdict"]
    if raw:
        good = bytes.fromhex(GOOD[0]["hex"])
        # A good record with a byte more is, in a batch, a good record before one that never ends.
        with pytest.raises(RecordError, match="record 2 " if vector["name"] == "one-byte-more" else "record 1 "):
            wire.to_ndjson(good + raw)


def test_batches_of_all_good_vectors() -> None:
    raws = [bytes.fromhex(vector["hex"]) for vector in GOOD]
    batch = b"".join(raws)
    assert [bytes(part) for part in wire.split(batch)] == raws
    lines, count = wire.to_ndjson(memoryview(batch))
    assert count == len(raws)
    assert [json.loads(line) for line in lines.splitlines()] == [vector["json"] for vector in GOOD]


def test_empty_batch() -> None:
    assert wire.split(b"") == []
    assert wire.to_ndjson(b"") == (b"", 0)


def test_split_of_more_than_one_call_takes() -> None:
    raw = bytes.fromhex(min((vector["hex"] for vector in GOOD), key=len))
    parts = wire.split(raw * 3000)
    assert len(parts) == 3000
    assert all(part == raw for part in parts)
    with pytest.raises(RecordError):
        wire.split(raw * 3000 + raw[:-1])
    with pytest.raises(RecordError):
        wire.split(raw * 3000 + b"x" * 100)


def test_escapes_that_need_far_more_room_than_the_record() -> None:
    raw = record_bytes(payload=b"\x01" * 65536)
    lines, count = wire.to_ndjson(raw * 3)
    assert count == 3
    assert all(json.loads(line)["payload"] == "\x01" * 65536 for line in lines.splitlines())


def record_bytes(
    classification: bytes = b"a/b/c",
    payload: bytes = b"",
    *,
    kind: int = 0,
    attributes: dict[int, bytes] | None = None,
    record_id: bytes = b"\1" * 16,
    event_id: bytes = bytes(16),
    created_us: int = 0,
    payload_version: int = 0,
    severity: int = 1,
    more_header: bytes = b"",
) -> bytes:
    """docs/protocol.md, section 1, written a second time."""
    attrs = b"".join(struct.pack("<HH", key, len(value)) + value for key, value in (attributes or {}).items())
    header_len = 72 + len(more_header)
    return (
        struct.pack(
            "<4sHBBII16s16sqIBBBBHHI", b"TLM5", header_len, 5, 0,
            header_len + len(classification) + len(attrs) + len(payload), len(payload), record_id, event_id, created_us,
            payload_version, severity, kind, len(classification), 0, len(attrs), 0, 0,
        )
        + more_header + classification + attrs + payload
    )  # fmt: skip


def as_object(
    classification: bytes, payload: bytes, kind: int, attributes: dict[int, bytes], record_id: bytes, event_id: bytes,
    created_us: int, payload_version: int, severity: int,
) -> dict[str, Any]:  # fmt: skip
    """docs/protocol.md, section 6, written a second time."""
    found: dict[str, Any] = {
        "id": record_id.hex(),
        "event_id": event_id.hex(),
        "created_us": created_us,
        "severity": severity,
        "classification": classification.decode("ascii"),
        "payload_version": payload_version,
        "payload_kind": KINDS[kind],
    }
    try:
        if b"\0" in payload:
            raise ValueError("NUL")
        found["payload"] = payload.decode("utf-8")
    except ValueError:
        found["payload_base64"] = base64.b64encode(payload).decode()
    facts = {FACT_NAMES[key - 1]: value.decode() for key, value in attributes.items() if 1 <= key <= 8}
    others = {str(key): base64.b64encode(value).decode() for key, value in attributes.items() if key > 8 and key != 16}
    if facts:
        found["facts"] = facts
    if others:
        found["attributes"] = others
    return found


def random_payload(rng: random.Random) -> bytes:
    sort = rng.randrange(5)
    size = rng.choice([0, 1, 2, 3, 4, 5, 63, 64, 65, 300])
    if sort == 0:
        return rng.randbytes(size)
    if sort == 1:
        return bytes(rng.randrange(1, 128) for _ in range(size))
    if sort == 2:
        return bytes(rng.choice(b'\\"\n\r\t\b\f\x1f\x7f/aZ') for _ in range(size))
    points = [rng.choice([0x24, 0x7F, 0x80, 0x7FF, 0x800, 0x2028, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF])
              for _ in range(size)]  # fmt: skip
    text = "".join(map(chr, points)).encode()
    if sort == 3 or not text:
        return text
    # Nearly UTF-8: one byte changed, or cut short.
    at = rng.randrange(len(text))
    return text[:at] + rng.randbytes(rng.randrange(2)) + text[at + 1 :]


@pytest.mark.parametrize("seed", range(8))
def test_random_records_are_what_json_makes_of_them(seed: int) -> None:
    rng = random.Random(seed)
    raws = []
    expected = []
    for _ in range(400):
        attributes: dict[int, bytes] = {}
        for key in rng.sample([*range(1, 9), 16, 9, 100, 0x7FFF], rng.choice([0, 0, 1, 2, 5])):
            value = "".join(
                chr(rng.choice([0x20, 0x22, 0x5C, 0x7E, 0xE9, 0x20AC, 0x1F600])) for _ in range(rng.randrange(1, 40))
            )
            attributes[key] = value.encode() if key <= 16 else rng.randbytes(rng.randrange(40))
        classification = "/".join(
            "".join(
                chr(rng.choice([c for c in range(0x21, 0x7F) if c not in b"/."])) for _ in range(rng.randrange(1, 41))
            )
            for _ in range(3)
        ).encode()
        parts: dict[str, Any] = {
            "classification": classification,
            "payload": random_payload(rng),
            "kind": rng.randrange(4),
            "attributes": attributes,
            "record_id": rng.randbytes(15) + b"\1",
            "event_id": rng.randbytes(16),
            "created_us": rng.choice([0, 1, 2**63 - 1, rng.randrange(2**51)]),
            "payload_version": rng.choice([0, 1, 2**32 - 1]),
            "severity": rng.randrange(1, 5),
        }
        raws.append(record_bytes(**parts, more_header=rng.randbytes(rng.choice([0, 0, 1, 952]))))
        expected.append(as_object(**parts))
        record = wire.decode(raws[-1])
        assert record.attributes == attributes
        assert record.payload == parts["payload"]
    lines, count = wire.to_ndjson(b"".join(raws))
    assert count == len(raws)
    assert [json.loads(line) for line in lines.decode("utf-8").split("\n")[:-1]] == expected


def test_random_damage_is_refused_or_still_a_record() -> None:
    rng = random.Random(5)
    raw = record_bytes(payload="text é".encode(), attributes={1: b"x86_64", 99: b"\0\1"})
    outcomes = set()
    for _ in range(20_000):
        damaged = bytearray(raw)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(raw))] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
        try:
            wire.decode(damaged)
        except RecordError as error:
            outcomes.add(error.reason)
            with pytest.raises(RecordError):
                wire.to_ndjson(damaged)
        else:
            outcomes.add(0)
            json.loads(wire.to_ndjson(damaged)[0])
    assert len(outcomes) > 6


@pytest.mark.parametrize("length", range(78))
def test_cut_short(length: int) -> None:
    raw = record_bytes(payload=b"xyz")
    with pytest.raises(RecordError):
        wire.decode(raw[:length])
    if length:
        with pytest.raises(RecordError):
            wire.split(raw[:length])


def test_names_are_those_of_the_protocol() -> None:
    assert [wire.ATTRIBUTE_NAMES[key] for key in wire.FACT_KEYS] == FACT_NAMES
    assert set(wire.ATTRIBUTE_NAMES) == {*range(1, 9), 16}
    assert wire.PAYLOAD_KINDS == KINDS
    assert wire.REASON_NAMES[0] == "none"
    assert wire.REASON_NAMES[17] == "rate-limit"
    assert reason_name(65535) == "unknown"


def test_what_the_import_brings_along() -> None:
    """Every probe pays for each module: nothing of the standard library but what is built in."""
    package = Path(wire.__file__).parents[1]
    backend = Path(sys.modules["_cffi_backend"].__file__ or "").parent
    script = (
        f"import sys; before = set(sys.modules); sys.path += [{str(package)!r}, {str(backend)!r}]\n"
        "import libtelemetry\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {
        "__future__", "_cffi_backend", "_cffi_backend.lib", "libtelemetry", "libtelemetry._native",
        "libtelemetry._native.lib",
        "libtelemetry.ack", "libtelemetry.client", "libtelemetry.errors", "libtelemetry.record",
    }  # fmt: skip

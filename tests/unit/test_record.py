# SPDX-License-Identifier: Apache-2.0
"""What a Record takes and refuses, and that it says which part was wrong and never what was in it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from libtelemetry import PAYLOAD_MAX, Record, RecordError
from libtelemetry.record import ATTR_ARCH, ATTR_CONFIG_PATH, ATTR_CPU_MODEL, ATTRIBUTES_MAX, JSON_ZSTD

CLASSIFICATION = "example.org/probe/kind"


def test_ids_are_random_and_in_their_form() -> None:
    records = [Record(CLASSIFICATION) for _ in range(200)]
    ids = {record.record_id for record in records}
    assert len(ids) == 200
    assert len({record.event_id for record in records}) == 200
    for record_id in ids:
        assert len(record_id) == 16
        assert record_id[:6] == bytes(6)
        assert record_id[6] >> 4 == 7
        assert record_id[8] >> 6 == 0b10


@pytest.mark.parametrize("given", [bytes(range(1, 17)), bytes(range(1, 17)).hex(), bytes(range(1, 17)).hex().upper()])
def test_ids_that_are_given_are_kept(given: bytes | str) -> None:
    with Record(CLASSIFICATION, record_id=given, event_id=given) as record:
        assert record.record_id == record.event_id == bytes(range(1, 17))


@pytest.mark.parametrize(
    "classification",
    ["a/b/c", "x" * 40 + "/" + "y" * 40 + "/" + "z" * 40, "org.clearlinux/hello/world", '!/"\\/~', "..a/.b./c.."],
)
def test_classification_is_taken(classification: str) -> None:
    Record(classification).close()


@pytest.mark.parametrize(
    "classification",
    [
        "", "a", "a/b", "a/b/", "/b/c", "a//c", "a/b/c/d", "a/b/c ", "a b/c/d", "a/b/c\n", "a/b/c\0", "a/b/c\0d",
        "a/b/é", "../b/c", "a/./c", "a/b/..", "x" * 41 + "/b/c", "x" * 5000, "a/b/\udcff", "a/b/\ud800",
    ],
)  # fmt: skip
def test_classification_is_refused(classification: str) -> None:
    with pytest.raises(RecordError, match="^classification: "):
        Record(classification)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("severity", 0), ("severity", 5), ("severity", -1), ("severity", 2**32 + 1),
        ("payload_version", -1), ("payload_version", 2**32),
        ("payload_kind", 4), ("payload_kind", -1), ("payload_kind", 256),
        ("payload", b"x" * (PAYLOAD_MAX + 1)), ("payload", "é" * (PAYLOAD_MAX // 2) + "x"), ("payload", "\ud800"),
        ("event_id", ""), ("event_id", "0" * 31), ("event_id", "g" * 32), ("event_id", b"0" * 32),
        ("event_id", " 0" * 16),
        ("record_id", bytes(16)), ("record_id", "0" * 32), ("record_id", b""), ("record_id", bytes(17)),
        ("created_us", -1), ("created_us", 2**63),
        ("attributes", {65536: b"x"}), ("attributes", {-1: b"x"}),
        ("attributes", {100: bytes(ATTRIBUTES_MAX)}), ("attributes", {100 + i: bytes(1000) for i in range(5)}),
        ("attributes", {ATTR_ARCH: b"\xff"}), ("attributes", {ATTR_ARCH: "a\nb"}),
        ("attributes", {ATTR_ARCH: "x" * 257}),
        ("attributes", {ATTR_CONFIG_PATH: b"/a\0b"}),
    ],
)  # fmt: skip
def test_a_part_is_refused_by_its_name(part: str, value: Any) -> None:
    with pytest.raises(RecordError, match=f"^{part}: ") as caught:
        Record(CLASSIFICATION, **{part: value})
    assert len(str(caught.value)) < 200, "the message says what is wrong, not what was given"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("severity", 1), ("severity", 4), ("payload_version", 0), ("payload_version", 2**32 - 1),
        ("payload_kind", JSON_ZSTD),
        ("payload", b""), ("payload", b"\0\xff" * (PAYLOAD_MAX // 2)), ("payload", "é" * (PAYLOAD_MAX // 2)),
        ("created_us", 0), ("created_us", 2**63 - 1),
        ("attributes", {}), ("attributes", {ATTR_ARCH: "x" * 256, ATTR_CPU_MODEL: "é"}),
        ("attributes", {40_000: b"critical", 100: b"", 0: b"0"}),
        ("attributes", {100: bytes(ATTRIBUTES_MAX - 4)}),
    ],
)  # fmt: skip
def test_a_part_is_taken(part: str, value: Any) -> None:
    Record(CLASSIFICATION, **{part: value}).close()


def test_wrong_types_are_type_errors() -> None:
    wrong: Any = object()
    for part in ("severity", "payload_version", "payload_kind", "created_us"):
        with pytest.raises(TypeError):
            Record(CLASSIFICATION, **{part: wrong})
    for part in ("payload", "event_id"):
        with pytest.raises((TypeError, AttributeError)):
            Record(CLASSIFICATION, **{part: wrong})


def test_a_closed_record_says_so() -> None:
    with Record(CLASSIFICATION) as record:
        assert record.record_id
    record.close()
    with pytest.raises(ValueError, match="closed"):
        _ = record.record_id
    with pytest.raises(ValueError, match="closed"):
        _ = record.event_id


def test_memory_goes_with_the_last_reference() -> None:
    record = Record(CLASSIFICATION, b"x")
    handle = record._handle
    gone = weakref.ref(handle)
    del handle
    assert gone() is not None
    del record
    gc.collect()
    assert gone() is None


def test_memory_does_not_grow() -> None:
    def resident_kib() -> int:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4

    def some() -> None:
        for _ in range(200):
            Record(CLASSIFICATION, bytes(PAYLOAD_MAX)).close()
            with pytest.raises(RecordError):
                Record(CLASSIFICATION, bytes(PAYLOAD_MAX), record_id=bytes(16))

    some()
    before = resident_kib()
    some()
    some()
    # 400 leaked payloads would be 25 MiB.
    assert resident_kib() - before < 8 * 1024


def test_a_record_has_no_place_for_more() -> None:
    with pytest.raises(AttributeError):
        Record(CLASSIFICATION).severity = 1  # type: ignore[attr-defined]

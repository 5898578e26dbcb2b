# SPDX-License-Identifier: Apache-2.0
"""Records of format 5, good ones and such that break one rule of docs/protocol.md, section 1. Values, no layout."""

from __future__ import annotations

import struct
from typing import Any

from record_layout import (
    ATTRIBUTES_MAX,
    CLASSIFICATION,
    CREATED_US,
    CRITICAL,
    EVENT_ID,
    HOST,
    PAYLOAD,
    PAYLOAD_MAX,
    RECORD_ID,
    RECORD_MAX,
    Vector,
    as_json,
    attribute,
    bad,
    record5,
)


def good5(name: str, attributes: dict[int, bytes] | None = None, **parts: Any) -> Vector:
    given = attributes or {}
    payload = parts.get("payload", PAYLOAD)
    raw = record5(attributes=b"".join(attribute(key, value) for key, value in given.items()), **parts)
    fields = {
        "record_id": parts.get("record_id", RECORD_ID).hex(),
        "event_id": parts.get("event_id", EVENT_ID).hex(),
        "created_us": parts.get("created_us", CREATED_US),
        "payload_version": parts.get("payload_version", 1),
        "severity": parts.get("severity", 1),
        "payload_kind": parts.get("kind", 0),
        "flags": parts.get("flags", 0),
        "classification": parts.get("classification", CLASSIFICATION).decode(),
        "attributes": {str(key): value.hex() for key, value in given.items()},
        "payload_len": len(payload),
    }
    return {"name": name, "hex": raw.hex(), "verdict": "none", "fields": fields, "json": as_json(fields, payload)}


def format5_good() -> list[Vector]:
    most = (1 << 63) - 1
    return [
        good5("plain"),
        good5("resend", flags=1),
        good5("last", flags=2),
        good5("resend-and-last", flags=3),
        good5("unknown-flags", flags=0xF0),
        good5("empty-payload", payload=b""),
        good5("nul-in-payload", payload=b"before\0after"),
        good5("bad-utf8-in-payload", payload=b"\xff\xfe caf\xe9"),
        good5("surrogate-in-payload", payload=b"\xed\xa0\x80"),
        good5("overlong-in-payload", payload=b"\xc0\xaf"),
        good5("cut-utf8-in-payload", payload="grün €".encode()[:-1]),
        good5("utf8-payload", payload="größe: 5 µs, 日本, 🚀\n".encode()),
        good5("payload-json-needs-escapes", payload=b'"quoted"\\ \t\r\n\x01\x1f\x7f</script>'),
        good5("kind-json", kind=1, payload=b'{"a": [1, 2]}'),
        good5("kind-metric", kind=2, payload=b"\x28\xb5\x2f\xfd\x00\x01"),
        good5("kind-json-zstd", kind=3, payload=b"\x28\xb5\x2f\xfd\x04\x00"),
        *(good5(f"severity-{n}", severity=n) for n in (2, 3, 4)),
        good5("created-zero", created_us=0),
        good5("created-largest", created_us=most),
        good5("payload-version-largest", payload_version=0xFFFF_FFFF),
        good5("event-id-zero", event_id=bytes(16)),
        good5("record-id-derived", record_id=bytes.fromhex("0199f0a1b2c3 7fff bfff ffffffffffff")),
        good5("record-id-one-bit", record_id=bytes(15) + b"\1"),
        good5("classification-shortest", classification=b"a/b/c"),
        good5("classification-longest", classification=b"/".join([b"x" * 40] * 3)),
        good5("classification-edges", classification=b"!/~/\"\\"),
        good5("classification-dots-inside", classification=b"..a/.b/..."),
        good5("header-longer", more_header=b"from the future!"),
        good5("header-longest", more_header=b"\xff" * 952),
        good5("attribute-unknown", {500: b"\x00\xffopaque"}),
        good5("attribute-unknown-empty", {0x7FFF: b""}),
        good5("attribute-key-zero", {0: b"zero"}),
        good5("attribute-facts", {n + 1: value for n, value in enumerate(HOST.values())}),
        good5("attribute-fact-empty", {1: b""}),
        good5("attribute-fact-longest", {7: b"m" * 256}),
        good5("attribute-fact-utf8", {6: "Würfel|日本".encode()}),
        good5("attribute-config-path", {16: b"/etc/telemetrics/other.conf"}),
        good5("attributes-mixed-order", {8: b"BIOS", 300: b"x", 2: b"host", 16: b"/x"}),
        good5("attributes-longest", {1000: b"v" * (ATTRIBUTES_MAX - 4)}),
        good5("attributes-most", {0x100 + n: b"" for n in range(ATTRIBUTES_MAX // 4)}),
        good5("payload-8192", payload=b"p" * 8192),
        good5(
            "longest-of-all", {1000: b"v" * (ATTRIBUTES_MAX - 4)}, more_header=bytes(952), payload=b"q" * PAYLOAD_MAX,
            classification=b"/".join([b"x" * 40] * 3),
        ),
    ]  # fmt: skip


def format5_bad() -> list[Vector]:
    whole = record5()
    wrong_classifications = {
        "empty": b"",
        "too-short": b"a/b/",
        "one-slash": b"abc/def",
        "three-slashes": b"a/b/c/d",
        "no-slash": b"abcdef",
        "part-empty": b"a//cde",
        "part-empty-first": b"/b/cde",
        "part-empty-last": b"abc/d/",
        "part-of-41": b"a/" + b"x" * 41 + b"/c",
        "over-122": b"/".join([b"x" * 41] * 3),
        "dot": b"abc/./d",
        "dotdot": b"abc/../d",
        "dotdot-first": b"../abc/d",
        "dotdot-last": b"abc/d/..",
        "space": b"abc/d e/f",
        "nul": b"abc/d\0/f",
        "newline": b"abc/d\n/f",
        "delete": b"abc/d\x7f/f",
        "not-ascii": "abc/dé/f".encode(),
    }
    wrong_attributes = {
        "header-cut": b"\x01\x00\x02",
        "value-cut": attribute(1, b"x86_64")[:-1],
        "trailing-byte": attribute(1, b"x86_64") + b"\0",
        "length-over-all": struct.pack("<HH", 500, 0xFFFF) + b"abc",
        "doubled": attribute(1, b"a") + attribute(1, b"b"),
        "doubled-unknown": attribute(500, b"") + attribute(2, b"h") + attribute(500, b""),
        "critical-unknown": attribute(CRITICAL | 500, b"x"),
        "critical-known-number": attribute(CRITICAL | 1, b"x86_64"),
        "fact-too-long": attribute(7, b"m" * 257),
        "fact-newline": attribute(4, b"6.1\nforged: 1"),
        "fact-nul": attribute(4, b"6.1\0"),
        "fact-delete": attribute(4, b"6.1\x7f"),
        "fact-c1-control": attribute(4, "6.1\u0085".encode()),
        "fact-bad-utf8": attribute(2, b"caf\xe9"),
        "fact-overlong": attribute(2, b"\xe0\x80\xaf"),
        "fact-surrogate": attribute(2, b"\xed\xbf\xbf"),
        "fact-over-unicode": attribute(2, b"\xf4\x90\x80\x80"),
        "fact-cut-utf8": attribute(2, "€".encode()[:2]),
        "fact-lone-continuation": attribute(2, b"\x80"),
        "config-path-empty": attribute(16, b""),
        "config-path-nul": attribute(16, b"/etc/a\0b"),
    }
    return [
        bad("empty", "malformed", b""),
        *(bad(f"cut-at-{n}", "malformed", whole[:n]) for n in (1, 3, 4, 7, 31, 32, 71, 72, 73, len(whole) - 1)),
        bad("one-byte-more", "malformed", whole + b"\0"),
        bad("magic", "malformed", record5(magic=b"TLM4")),
        bad("magic-text", "malformed", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".ljust(len(whole), b" ")),
        bad("magic-format4", "malformed", struct.pack("<I", len(whole)) + whole[4:]),
        *(bad(f"version-{n}", "malformed", record5(version=n)) for n in (0, 4, 6, 255)),
        bad("header-len-0", "malformed", record5(header_len=0)),
        bad("header-len-71", "malformed", record5(header_len=71, total_len=len(whole) - 1)),
        bad("header-len-1025", "malformed", record5(more_header=bytes(953))),
        bad("header-len-over-total", "malformed", record5(header_len=1024)),
        bad("total-len-0", "malformed", record5(total_len=0)),
        bad("total-len-short", "malformed", record5(total_len=len(whole) - 1)),
        bad("total-len-long", "malformed", record5(total_len=len(whole) + 1)),
        bad("total-len-over-limit", "too-large", record5(total_len=RECORD_MAX + 1)),
        bad("total-len-largest", "too-large", record5(total_len=0xFFFF_FFFF)),
        bad("payload-len-long", "malformed", record5(payload_len=len(PAYLOAD) + 1)),
        bad("payload-len-largest", "malformed", record5(payload_len=0xFFFF_FFFF)),
        bad("payload-len-wraps", "malformed", record5(payload_len=(1 << 32) - 8, total_len=90)),
        bad("payload-too-large", "too-large", record5(payload=b"p" * (PAYLOAD_MAX + 1))),
        bad("attrs-len-long", "malformed", record5(attrs_len=1)),
        bad("attributes-too-large", "too-large", record5(attributes=attribute(500, bytes(ATTRIBUTES_MAX - 3)))),
        bad("class-len-long", "malformed", record5(class_len=len(CLASSIFICATION) + 1)),
        bad("class-len-short", "malformed", record5(class_len=len(CLASSIFICATION) - 1)),
        bad("reserved-63", "malformed", record5(reserved=(1, 0, 0))),
        bad("reserved-66", "malformed", record5(reserved=(0, 0x100, 0))),
        bad("reserved-68", "malformed", record5(reserved=(0, 0, 0x1000000))),
        bad("record-id-zero", "record-id", record5(record_id=bytes(16))),
        bad("created-minus-1", "created", record5(created_us=-1)),
        bad("created-smallest", "created", record5(created_us=-(1 << 63))),
        *(bad(f"severity-{n}", "severity", record5(severity=n)) for n in (0, 5, 99, 255)),
        bad("severity-text", "severity", record5(severity=ord("1"))),
        *(bad(f"payload-kind-{n}", "payload-kind", record5(kind=n)) for n in (4, 255)),
        *(
            bad(f"classification-{name}", "classification", record5(classification=text))
            for name, text in wrong_classifications.items()
        ),
        *(
            bad(f"attribute-{name}", "attribute", record5(attributes=raw))
            for name, raw in wrong_attributes.items()
        ),
    ]  # fmt: skip

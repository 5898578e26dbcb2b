# SPDX-License-Identifier: Apache-2.0
"""Records of format 4, good ones and such that break one rule of docs/protocol.md, section 3. Values, no layout."""

from __future__ import annotations

import struct

from record_layout import (
    CONFIG_PATH,
    EVENT_ID,
    FACTS,
    HOST,
    LINES,
    PAYLOAD,
    RECORD_ID,
    RECORD_MAX,
    Vector,
    as_json,
    attribute,
    bad,
    clean,
    header4,
    record4,
    record5,
)


def good4(
    name: str, changes: dict[str, bytes] | None = None, *, payload: bytes = PAYLOAD, end: bytes = b"\0",
    config_path: bytes = b"", event_id: bytes = EVENT_ID,
) -> Vector:  # fmt: skip
    lines = LINES | (changes or {})
    config = b"CFG:" + config_path + b"\0" if config_path else b""
    facts = {n + 1: clean(lines[fact]) for n, fact in enumerate(FACTS)}
    path = {CONFIG_PATH: config_path} if config_path else {}
    # the facts stand in the order of the header's lines, which is that of their keys
    everywhere = facts | path
    on_host = {key: value for key, value in facts.items() if value != HOST[FACTS[key - 1]]} | path
    fields: Vector = {
        "record_id": RECORD_ID.hex(),
        "event_id": event_id.hex(),
        "created_us": int(lines["creation_timestamp"]) * 1_000_000,
        "payload_version": int(lines["payload_format_version"]),
        "severity": int(lines["severity"]),
        "payload_kind": 0,
        "flags": 0,
        "classification": lines["classification"].decode(),
        "payload_len": len(payload),
    }

    def rewritten(attributes: dict[int, bytes]) -> str:
        return record5(
            event_id=event_id, created_us=fields["created_us"], payload_version=fields["payload_version"],
            severity=fields["severity"], classification=lines["classification"], payload=payload,
            attributes=b"".join(attribute(key, value) for key, value in attributes.items()),
        ).hex()  # fmt: skip

    fields["attributes"] = {str(key): value.hex() for key, value in everywhere.items()}
    return {
        "name": name,
        "hex": record4(header4(changes), payload=payload, end=end, config=config).hex(),
        "verdict": "none",
        "fields": fields,
        "json": as_json(fields, payload),
        "format5": rewritten(everywhere),
        "host": {fact: value.decode() for fact, value in HOST.items()},
        "attributes_on_host": {str(key): value.hex() for key, value in on_host.items()},
        "format5_on_host": rewritten(on_host),
    }


def format4_good() -> list[Vector]:
    no_event = bytes(16)
    return [
        good4("plain"),
        good4("no-final-nul", end=b""),
        good4("nul-in-payload", payload=b"before\0after"),
        good4("payload-ends-with-nul", payload=b"one of two\0"),
        good4("bad-utf8-in-payload", payload=b"\xff\xfe caf\xe9"),
        good4("empty-payload", payload=b""),
        good4("empty-payload-no-nul", payload=b"", end=b""),
        good4("payload-8192", payload=b"p" * 8192),
        good4("config-path", config_path=b"/etc/telemetrics/other.conf"),
        good4("config-path-not-utf8", config_path=b"/tmp/caf\xe9"),
        good4("config-path-longest-beside-these-facts", config_path=b"/" + b"c" * 1999),
        *(good4(f"empty-{fact}", {fact: b""}) for fact in FACTS),
        good4("empty-all", dict.fromkeys((*FACTS, "machine_id"), b"")),
        good4("machine-id-dropped", {"machine_id": b"0123456789abcdef0123456789abcdef"}),
        good4("fact-with-spaces", {"cpu_model": b"Intel(R) Xeon(R) CPU @ 2.20GHz", "host_type": b"a b|c d|e f"}),
        good4("fact-with-colon", {"board_name": b"severity: 4|x"}),
        good4("fact-of-a-container", {"system_name": b"fedora_container", "build": b"41"}),
        good4("fact-bad-utf8", {"host_type": b"ACME\xff\xfe|caf\xe9|\xe2\x82"}),
        good4("fact-controls", {"board_name": b"a\x01\x1b[31m\x7f\xc2\x85|\t"}),
        good4("fact-too-long", {"cpu_model": b"m" * 300}),
        good4("fact-too-long-cut-before-a-character", {"cpu_model": b"m" * 255 + "é".encode()}),
        good4("fact-exactly-256", {"cpu_model": b"m" * 254 + "é".encode()}),
        good4("event-id-empty", {"event_id": b""}, event_id=no_event),
        good4("event-id-short", {"event_id": b"abc"}, event_id=no_event),
        good4("event-id-long", {"event_id": EVENT_ID.hex().encode() + b"0"}, event_id=no_event),
        good4("event-id-not-hex", {"event_id": EVENT_ID.hex().encode()[:-1] + b"g"}, event_id=no_event),
        good4("event-id-upper-case", {"event_id": EVENT_ID.hex().upper().encode()}),
        *(good4(f"severity-{n}", {"severity": str(n).encode()}) for n in (1, 3, 4)),
        good4("severity-leading-zero", {"severity": b"03"}),
        good4("created-zero", {"creation_timestamp": b"0"}),
        good4("created-largest", {"creation_timestamp": str(((1 << 63) - 1) // 1_000_000).encode()}),
        good4("payload-version-largest", {"payload_format_version": b"4294967295"}),
        good4("classification-shortest", {"classification": b"a/b/c"}),
        good4("classification-longest", {"classification": b"/".join([b"x" * 40] * 3)}),
    ]


def format4_bad() -> list[Vector]:
    whole = record4(header4())
    lines = header4().splitlines(keepends=True)

    def refused(line: str, value: bytes) -> Vector:
        name = f"{line}-{value[:20].decode('ascii', 'backslashreplace')}".replace(" ", "_")
        return bad(name, line, record4(header4({line: value})))

    without = {name: b"".join(lines[:n] + lines[n + 1 :]) for n, name in enumerate(LINES)}
    doubled = {name: b"".join(lines[: n + 1] + lines[n:]) for n, name in enumerate(LINES)}
    swapped = lines[:5] + [lines[6], lines[5]] + lines[7:]
    numbers = ("record_format_version", "creation_timestamp", "payload_format_version")
    return [
        bad("empty", "malformed", b""),
        *(bad(f"cut-at-{n}", "malformed", whole[:n]) for n in (1, 3, 4, 7, 8, 20, len(whole) - 1)),
        bad("one-byte-more", "malformed", whole + b"\0"),
        *(bad(f"record-size-{n}", "malformed", record4(header4(), record_size=n)) for n in (0, 4, 7, 8, 100)),
        bad("record-size-over-limit", "too-large", record4(header4(), record_size=RECORD_MAX + 1)),
        bad("record-size-largest", "too-large", record4(header4(), record_size=0xFFFF_FFFF)),
        bad("record-size-alone", "malformed", struct.pack("<I", 6) + b"ab"),
        bad("header-size-0", "header", record4(header4(), header_size=0)),
        bad("header-size-short", "header", record4(header4(), header_size=len(header4()) - 1)),
        bad("header-size-long", "header", record4(header4(), header_size=len(header4()) + 1)),
        bad("header-size-over-record", "malformed", record4(header4(), header_size=len(whole))),
        bad("header-size-largest", "malformed", record4(header4(), header_size=0xFFFF_FFFF)),
        bad("header-only-sizes", "header", record4(b"", payload=b"", end=b"")),
        bad("config-without-end", "malformed", struct.pack("<I", 16) + b"CFG:/etc/abc"),
        bad("config-alone", "malformed", struct.pack("<I", 13) + b"CFG:/etc\0"),
        bad("config-then-two-bytes", "malformed", struct.pack("<I", 15) + b"CFG:/etc\0ab"),
        bad("config-empty", "header", record4(header4(), config=b"CFG:\0")),
        bad("config-too-long", "too-large", record4(header4(), config=b"CFG:/" + b"c" * 4096 + b"\0")),
        bad("config-twice", "malformed", record4(header4(), config=b"CFG:/a\0CFG:/b\0")),
        bad("format5-on-the-wrong-socket", "too-large", record5()),
        bad("text", "too-large", b"GET / HTTP/1.1\r\n\r\n"),
        *(bad(f"without-{name}", "header", record4(header)) for name, header in without.items()),
        *(bad(f"doubled-{name}", "header", record4(header)) for name, header in doubled.items()),
        bad("out-of-order", "header", record4(b"".join(swapped))),
        bad("out-of-order-ends", "header", record4(b"".join([lines[-1], *lines[1:-1], lines[0]]))),
        bad("line-unknown", "header", record4(header4() + b"color: green\n")),
        bad("line-empty-after", "header", record4(header4() + b"\n")),
        bad("line-without-newline", "header", record4(header4()[:-1])),
        bad("line-without-space", "header", record4(header4().replace(b"arch: x86_64", b"arch:x86_64"))),
        bad("line-without-colon", "header", record4(header4().replace(b"arch: x86_64", b"arch x86_64"))),
        bad("line-without-value", "header", record4(header4().replace(b"arch: x86_64", b"arch"))),
        bad("line-name-only-colon", "header", record4(header4().replace(b"arch: x86_64", b"arch:"))),
        bad("line-with-nul", "header", record4(header4({"cpu_model": b"a\0b"}))),
        bad("line-name-upper-case", "header", record4(header4().replace(b"arch:", b"Arch:"))),
        bad("line-carriage-return", "severity", record4(header4().replace(b"severity: 2\n", b"severity: 2\r\n"))),
        *(
            bad(f"without-value-{name}", "header", record4(header4({name: b""})))
            for name in (*numbers, "classification", "severity")
        ),
        *(bad(f"not-a-number-{name}", "header", record4(header4({name: b"1x"}))) for name in numbers),
        *(bad(f"space-before-{name}", "header", record4(header4({name: b" 4"}))) for name in numbers),
        *(
            bad(f"record-format-{n}", "header", record4(header4({"record_format_version": str(n).encode()})))
            for n in (0, 3, 5, 44)
        ),
        bad("created-negative", "created", record4(header4({"creation_timestamp": b"-1"}))),
        bad("created-over-int64-us", "header", record4(header4({"creation_timestamp": b"9223372036855"}))),
        bad("created-20-digits", "header", record4(header4({"creation_timestamp": b"9" * 20}))),
        bad("created-19-digits", "header", record4(header4({"creation_timestamp": b"9" * 19}))),
        bad("payload-version-over-u32", "header", record4(header4({"payload_format_version": b"4294967296"}))),
        *(refused("severity", text) for text in (b"0", b"5", b"99", b"-1", b"high", b"2 ", b"+2", b"4294967298")),
        *(
            refused("classification", text)
            for text in (
                b"a/../c", b"../b/c", b"a/./c", b"a/b", b"a/b/c/d", b"a b/c/d", b"a//c", b"x" * 41 + b"/b/c", b"abcd",
                "ä/b/c".encode(),
            )
        ),
    ]  # fmt: skip

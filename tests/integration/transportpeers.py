# SPDX-License-Identifier: Apache-2.0
"""A server's side of each transport, for tests: where it is, what it reads of a request, what it says when all is well.

Written from docs/transports.md and docs/protocol.md, section 6; nothing of the product is imported.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from httppeer import accept, reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from httppeer import Request

NAMES = (
    "record_format_version classification severity machine_id creation_timestamp arch host_type build kernel_version "
    "payload_format_version system_name board_name cpu_model bios_version event_id"
).split()


class Seen(NamedTuple):
    """A record as the server has it. values: those of NAMES, as strings."""

    number: int
    values: dict[str, str]
    payload: bytes


class Peer(NamedTuple):
    """What is particular to one transport."""

    path: str
    """Behind the server's name in the settings."""
    target: str
    """Where the requests arrive."""
    single: bool
    """One record a request."""
    read: Callable[[Request], list[Seen]]
    good: Callable[[Request, socket.socket], bytes]
    """The answer that takes all of it."""
    text: Callable[[bytes], bytes]
    """A payload as the server can have it."""
    value: Callable[[str], str]
    """A value as the server can have it."""


def _hub(request: Request) -> list[Seen]:
    assert request.headers["content-type"] == "application/x-ndjson"
    return [_hub_record(request.host, line) for line in request.records]


def _hub_record(host: dict[str, str], line: dict[str, Any]) -> Seen:
    payload = base64.b64decode(line["payload_base64"]) if "payload_base64" in line else line["payload"].encode()
    values = {
        **dict.fromkeys(NAMES, ""),
        **host,
        **line.get("facts", {}),
        "record_format_version": "4",
        "classification": line["classification"],
        "severity": str(line["severity"]),
        "creation_timestamp": str(line["created_us"] // 1_000_000),
        "payload_format_version": str(line["payload_version"]),
        "event_id": line["event_id"],
    }
    return Seen(int(line["event_id"], 16), values, payload)


def _json(request: Request) -> list[Seen]:
    assert request.headers["content-type"] == "application/json"
    assert b"\\/" not in request.body
    pairs = json.loads(request.body, object_pairs_hook=list)
    assert [name for name, _ in pairs] == [*NAMES, "payload"]
    assert all(isinstance(value, str) for _, value in pairs)
    values = dict(pairs)
    payload = values.pop("payload").encode()
    return [Seen(int(values["event_id"], 16), values, payload)]


def _headers(request: Request) -> list[Seen]:
    values = {name: request.headers[name.replace("_", "-")] for name in NAMES}
    assert all(value.isascii() and value.isprintable() for value in values.values())
    return [Seen(int(values["event_id"], 16), values, request.body)]


def _created(request: Request, stream: socket.socket) -> bytes:
    return reply(201, {"id": 1}, "Content-Type: application/json")


def _as_text(payload: bytes) -> bytes:
    return payload.decode("utf-8", "replace").replace("\0", "\ufffd").encode()


def _as_ascii(value: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in value).strip()


PEERS = {
    "hub": Peer("", "/v1/records", False, _hub, accept, lambda payload: payload, str),
    "backend-json": Peer("/v3/collector", "/v3/collector", True, _json, _created, _as_text, str),
    "backend-headers": Peer("/v2/collector", "/v2/collector", True, _headers, _created, _as_text, _as_ascii),
}

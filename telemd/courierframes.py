# SPDX-License-Identifier: Apache-2.0
"""Frames between telemd and its courier: docs/protocol.md, section 5, both directions.

Pure: bytes in, values out; someone else owns the socket. Both processes read with it, so it must stay cheap to import:
never a clock, a socket or a file in here, and nothing that only the courier needs. telemd trusts nothing of what comes
back: its courier is the one that talks to the network.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

BATCH: Final = 1
VERDICTS: Final = 2
READY: Final = 3

# Verdicts of one record.
DELIVERED: Final = 0
DUPLICATE: Final = 1
REJECTED: Final = 2
RETRY: Final = 3

# Why a record was rejected or is to be tried again; docs/answers.md says what leads to which.
REASON_NONE: Final = 0
REASON_INVALID: Final = 1
REASON_TOO_LARGE: Final = 2
REASON_UNREADABLE: Final = 3
REASON_UNREACHABLE: Final = 4
REASON_TLS: Final = 5
REASON_BUSY: Final = 6
REASON_UNAUTHORISED: Final = 7
REASON_WRONG_ADDRESS: Final = 8
REASON_NONSENSE: Final = 9
REASON_UNDECIDED: Final = 10
REASON_SETTINGS: Final = 11
REASON_NOT_CARRIED: Final = 12
REASON_NAMES: Final = (
    "none",
    "invalid",
    "too-large",
    "unreadable",
    "unreachable",
    "tls",
    "busy",
    "unauthorised",
    "wrong-address",
    "nonsense",
    "undecided",
    "settings",
    "not-carried",
)

FRAME_BYTES_MAX: Final = 2 * 1024 * 1024
RECORDS_MAX: Final = 1000
RECORDS_BYTES_MAX: Final = 1024 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024
TEXT_BYTES_MAX: Final = 1000
RETRY_AFTER_S_MAX: Final = 3600

_FRAME: Final = struct.Struct("<IBQ")
_LEN: Final = struct.Struct("<I")
_HEAD_LEN: Final = struct.Struct("<I")
_VERDICTS: Final = struct.Struct("<IH")
_PAIR: Final = struct.Struct("<BB")
_TEXT_LEN: Final = struct.Struct("<H")
_AFTER_LEN: Final = _FRAME.size - _LEN.size


class FrameError(ValueError):
    """The peer does not speak docs/protocol.md, section 5: nothing more of this stream can be trusted; close it."""


class Destination:
    """Where a batch goes and by which way, as the owner's settings name it. Two that compare equal may share a
    connection. Every value is a string, as in the head of a batch; use_environment is empty for no.
    """

    __slots__ = (
        "cainfo",
        "client_certificate",
        "client_key",
        "proxy",
        "server",
        "tidheader",
        "transport",
        "use_environment",
    )

    def __init__(
        self,
        server: str,
        transport: str = "hub",
        tidheader: str = "",
        cainfo: str = "",
        *,
        client_certificate: str = "",
        client_key: str = "",
        proxy: str = "",
        use_environment: str = "",
    ) -> None:
        self.server = server
        self.transport = transport
        self.tidheader = tidheader
        self.cainfo = cainfo
        self.client_certificate = client_certificate
        self.client_key = client_key
        self.proxy = proxy
        self.use_environment = use_environment

    def as_dict(self) -> dict[str, str]:
        """By name, as it stands in the head of a batch; names without a value are left out."""
        values = {name: getattr(self, name) for name in DESTINATION_NAMES}
        return {name: value for name, value in values.items() if value or name in _ALWAYS_SAID}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Destination) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(tuple(self.as_dict().values()))


DESTINATION_NAMES: Final = (
    "server",
    "transport",
    "tidheader",
    "cainfo",
    "client_certificate",
    "client_key",
    "proxy",
    "use_environment",
)
"""What the head of a batch says of its destination; settings have the same names."""

_ALWAYS_SAID: Final = DESTINATION_NAMES[:4]


class Frame:
    """One whole frame, its body not yet looked at."""

    __slots__ = ("batch_id", "body", "kind")

    def __init__(self, kind: int, batch_id: int, body: bytes) -> None:
        self.kind = kind
        self.batch_id = batch_id
        self.body = body


class Batch:
    """Records of one machine id for one destination; records holds them back to back in format 5."""

    __slots__ = ("batch_id", "destination", "host", "records")

    def __init__(self, batch_id: int, destination: Destination, host: dict[str, str], records: bytes) -> None:
        self.batch_id = batch_id
        self.destination = destination
        self.host = host
        self.records = records


class Verdicts:
    """What became of a batch: one (verdict, reason) a record, in order.

    retry_after_s (0 .. RETRY_AFTER_S_MAX) is what the server asks for, 0 where it asks for nothing. text is one
    sentence for the operator, without control characters, or empty.
    """

    __slots__ = ("batch_id", "retry_after_s", "text", "verdicts")

    def __init__(self, batch_id: int, verdicts: list[tuple[int, int]], retry_after_s: int = 0, text: str = "") -> None:
        self.batch_id = batch_id
        self.verdicts = verdicts
        self.retry_after_s = retry_after_s
        self.text = text


def encode_head(destination: Destination, host: Mapping[str, str]) -> bytes:
    """The head of a batch. Worth keeping: it changes only with the settings, the host's facts or the machine id."""
    import json  # only needed once per change of those

    head = {"destination": destination.as_dict(), "host": dict(host)}
    encoded = json.dumps(head, separators=(",", ":")).encode("ascii")
    if len(encoded) > HEAD_BYTES_MAX:
        raise FrameError(f"a batch's head may have {HEAD_BYTES_MAX} bytes, this one has {len(encoded)}")
    return encoded


def batch_prefix(batch_id: int, head: bytes, records_len: int) -> bytes:
    """What stands before the records of a batch, so that they can go from the spool to sendmsg() without a copy."""
    if records_len > RECORDS_BYTES_MAX:
        raise FrameError(f"a batch may have {RECORDS_BYTES_MAX} bytes of records, this one has {records_len}")
    body_len = _HEAD_LEN.size + len(head) + records_len
    return _FRAME.pack(_AFTER_LEN + body_len, BATCH, batch_id) + _HEAD_LEN.pack(len(head)) + head


def encode_ready() -> bytes:
    """What a courier says first of all."""
    return _FRAME.pack(_AFTER_LEN, READY, 0)


def encode_verdicts(answer: Verdicts) -> bytes:
    """text is cut at TEXT_BYTES_MAX bytes."""
    if len(answer.verdicts) > RECORDS_MAX:
        raise FrameError(f"verdicts on {len(answer.verdicts)} records, a batch has at most {RECORDS_MAX}")
    text = answer.text.encode("utf-8", "replace")[:TEXT_BYTES_MAX]
    retry_after_s = max(0, min(answer.retry_after_s, RETRY_AFTER_S_MAX))
    body = b"".join(
        (
            _VERDICTS.pack(retry_after_s, len(answer.verdicts)),
            b"".join(_PAIR.pack(verdict, reason) for verdict, reason in answer.verdicts),
            _TEXT_LEN.pack(len(text)),
            text,
        )
    )
    return _FRAME.pack(_AFTER_LEN + len(body), VERDICTS, answer.batch_id) + body


def decode_batch(frame: Frame) -> Batch:
    """FrameError where the frame isn't a batch as section 5 has it."""
    if frame.kind != BATCH:
        raise FrameError(f"frame type {frame.kind} where a batch was due")
    body = frame.body
    if len(body) < _HEAD_LEN.size:
        raise FrameError("a batch without a head")
    (head_len,) = _HEAD_LEN.unpack_from(body)
    records_at = _HEAD_LEN.size + head_len
    if head_len > HEAD_BYTES_MAX or records_at > len(body):
        raise FrameError("a batch whose head is longer than allowed")
    if len(body) - records_at > RECORDS_BYTES_MAX:
        raise FrameError("a batch with more bytes of records than allowed")
    destination, host = _decode_head(body[_HEAD_LEN.size : records_at])
    return Batch(frame.batch_id, destination, host, body[records_at:])


def _decode_head(encoded: bytes) -> tuple[Destination, dict[str, str]]:
    import json  # telemd never comes here

    try:
        head = json.loads(encoded)
    except (ValueError, RecursionError):
        raise FrameError("a batch whose head is not JSON") from None
    destination = _strings(head, "destination")
    host = _strings(head, "host")
    machine_id = host.get("machine_id", "")
    if len(machine_id) != 32 or machine_id.strip("0123456789abcdef"):
        raise FrameError("a batch whose machine_id is not 32 hexadecimal digits")
    return Destination(**{name: destination.get(name, "") for name in DESTINATION_NAMES}), host


def _strings(head: object, name: str) -> dict[str, str]:
    section = head.get(name) if isinstance(head, dict) else None
    if not isinstance(section, dict) or not all(isinstance(value, str) for value in section.values()):
        raise FrameError(f"a batch whose head has no {name} of strings")
    return section


def decode_verdicts(frame: Frame, records: int) -> Verdicts:
    """The answer to a batch of that many records. FrameError where it isn't one verdict a record."""
    if frame.kind != VERDICTS:
        raise FrameError(f"frame type {frame.kind} where verdicts were due")
    body = frame.body
    if len(body) < _VERDICTS.size:
        raise FrameError("verdicts cut short")
    retry_after_s, count = _VERDICTS.unpack_from(body)
    text_at = _VERDICTS.size + count * _PAIR.size
    if count != records:
        raise FrameError(f"{count} verdicts on {records} records")
    if len(body) < text_at + _TEXT_LEN.size:
        raise FrameError("verdicts cut short")
    (text_len,) = _TEXT_LEN.unpack_from(body, text_at)
    text = body[text_at + _TEXT_LEN.size :]
    if len(text) != text_len or text_len > TEXT_BYTES_MAX:
        raise FrameError("verdicts whose text doesn't have the length it says")
    verdicts = list(_PAIR.iter_unpack(body[_VERDICTS.size : text_at]))
    if any(verdict > RETRY for verdict, _ in verdicts):
        raise FrameError("a verdict that is none")
    return Verdicts(frame.batch_id, verdicts, min(retry_after_s, RETRY_AFTER_S_MAX), _one_line(text))


def _one_line(text: bytes) -> str:
    # It ends in telemd's log: nothing in it may look like the start of another line or move a terminal's cursor.
    return "".join(char if char.isprintable() else "?" for char in text.decode("utf-8", "replace"))


def reason_name(reason: int) -> str:
    return REASON_NAMES[reason] if reason < len(REASON_NAMES) else "unknown"


class FrameReader:
    """Pieces of a stream in, whole frames out. Holds at most one frame that isn't complete."""

    __slots__ = ("_buffer", "_kinds")

    def __init__(self, kinds: Iterable[int]) -> None:
        self._kinds = frozenset(kinds)
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that piece completes. FrameError as soon as the stream can't be followed any further."""
        buffer = self._buffer
        buffer += piece
        frames = []
        at = 0
        while len(buffer) - at >= _FRAME.size:
            length, kind, batch_id = _FRAME.unpack_from(buffer, at)
            if kind not in self._kinds:
                raise FrameError(f"frame type {kind} isn't known here")
            if not _AFTER_LEN <= length <= FRAME_BYTES_MAX - _LEN.size:
                raise FrameError(f"a frame of {length} bytes, {FRAME_BYTES_MAX} are allowed")
            end = at + _LEN.size + length
            if len(buffer) < end:
                break
            frames.append(Frame(kind, batch_id, bytes(buffer[at + _FRAME.size : end])))
            at = end
        del buffer[:at]
        return frames

    @property
    def unfinished(self) -> bool:
        """A frame has begun and isn't complete: at the end of the stream, it was cut off."""
        return bool(self._buffer)

# SPDX-License-Identifier: Apache-2.0
"""One record under construction, held by the C core.

Validation and layout are the C core's; sockets, files and settings must never come in here.
"""

from __future__ import annotations

from libtelemetry._native import ffi, lib
from libtelemetry.errors import RecordError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from libtelemetry._native import RecordHandle

TEXT = 0
"""payload_kind: text for people."""
JSON = 1
"""payload_kind: a JSON document."""
METRIC = 2
"""payload_kind: a columnar metric batch."""
JSON_ZSTD = 3
"""payload_kind: a JSON document compressed with zstd."""

LOW = 1
MEDIUM = 2
HIGH = 3
CRITICAL = 4

ATTR_ARCH = 1
ATTR_HOST_TYPE = 2
ATTR_BUILD = 3
ATTR_KERNEL_VERSION = 4
ATTR_SYSTEM_NAME = 5
ATTR_BOARD_NAME = 6
ATTR_CPU_MODEL = 7
ATTR_BIOS_VERSION = 8
ATTR_CONFIG_PATH = 16
ATTR_CRITICAL = 0x8000
"""Bit of an attribute's key: who doesn't know the key refuses the record."""

PAYLOAD_MAX: int = lib.TM_PAYLOAD_MAX
"""Bytes of a payload."""
ATTRIBUTES_MAX: int = lib.TM_ATTRIBUTES_MAX
"""Bytes of all attributes of a record together, 4 of overhead each."""


def _as_bytes(value: bytes | str, what: str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise RecordError(f"{what}: the text can't be written as UTF-8") from None


def _as_id(value: bytes | str, what: str) -> bytes:
    try:
        found = value if isinstance(value, bytes) else bytes.fromhex(value)
    except ValueError:
        found = b""
    if len(found) != 16:
        raise RecordError(f"{what}: 16 bytes or 32 hexadecimal digits are needed")
    return found


class Record:
    """A record that is valid from the start, or a RecordError.

    classification is `domain/probe/kind`: three parts of 1 to 40 printable ASCII characters, 122 in all. The payload is
    at most 65,536 bytes; text goes as UTF-8. severity is 1 (low) to 4 (critical). created_us, in microseconds since
    1970, is now unless given, and both ids are random unless given (16 bytes or 32 hexadecimal digits). attributes maps
    the ATTR_ keys to values, for facts that are not those of this host. RecordError says which part is wrong, never
    what was in it.

    The memory is freed by close(), at the end of a `with` block, or when the last reference goes.
    """

    __slots__ = ("_handle",)

    _handle: RecordHandle | None

    def __init__(
        self,
        classification: str,
        payload: bytes | str = b"",
        *,
        severity: int = LOW,
        payload_version: int = 1,
        payload_kind: int = TEXT,
        event_id: bytes | str | None = None,
        record_id: bytes | str | None = None,
        created_us: int | None = None,
        attributes: Mapping[int, bytes | str] | None = None,
    ) -> None:
        self._handle = None
        if not LOW <= severity <= CRITICAL:
            raise RecordError("severity: 1 (low) to 4 (critical) is allowed")
        if not 0 <= payload_version <= 0xFFFFFFFF:
            raise RecordError("payload_version: 0 to 4,294,967,295 is allowed")
        if not TEXT <= payload_kind <= JSON_ZSTD:
            raise RecordError("payload_kind: TEXT, JSON, METRIC or JSON_ZSTD is allowed")
        name = _as_bytes(classification, "classification")
        body = _as_bytes(payload, "payload")
        event = ffi.NULL if event_id is None else _as_id(event_id, "event_id").hex().encode()

        error = ffi.new("int *")
        handle = lib.binding_record(
            name, len(name), severity, payload_version, payload_kind, body, len(body), event, error
        )
        if handle == ffi.NULL:
            raise _refusal(error[0])
        handle = ffi.gc(handle, lib.tm_free_record)

        if record_id is not None and lib.tm_set_record_id(handle, _as_id(record_id, "record_id")) != 0:
            raise RecordError("record_id: all zeros is not an id")
        if created_us is not None:
            if not 0 <= created_us < 1 << 63:
                raise RecordError("created_us: microseconds since 1970, from 0 to 2**63 - 1")
            lib.tm_set_created_us(handle, created_us)
        for key, value in (attributes or {}).items():
            _set_attribute(handle, key, _as_bytes(value, "attributes"))
        self._handle = handle

    @property
    def record_id(self) -> bytes:
        """The 16 bytes that telemd and the hub know the record by."""
        found = ffi.new("uint8_t[16]")
        lib.tm_get_record_id(self._open(), found)
        return bytes(ffi.buffer(found))

    @property
    def event_id(self) -> bytes:
        """The 16 bytes that tie records of one incident together."""
        found = ffi.new("uint8_t[16]")
        lib.tm_get_event_id(self._open(), found)
        return bytes(ffi.buffer(found))

    def encoded(self) -> bytes:
        """All of it as bytes of format 5 (docs/protocol.md, section 1), as it would be sent."""
        room = bytearray(lib.TM_RECORD_MAX)
        size = lib.binding_encode(self._open(), ffi.from_buffer("uint8_t[]", room), len(room))
        return bytes(memoryview(room)[:size])

    def close(self) -> None:
        """Free the memory. The record can't be used any more; closing it again does nothing."""
        # Dropping the reference, rather than freeing, keeps a record alive that another thread is just sending.
        self._handle = None

    def _open(self) -> RecordHandle:
        if self._handle is None:
            raise ValueError("the record is closed")
        return self._handle

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _refusal(error: int) -> Exception:
    if error == lib.BINDING_PAYLOAD_TOO_LARGE:
        return RecordError(f"payload: at most {PAYLOAD_MAX} bytes are allowed")
    if error == lib.BINDING_CLASSIFICATION:
        return RecordError(
            "classification: domain/probe/kind is needed, three parts of 1 to 40 printable ASCII characters, 122 in "
            "all, none of them . or .."
        )
    return MemoryError("no memory for a record")


def _set_attribute(handle: RecordHandle, key: int, value: bytes) -> None:
    if not 0 <= key <= 0xFFFF:
        raise RecordError("attributes: a key is a number from 0 to 65,535")
    if len(value) > ATTRIBUTES_MAX or lib.tm_set_attribute(handle, key, value, len(value)) != 0:
        raise RecordError(f"attributes: key {key} is not allowed this value, or all pass {ATTRIBUTES_MAX} bytes")

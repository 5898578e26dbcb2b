# SPDX-License-Identifier: Apache-2.0
"""What somebody asks for over the control socket, looked at before anything is done with it.

Pure: every value is checked for type and range where it is taken; a verb takes all it knows, and ends with done(),
which finds what it doesn't know. Never repeats in a message what the caller said.
"""

from __future__ import annotations

from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NUMBER_MAX: Final = 2**63 - 1
CLASS_MAX: Final = 122
_HEX: Final = frozenset("0123456789abcdef")


class BadRequest(Exception):
    """The text says what was expected."""


class Request:
    """The arguments of one question. BadRequest from every method."""

    __slots__ = ("_left",)

    def __init__(self, arguments: dict[str, object]) -> None:
        self._left = arguments

    def number(self, name: str, default: int, most: int = NUMBER_MAX) -> int:
        """A whole number from 0 to most."""
        value = self._left.pop(name, default)
        if type(value) is not int or not 0 <= value <= most:
            raise BadRequest(f"{name}: expected a whole number from 0 to {most}")
        return value

    def truth(self, name: str) -> bool:
        """true or false, which is the default."""
        value = self._left.pop(name, False)
        if not isinstance(value, bool):
            raise BadRequest(f"{name}: expected true or false")
        return value

    def lane(self) -> int:
        """lane: the name of one."""
        value = self._left.pop("lane", None)
        if not isinstance(value, str) or value not in LANES:
            raise BadRequest(f"lane: expected one of {', '.join(LANES)}")
        return LANES.index(value)

    def record_id(self) -> bytes:
        """id: 32 hex digits."""
        value = self._left.pop("id", None)
        if not isinstance(value, str) or len(value) != 32 or not set(value) <= _HEX:
            raise BadRequest("id: expected 32 hex digits")
        return bytes.fromhex(value)

    def pattern(self) -> bytes | None:
        """class: a classification, or the begin of one and *; None where it isn't named."""
        value = self._left.pop("class", None)
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= CLASS_MAX or not value.isascii() or "*" in value[:-1]:
            raise BadRequest("class: expected domain/probe/kind, or the begin of it and *")
        return value.encode()

    def place(self) -> tuple[int, int]:
        """from: lane and number, as an answer gave them; the begin of all where it isn't named."""
        value = self._left.pop("from", [0, 0])
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(type(each) is int and 0 <= each <= NUMBER_MAX for each in value)
            or value[0] >= len(LANES)
        ):
            raise BadRequest("from: expected what the answer before said")
        return value[0], value[1]

    def done(self) -> None:
        """Nothing more was asked for."""
        if self._left:
            raise BadRequest(f"{len(self._left)} arguments are not known to this verb")

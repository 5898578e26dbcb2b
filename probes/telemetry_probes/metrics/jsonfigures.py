# SPDX-License-Identifier: Apache-2.0
"""Reads JSON that another program wrote, of which nothing is sure: neither its form nor its numbers.

Pure. What is in it never comes in here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LARGEST: Final = 1 << 64
"""Counters end there; what is larger is no figure."""
TEXT_CHARS_MAX: Final = 200
"""Of a name that goes into an attribute."""
DEPTH_MAX: Final = 32
_NO_BRACKETS: Final = bytes(each for each in range(256) if each not in b"[]{}")


def parsed(content: bytes) -> object:
    """What the JSON says. ValueError: it is none, or too deep."""
    import json

    if not is_shallow(content):
        raise ValueError("its JSON is too deep, or ends early")
    try:
        found: object = json.loads(content.decode("utf-8"))  # of bytes it would take UTF-16, too
    except ValueError:
        raise ValueError("it isn't JSON") from None
    return found


def is_shallow(content: bytes) -> bool:
    """Whether lists and objects are all closed, and lie no deeper in each other than DEPTH_MAX. Some Pythons' own limit
    is more than the stack of a thread holds."""
    outside = b"".join(content.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(None, _NO_BRACKETS)
    for _ in range(DEPTH_MAX):
        if not brackets:
            return True
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return not brackets


def inner(found: object, *names: str) -> object:
    """What stands below these names; None where one isn't there."""
    for name in names:
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


def listed(found: object, *names: str) -> list[object]:
    """The list below these names; an empty one where there is none."""
    there = inner(found, *names)
    return there if isinstance(there, list) else []


def number(found: object, *names: str) -> int | float | None:
    """The number below these names; None where there is none, it is below 0, or no number can be that large."""
    there = inner(found, *names)
    if isinstance(there, bool) or not isinstance(there, int | float) or not 0 <= there < LARGEST:
        return None
    return there


def word(found: object, *names: str) -> str:
    """The text below these names, on one line and not too long; "" where there is none."""
    there = inner(found, *names)
    return one_line(there) if isinstance(there, str) else ""


def one_line(text: str) -> str:
    """Without what can't be printed, and with an end."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:TEXT_CHARS_MAX])

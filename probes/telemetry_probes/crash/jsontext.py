# SPDX-License-Identifier: Apache-2.0
"""JSON of plain values, in ASCII. The json module takes longer to import than a small crash to unwind; the quoting here
is its own, from C. Pure: values in, text out.
"""

from __future__ import annotations

from _json import encode_basestring_ascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    Value: TypeAlias = str | int | bool | None | Sequence["Value"] | Mapping[str, "Value"]


def write(value: Value) -> str:
    """One line, without blanks. Anything that can't be encoded (half a surrogate) comes as its escape."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if hasattr(value, "items"):
        pairs = [f"{encode_basestring_ascii(name)}:{write(each)}" for name, each in value.items()]
        return "{" + ",".join(pairs) + "}"
    return "[" + ",".join([write(each) for each in value]) + "]"

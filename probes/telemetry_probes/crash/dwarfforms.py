# SPDX-License-Identifier: Apache-2.0
"""How values are written in `.debug_info`: abbreviations, forms, numbers of variable length (DWARF 5, chapter 7.5).

Pure: bytes in, numbers out. Everything may be a lie; a reader that runs off its bytes raises IndexError or
struct.error, which `lines` turns into "not known". What an entry means is for `dwarfunits`.
"""

from __future__ import annotations

from struct import Struct

from telemetry_probes.crash import dwarfcodes as dw
from telemetry_probes.crash.leb import sleb, uleb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.pieces import Inflated, Plain

ATTRIBUTES_MAX = 128
ABBREVIATIONS_MAX = 1 << 16
FIRST_BYTES = 1 << 14
"""Of a table of abbreviations, which are taken first; four times as many if those don't suffice."""

_SIZES = {
    0: (dw.FORM_FLAG_PRESENT, dw.FORM_IMPLICIT_CONST),
    1: (dw.FORM_DATA1, dw.FORM_FLAG, dw.FORM_REF1, dw.FORM_STRX1, dw.FORM_ADDRX1),
    2: (dw.FORM_DATA2, dw.FORM_REF2, dw.FORM_STRX2, dw.FORM_ADDRX2),
    3: (dw.FORM_STRX3, dw.FORM_ADDRX3),
    4: (dw.FORM_DATA4, dw.FORM_REF4, dw.FORM_REF_SUP4, dw.FORM_STRX4, dw.FORM_ADDRX4),
    8: (dw.FORM_DATA8, dw.FORM_REF8, dw.FORM_REF_SIG8, dw.FORM_REF_SUP8),
    16: (dw.FORM_DATA16,),
}
_OFFSETS = (
    dw.FORM_STRP, dw.FORM_SEC_OFFSET, dw.FORM_STRP_SUP, dw.FORM_LINE_STRP, dw.FORM_GNU_REF_ALT, dw.FORM_GNU_STRP_ALT,
)  # fmt: skip
_ULEBS = frozenset((dw.FORM_UDATA, dw.FORM_REF_UDATA, dw.FORM_STRX, dw.FORM_ADDRX, dw.FORM_LOCLISTX, dw.FORM_RNGLISTX))
_ULEBS |= {dw.FORM_GNU_ADDR_INDEX, dw.FORM_GNU_STR_INDEX, dw.FORM_SDATA}

Value = tuple[int, int]
"""A form, and its number: a constant, offset, address or index, or where in the unit a string or block begins."""


class NotDwarfError(Exception):
    """The bytes break the format, or a limit; `lines` makes "not known" of it."""


class Layout:
    """What sizes depend on: a unit's version, its addresses' and offsets' bytes."""

    __slots__ = ("address_size", "offset_size", "sizes", "version")

    def __init__(self, version: int, address_size: int, offset_size: int) -> None:
        self.version = version
        self.address_size = address_size
        self.offset_size = offset_size
        sizes = {form: size for size, forms in _SIZES.items() for form in forms}
        sizes[dw.FORM_ADDR] = address_size
        sizes[dw.FORM_REF_ADDR] = address_size if version == 2 else offset_size
        for form in _OFFSETS:
            sizes[form] = offset_size
        self.sizes = sizes


class Abbreviation:
    """The shape of an entry. `steps` is how to get past it: bytes to skip, then a form of variable length or 0."""

    __slots__ = ("attributes", "children", "names", "steps", "tag")

    def __init__(self, tag: int, children: bool, attributes: list[tuple[int, int, int]], layout: Layout) -> None:
        """`attributes` are (name, form, implicit constant)."""
        self.tag = tag
        self.children = children
        self.attributes = attributes
        self.names = frozenset([name for name, _form, _constant in attributes])
        steps, fixed = [], 0
        for _name, form, _constant in attributes:
            size = layout.sizes.get(form)
            if size is None:
                steps.append((fixed, form))
                fixed = 0
            else:
                fixed += size
        self.steps = (*steps, (fixed, 0))


class Abbreviations(dict[int, Abbreviation]):
    """A table of abbreviations by code, each taken apart when it is first used; a unit uses few of those it has."""

    __slots__ = ("_data", "_layout", "_places")

    def __init__(self, section: Plain | Inflated, at: int, layout: Layout) -> None:
        """The table that begins at `at`, which ends with a 0; how far that is isn't said."""
        super().__init__()
        self._layout = layout
        size = FIRST_BYTES
        while True:
            self._data = section.read(at, size)
            self._places: dict[int, int] = {}
            try:
                self._find_all()
                break
            except IndexError:
                if at + size >= section.size:
                    raise
                size <<= 2

    def __missing__(self, code: int) -> Abbreviation:
        attributes, at = self._attributes(self._places[code])
        tag, at = uleb(self._data, self._places[code])
        self[code] = Abbreviation(tag, self._data[at] != 0, attributes, self._layout)
        return self[code]

    def _find_all(self) -> None:
        data, places, at = self._data, self._places, 0
        while len(places) < ABBREVIATIONS_MAX:
            code, at = uleb(data, at)
            if not code:
                return
            places[code] = at
            # Tag and the flag for children, then the attributes up to two zeros. Only constants can have zeros too.
            end = data.find(b"\0\0", uleb(data, at)[1] + 1)
            if end < 0:
                raise IndexError
            at = self._attributes(at)[1] if data.find(dw.FORM_IMPLICIT_CONST, at, end) >= 0 else end + 2
        raise NotDwarfError

    def _attributes(self, at: int) -> tuple[list[tuple[int, int, int]], int]:
        data = self._data
        _tag, at = uleb(data, at)
        at += 1
        attributes: list[tuple[int, int, int]] = []
        while len(attributes) <= ATTRIBUTES_MAX:
            # Almost all of them are one byte each.
            name, form = data[at], data[at + 1]
            if name | form < 0x80:
                at += 2
            else:
                name, at = uleb(data, at)
                form, at = uleb(data, at)
            constant = 0
            if form == dw.FORM_IMPLICIT_CONST:
                constant, at = sleb(data, at)
            if not name and not form:
                return attributes, at
            attributes.append((name, form, constant))
        raise NotDwarfError


def skip(data: bytes, at: int, steps: tuple[tuple[int, int], ...], layout: Layout) -> int:
    """Where the entry ends whose values begin at `at`."""
    for fixed, form in steps:
        at += fixed
        if form:
            at = _skip_form(data, at, form, layout)
    return at


def _skip_form(data: bytes, at: int, form: int, layout: Layout) -> int:
    if form in _ULEBS:
        while data[at] >= 0x80:
            at += 1
        return at + 1
    if form == dw.FORM_STRING:
        end = data.find(0, at)
        if end < 0:
            raise NotDwarfError
        return end + 1
    return _value(data, at, form, 0, layout)[1]


_U2, _U4, _U8 = Struct("<H"), Struct("<I"), Struct("<Q")


def _number(data: bytes, at: int, size: int) -> int:
    if size == 4:
        return int(_U4.unpack_from(data, at)[0])
    if size == 8:
        return int(_U8.unpack_from(data, at)[0])
    if size == 1:
        return data[at]
    if size == 2:
        return int(_U2.unpack_from(data, at)[0])
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "little")


def _value(data: bytes, at: int, form: int, constant: int, layout: Layout) -> tuple[Value, int]:
    """One value, and where it ends."""
    size = layout.sizes.get(form)
    if size:
        return (form, _number(data, at, size)), at + size
    if size == 0:
        return (form, constant if form == dw.FORM_IMPLICIT_CONST else 1), at
    if form == dw.FORM_SDATA:
        number, at = sleb(data, at)
        return (form, number), at
    if form in _ULEBS:
        number, at = uleb(data, at)
        return (form, number), at
    if form == dw.FORM_STRING:
        return (form, at), _skip_form(data, at, form, layout)
    if form == dw.FORM_INDIRECT:
        actual, at = uleb(data, at)
        if actual in (dw.FORM_INDIRECT, dw.FORM_IMPLICIT_CONST):
            raise NotDwarfError
        return _value(data, at, actual, 0, layout)
    if form in (dw.FORM_BLOCK, dw.FORM_EXPRLOC):
        size, start = uleb(data, at)
    elif form in (dw.FORM_BLOCK1, dw.FORM_BLOCK2, dw.FORM_BLOCK4):
        width = {dw.FORM_BLOCK1: 1, dw.FORM_BLOCK2: 2, dw.FORM_BLOCK4: 4}[form]
        size, start = _number(data, at, width), at + width
    else:
        raise NotDwarfError
    if start + size > len(data):
        raise NotDwarfError
    return (form, start), start + size


def values(data: bytes, at: int, abbreviation: Abbreviation, layout: Layout) -> tuple[dict[int, Value], int]:
    """All attributes of an entry by name, and where it ends."""
    found = {}
    for name, form, constant in abbreviation.attributes:
        found[name], at = _value(data, at, form, constant, layout)
    return found, at

# SPDX-License-Identifier: Apache-2.0
"""Rust's mangled names of form v0 (`_R…`, Rust RFC 2603) made readable.

Pure: text in, text out. A name comes out of a file that may be hostile, so depth, steps and length have limits. Crate
disambiguators aren't shown, as in c++filt. Never in here: the older form (`rustnames`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH_MAX = 96
STEPS_MAX = 20_000
TEXT_MAX = 8192
"""Characters of a readable name, also while it is put together: backreferences can double it at each step."""

BASIC_TYPES = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16", "u": "()", "v": "...",
    "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
BASE_62 = {character: value for value, character in enumerate(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")}  # fmt: skip
HEX = frozenset("0123456789abcdef")
DIGITS = frozenset("0123456789")


class _NotRustError(Exception):
    """The name breaks the grammar or a limit; never leaves this module."""


def readable(name: str) -> str | None:
    """The name as Rust's source has it, or None where it breaks the grammar or a limit."""
    if not name.isascii() or len(name) > TEXT_MAX:
        return None
    try:
        return _V0(name[2:].partition(".")[0]).symbol()
    except _NotRustError:
        return None


class _V0:
    """A reader of one v0 name, a method a rule of the grammar; each gives the text of what it has read."""

    __slots__ = ("at", "bound", "depth", "steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.steps = 0
        self.bound = 0  # lifetimes that a `for<>` around this place has named

    def symbol(self) -> str:
        name = self.path(True)
        if self.at < len(self.text):
            self.path(True)  # the crate that asked for this instance, which nobody wants to read
        if self.at < len(self.text):
            raise _NotRustError
        return name

    # letters and numbers

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        character = self.text[self.at : self.at + 1]
        if not character:
            raise _NotRustError
        self.at += 1
        return character

    def took(self, character: str) -> bool:
        if self.text[self.at : self.at + 1] != character:
            return False
        self.at += 1
        return True

    def base62(self) -> int:
        """`_` is 0, `0_` is 1, and so on."""
        if self.took("_"):
            return 0
        value = 0
        while not self.took("_"):
            digit = BASE_62.get(self.take())
            if digit is None or value > 1 << 64:
                raise _NotRustError
            value = value * 62 + digit
        return value + 1

    def disambiguator(self) -> int:
        return self.base62() + 1 if self.took("s") else 0

    def word(self) -> str:
        """An identifier without its disambiguator."""
        coded = self.took("u")
        start = self.at
        if not self.took("0"):
            while self.peek() in DIGITS and self.peek():
                self.at += 1
        if not 0 < self.at - start < 6:
            raise _NotRustError
        size = int(self.text[start : self.at])
        self.took("_")
        word = self.text[self.at : self.at + size]
        if len(word) < size:
            raise _NotRustError
        self.at += size
        if not coded:
            return word
        head, _, tail = word.rpartition("_")
        try:
            return (f"{head}-{tail}" if head else tail).encode().decode("punycode")
        except (UnicodeError, OverflowError, ValueError):
            raise _NotRustError from None

    def list_until_end(self, item: Callable[[], str]) -> list[str]:
        items = []
        while not self.took("E"):
            items.append(item())
        return items

    def tuple_of(self, item: Callable[[], str]) -> str:
        items = self.list_until_end(item)
        return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"

    def checked(self, text: str) -> str:
        if len(text) > TEXT_MAX:
            raise _NotRustError
        return text

    def within(self, rule: Callable[[], str]) -> str:
        """What `rule` reads, one level deeper."""
        self.depth += 1
        self.steps += 1
        if self.depth > DEPTH_MAX or self.steps > STEPS_MAX:
            raise _NotRustError
        text = self.checked(rule())
        self.depth -= 1
        return text

    def back(self, rule: Callable[[], str]) -> str:
        """A backreference: `rule` once more, at a place that was read before."""
        place = self.at - 1
        target = self.base62()
        if target >= place:
            raise _NotRustError
        here, self.at = self.at, target
        text = rule()
        self.at = here
        return text

    # paths

    def path(self, in_value: bool) -> str:
        """`in_value`: generic arguments are written `f::<T>`; in a type they are `F<T>`."""
        return self.within(lambda: self._path(in_value))

    def _path(self, in_value: bool) -> str:
        kind = self.take()
        if kind == "C":
            self.disambiguator()
            return self.word()
        if kind == "M":
            self.impl_path()
            return f"<{self.type()}>"
        if kind == "X":
            self.impl_path()
            return f"<{self.type()} as {self.path(False)}>"
        if kind == "Y":
            return f"<{self.type()} as {self.path(False)}>"
        if kind == "N":
            return self.nested(in_value)
        if kind == "I":
            inner = self.path(in_value)
            arguments = ", ".join(self.list_until_end(self.generic_argument))
            return f"{inner}::<{arguments}>" if in_value else f"{inner}<{arguments}>"
        if kind == "B":
            return self.back(lambda: self.path(in_value))
        raise _NotRustError

    def impl_path(self) -> None:
        self.disambiguator()
        self.path(False)

    def nested(self, in_value: bool) -> str:
        namespace = self.take()
        inner = self.path(in_value)
        number = self.disambiguator()
        name = self.word()
        if namespace.islower():
            return f"{inner}::{name}" if name else inner
        if not namespace.isupper():
            raise _NotRustError
        kind = {"C": "closure", "S": "shim"}.get(namespace, namespace)
        return f"{inner}::{{{kind}:{name}#{number}}}" if name else f"{inner}::{{{kind}#{number}}}"

    def generic_argument(self) -> str:
        if self.took("L"):
            return self.lifetime(self.base62())
        if self.took("K"):
            return self.constant()
        return self.type()

    # lifetimes

    def lifetime(self, number: int) -> str:
        if number == 0:
            return "'_"
        depth = self.bound - number
        if depth < 0:
            raise _NotRustError
        return "'" + chr(ord("a") + depth) if depth < 26 else f"'_{depth}"

    def bound_in(self, rule: Callable[[], str]) -> str:
        """`rule` below a `for<'a, 'b>`, where there is one."""
        count = self.base62() + 1 if self.took("G") else 0
        if count > 64:
            raise _NotRustError
        outer, self.bound = self.bound, self.bound + count
        names = ", ".join([self.lifetime(count - place) for place in range(count)])
        text = rule()
        self.bound = outer
        return f"for<{names}> {text}" if count else text

    # types

    def type(self) -> str:
        return self.within(self._type)

    def _type(self) -> str:
        kind = self.take()
        if kind in BASIC_TYPES:
            return BASIC_TYPES[kind]
        if kind in "RQ":
            lifetime = self.base62() if self.took("L") else 0
            named = self.lifetime(lifetime) + " " if lifetime else ""
            return f"&{named}{'mut ' if kind == 'Q' else ''}{self.type()}"
        if kind in "PO":
            return f"*{'const' if kind == 'P' else 'mut'} {self.type()}"
        if kind == "A":
            return f"[{self.type()}; {self.constant()}]"
        if kind == "S":
            return f"[{self.type()}]"
        if kind == "T":
            return self.tuple_of(self.type)
        if kind == "F":
            return self.bound_in(self.function_type)
        if kind == "D":
            text = "dyn " + self.bound_in(lambda: " + ".join(self.list_until_end(self.dyn_trait)))
            if not self.took("L"):
                raise _NotRustError
            lifetime = self.base62()
            return f"{text} + {self.lifetime(lifetime)}" if lifetime else text
        if kind == "B":
            return self.back(self.type)
        self.at -= 1
        return self.path(False)

    def function_type(self) -> str:
        unsafe = "unsafe " if self.took("U") else ""
        abi = ""
        if self.took("K"):
            abi = "C" if self.took("C") else self.word().replace("_", "-")
            abi = f'extern "{abi}" '
        parameters = ", ".join(self.list_until_end(self.type))
        result = "" if self.took("u") else " -> " + self.type()
        return f"{unsafe}{abi}fn({parameters}){result}"

    def dyn_trait(self) -> str:
        name = self.path(False)
        bindings = []
        while self.took("p"):
            bindings.append(f"{self.word()} = {self.type()}")
        if not bindings:
            return name
        # The generic arguments that are there already and the bindings share one pair of angle brackets.
        inner = name[:-1] + ", " if name.endswith(">") else name + "<"
        return self.checked(inner + ", ".join(bindings) + ">")

    # constants

    def constant(self) -> str:
        return self.within(self._constant)

    def _constant(self) -> str:
        kind = self.take()
        if kind == "p":
            return "_"
        if kind == "B":
            return self.back(self.constant)
        if kind in "hmtyjo":
            return self.number()
        if kind in "alsxni":
            return ("-" if self.took("n") else "") + self.number()
        if kind == "b":
            truth = {"0": "false", "1": "true"}.get(self.hex_digits())
            if truth is None:
                raise _NotRustError
            return truth
        if kind == "c":
            code = int(self.hex_digits() or "0", 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise _NotRustError
            return repr(chr(code))
        if kind == "e":
            return "*" + self.string()
        if kind in "RQ":
            if kind == "R" and self.took("e"):
                return self.string()
            return f"&{'mut ' if kind == 'Q' else ''}{self.constant()}"
        if kind == "A":
            return f"[{', '.join(self.list_until_end(self.constant))}]"
        if kind == "T":
            return self.tuple_of(self.constant)
        if kind == "V":
            return self.variant()
        raise _NotRustError

    def variant(self) -> str:
        """A struct or a variant of an enum with its fields."""
        name = self.path(True)
        kind = self.take()
        if kind == "U":
            return name
        if kind == "T":
            return f"{name}({', '.join(self.list_until_end(self.constant))})"
        if kind == "S":
            return f"{name} {{ {', '.join(self.list_until_end(self.field))} }}"
        raise _NotRustError

    def field(self) -> str:
        self.disambiguator()
        return f"{self.word()}: {self.constant()}"

    def hex_digits(self) -> str:
        start = self.at
        while not self.took("_"):
            if self.take() not in HEX:
                raise _NotRustError
        return self.text[start : self.at - 1]

    def number(self) -> str:
        digits = self.hex_digits()
        # What doesn't fit 64 bits stays as it stands, as in rustc.
        return str(int(digits or "0", 16)) if len(digits) <= 16 else "0x" + digits

    def string(self) -> str:
        digits = self.hex_digits()
        try:
            return '"' + bytes.fromhex(digits).decode().replace("\\", "\\\\").replace('"', '\\"') + '"'
        except ValueError:
            raise _NotRustError from None

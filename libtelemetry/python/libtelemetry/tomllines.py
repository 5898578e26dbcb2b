# SPDX-License-Identifier: Apache-2.0
"""On which line of a TOML text each key stands, which no parser tells: for all who tell the owner of a mistake there.

Pure: text in, numbers out. What a key means, and whether the text is TOML at all, is never asked here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_BARE_KEY: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Where each key and table of a valid TOML text stands, by its full path; the first place counts."""
    scan = _Scan(text)
    table: tuple[str, ...] = ()
    places: dict[tuple[str, ...], int] = {}
    while scan.to_statement():
        line = scan.line
        if scan.here() == "[":
            scan.skip("[")
            path = table = scan.key_path("]")
            scan.skip("]")
        else:
            path = table + scan.key_path("=")
            scan.skip("=")
            scan.value()
        for depth in range(1, len(path) + 1):
            places.setdefault(path[:depth], line)
    return places


class _Scan:
    """Walks through valid TOML statement by statement; knows strings, comments and brackets, and nothing of values."""

    __slots__ = ("at", "line", "text")

    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.line = 1

    def here(self) -> str:
        return self.text[self.at : self.at + 1]

    def step(self, count: int = 1) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def skip(self, characters: str) -> None:
        while self.here() and self.here() in characters:
            self.step()

    def comment(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def to_statement(self) -> bool:
        self.skip(" \t\n")
        while self.here() == "#":
            self.comment()
            self.skip(" \t\n")
        return bool(self.here())

    def key_path(self, end: str) -> tuple[str, ...]:
        parts: list[str] = []
        while self.here() and self.here() != end:
            if self.here() in "\"'":
                parts.append(_unquoted(self.string()))
            elif self.here() in _BARE_KEY:
                begin = self.at
                while self.here() and self.here() in _BARE_KEY:
                    self.step()
                parts.append(self.text[begin : self.at])
            else:
                self.step()
        return tuple(parts)

    def string(self) -> str:
        begin = self.at
        quote = self.here()
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.step(len(mark))
        while self.here() and not self.text.startswith(mark, self.at):
            self.step(2 if quote == '"' and self.here() == "\\" else 1)
        self.step(len(mark))
        if len(mark) == 3:
            self.skip(quote)  # up to two quotes may stand right before the closing three
        return self.text[begin : self.at]

    def value(self) -> None:
        depth = 0
        while self.here():
            character = self.here()
            if character in "\"'":
                self.string()
                continue
            if character == "#":
                self.comment()
                continue
            if character == "\n" and depth == 0:
                return
            depth += (character in "[{") - (character in "]}")
            self.step()


def _unquoted(literal: str) -> str:
    if literal.startswith("'"):
        return literal[1:-1]
    import tomli

    return str(tomli.loads(f"key = {literal}")["key"])

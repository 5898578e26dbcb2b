# SPDX-License-Identifier: Apache-2.0
"""Reads what others measured, in the text format of Prometheus (its version 0.0.4).

As node_exporter takes it from files: samples without a time of their own. Pure: bytes in, values out. Where a sample
comes from, and what becomes of it, never comes in here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NAME_CHARS_MAX: Final = 120
LABEL_CHARS_MAX: Final = 64
"""Of a label's name."""
VALUE_CHARS_MAX: Final = 256
"""Of a label's value. A record has room for these and no more."""
LABELS_MAX: Final = 16
LINES_MAX: Final = 20_000
LINE_CHARS_MAX: Final = 16_384
SAMPLES_MAX: Final = 10_000
FINITE: Final = 1e300
"""A value beyond is left out, as NaN and the infinities are."""

_EXPECTED: Final = 'expected `NAME VALUE` or `NAME{LABEL="TEXT"} VALUE`'
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME: Final = _LETTERS | frozenset("0123456789")
_ESCAPES: Final = {"\\": "\\", '"': '"', "n": "\n"}
_KINDS: Final = ("counter", "gauge", "histogram", "summary", "untyped")


class Sample:
    """name, and what makes it one of several: labels, sorted. counts: it only grows."""

    __slots__ = ("counts", "labels", "name", "value")

    def __init__(self, name: str, labels: tuple[tuple[str, str], ...], value: float, counts: bool) -> None:
        self.name = name
        self.labels = labels
        self.value = value
        self.counts = counts


def samples(text: bytes) -> list[Sample]:
    """Those of a text whose value is a number that isn't too large. ValueError: the first line that is wrong, and how;
    nothing of such a text is taken."""
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise ValueError("it isn't UTF-8") from None
    if len(lines) > LINES_MAX:
        raise ValueError(f"it has more than {LINES_MAX} lines")
    kinds: dict[str, str] = {}
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    found: list[Sample] = []
    for number, line in enumerate(lines, 1):
        try:
            if len(line) > LINE_CHARS_MAX:
                raise ValueError(f"it has more than {LINE_CHARS_MAX} characters")
            line = line.strip(" \t\r")
            if line.startswith("#"):
                _note_kind(line, kinds)
            elif line:
                name, labels, value = _sample(line)
                if (name, labels) in seen:
                    raise ValueError("that sample is there already")
                seen.add((name, labels))
                if -FINITE < value < FINITE:
                    found.append(Sample(name, labels, value, _counts(name, kinds)))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if len(seen) > SAMPLES_MAX:
            raise ValueError(f"it has more than {SAMPLES_MAX} samples")
    return found


def _note_kind(line: str, kinds: dict[str, str]) -> None:
    words = line[1:].split()
    if not words or words[0] != "TYPE":
        return
    if len(words) != 3 or words[2] not in _KINDS:
        raise ValueError("expected `# TYPE NAME counter`, or another type")
    if words[1] in kinds:
        raise ValueError("a second TYPE of the same metric")
    kinds[words[1]] = words[2]


def _counts(name: str, kinds: dict[str, str]) -> bool:
    kind = kinds.get(name)
    if kind is not None:
        return kind == "counter"
    base, _, part = name.rpartition("_")
    kind = kinds.get(base)
    return (kind == "histogram" and part in ("bucket", "sum", "count")) or (
        kind == "summary" and part in ("sum", "count")
    )


def _sample(line: str) -> tuple[str, tuple[tuple[str, str], ...], float]:
    end = _name_end(line, 0, colons=True)
    name, at = line[:end], _blanks(line, end)
    labels: list[tuple[str, str]] = []
    if line[at : at + 1] == "{":
        at = _labels(line, at + 1, labels)
    elif at == end:
        raise ValueError(_EXPECTED)
    words = line[at:].split()
    if len(words) == 2:
        raise ValueError("a sample with a time of its own isn't taken: leave the time out")
    if len(words) != 1:
        raise ValueError(_EXPECTED)
    if "_" in words[0]:
        raise ValueError("its value is no number")
    try:
        return name, tuple(sorted(labels)), float(words[0])
    except ValueError:
        raise ValueError("its value is no number") from None


def _labels(line: str, at: int, labels: list[tuple[str, str]]) -> int:
    """Behind the `}`."""
    while True:
        at = _blanks(line, at)
        if line[at : at + 1] == "}":
            return at + 1
        end = _name_end(line, at, colons=False)
        name, at = line[at:end], _blanks(line, end)
        if line[at : at + 1] != "=" or line[(at := _blanks(line, at + 1)) : at + 1] != '"':
            raise ValueError('expected `LABEL="TEXT"`')
        value, at = _quoted(line, at + 1)
        if any(name == known for known, _ in labels):
            raise ValueError("a label twice")
        if len(labels) == LABELS_MAX:
            raise ValueError(f"more than {LABELS_MAX} labels")
        labels.append((name, value))
        at = _blanks(line, at)
        if line[at : at + 1] == ",":
            at += 1
        elif line[at : at + 1] != "}":
            raise ValueError("expected `,` or `}` behind a label")


def _quoted(line: str, at: int) -> tuple[str, int]:
    """A label's value, and where what follows it begins."""
    found = ""
    while True:
        end = line.find('"', at)
        escape = line.find("\\", at, max(end, at))
        if end < 0:
            raise ValueError("a label's value doesn't end")
        if escape < 0:
            found += line[at:end]
            if len(found) > VALUE_CHARS_MAX:
                raise ValueError(f"a label's value has more than {VALUE_CHARS_MAX} characters")
            return found, end + 1
        letter = line[escape + 1 : escape + 2]
        if letter not in _ESCAPES:
            raise ValueError("behind \\ in a label's value may be \\, \" or n")
        found += line[at:escape] + _ESCAPES[letter]
        at = escape + 2


def _name_end(line: str, at: int, colons: bool) -> int:
    """Where the name that begins there ends."""
    end = at
    while end < len(line) and (line[end] in _NAME or (colons and line[end] == ":")):
        end += 1
    if end == at or line[at] not in (_LETTERS | {":"}):
        raise ValueError("a name begins with a letter or `_`, and has but those and digits")
    chars_max = NAME_CHARS_MAX if colons else LABEL_CHARS_MAX
    if end - at > chars_max:
        raise ValueError(f"a name has more than {chars_max} characters")
    return end


def _blanks(line: str, at: int) -> int:
    while line[at : at + 1] in (" ", "\t"):
        at += 1
    return at

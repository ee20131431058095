"""Simple facts about every character of a text, as columns of numbers that a unit may track.

It knows no model. A fact lies in the character itself, in what is before it, or in what is after.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Where = Literal["here", "before", "after"]
OPENING = dict(zip("“「『《‘（([{【〈«", "”」』》’）)]}】〉»", strict=True))
"""What opens, by what closes it; a straight quotation mark does both."""
LAGS = (1, 2, 4, 8)
"""Distances at which a character may be the same as before."""


@dataclass(frozen=True)
class Feature:
    """A fact about every character (T,), and where it can be read: here, before or after."""

    name: str
    where: Where
    values: NDArray[np.float64]


def features(texts: Sequence[str]) -> list[Feature]:
    """All facts about the characters of documents, one after another."""
    return [
        Feature(name, where, np.concatenate([column(text) for text in texts]).astype(np.float64))
        for name, where, column in COLUMNS
    ]


Column = Callable[[str], NDArray[np.float64]]


def _each(fact: Callable[[str], bool]) -> Column:
    return lambda text: np.array([fact(character) for character in text], dtype=np.float64)


def _count(goes_on: Callable[[str], bool]) -> Column:
    """How many characters in a row, up to and with this one, are such."""

    def column(text: str) -> NDArray[np.float64]:
        counts, count = [], 0
        for character in text:
            count = count + 1 if goes_on(character) else 0
            counts.append(count)
        return np.array(counts, dtype=np.float64)

    return column


def is_han(character: str) -> bool:
    """Whether a character is a Chinese one."""
    return unicodedata.name(character, "").startswith("CJK ") and character.isalpha()


def is_letter(character: str) -> bool:
    """Whether a character is a letter of an alphabet."""
    return character.isalpha() and not is_han(character)


def is_punctuation(character: str) -> bool:
    """Whether a character is a punctuation mark."""
    return unicodedata.category(character).startswith("P")


def _inside(text: str) -> NDArray[np.float64]:
    """Whether quotation marks or brackets are open; a blank line closes what was forgotten."""
    closers: list[str] = []
    found = []
    for before, character in zip("\n" + text, text, strict=False):
        if before == character == "\n":
            closers = []
        if closers and character == closers[-1]:
            closers.pop()
        elif character == '"' or character in OPENING:
            closers.append(OPENING.get(character, '"'))
        found.append(bool(closers))
    return np.array(found, dtype=np.float64)


def _repeats(lag: int) -> Column:
    def column(text: str) -> NDArray[np.float64]:
        same = [i >= lag and text[i] == text[i - lag] for i in range(len(text))]
        return np.array(same, dtype=np.float64)

    return column


def _follows(fact: Callable[[str], bool]) -> Column:
    def column(text: str) -> NDArray[np.float64]:
        return np.array([i > 0 and fact(text[i - 1]) for i in range(len(text))], dtype=np.float64)

    return column


def _newline(character: str) -> bool:
    return character == "\n"


COLUMNS: tuple[tuple[str, Where, Column], ...] = (
    ("position in the line", "before", _count(lambda c: c != "\n")),
    ("position in the document", "before", lambda text: np.arange(1.0, len(text) + 1)),
    ("number of the line", "before", lambda text: np.cumsum([_newline(c) for c in text])),
    ("first character of a line", "before", lambda text: _follows(_newline)("\n" + text)[1:]),
    ("last character of a line", "after", lambda text: _each(_newline)(text + "\n")[1:]),
    ("line after a blank one", "before", lambda text: _after_blank(text)),
    ("inside quotation marks or brackets", "before", _inside),
    ("after punctuation", "before", _follows(is_punctuation)),
    ("length of the word so far", "before", _count(is_letter)),
    *((f"the same character as {lag} before", "before", _repeats(lag)) for lag in LAGS),
    ("newline", "here", _each(_newline)),
    ("space", "here", _each(lambda c: c in " \u3000")),
    ("letter", "here", _each(is_letter)),
    ("upper case", "here", _each(str.isupper)),
    ("Chinese character", "here", _each(is_han)),
    ("digit", "here", _each(str.isdigit)),
    ("punctuation", "here", _each(is_punctuation)),
)


def _after_blank(text: str) -> NDArray[np.float64]:
    lines = re.split("(?<=\n)", text)
    blank = [True, *(line.strip() == "" for line in lines)]
    return np.concatenate(
        [np.full(len(line), float(b)) for line, b in zip(lines, blank, strict=False)]
    )

"""What of a text is mended when it is read, and how that is told. It knows no files.

What isn't text, or would break what reads it, is replaced: undecodable bytes, lone surrogates and
NUL by U+FFFD, as Unicode and CommonMark do; byte order marks inside a text, which stay behind where
files were joined, by nothing; and endless runs of combining marks are broken up by U+034F, which is
Unicode's Stream-Safe Text Format. Everything else, however rare, is kept to the letter.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

UNREADABLE = "rondeau-unreadable"
"""The name, as an `errors` of codecs, of reading what can't be decoded as a lone surrogate."""
SURROGATE = "\ud800"
HALVES = re.compile("[\ud800-\udfff]")
MOST_MARKS = 30
"""Combining marks in a row (UAX #15, section 13); sorting more of them takes the square of it."""
JOINER = "\N{COMBINING GRAPHEME JOINER}"
MOST_SAID = 10
"""Repairs that are told one by one."""

# A pure function under a name: codecs take no other handler. No decoder gives a lone surrogate.
codecs.register_error(UNREADABLE, lambda error: (SURROGATE, error.end))  # type: ignore[attr-defined]


class Repairs:
    """What readers have mended; `notes` tells it, a kind in a file once, by its first place."""

    def __init__(self, most: float = MOST_SAID) -> None:
        """Nothing yet; of more than so many kinds only their number is kept."""
        self._most = most
        self._lines: dict[tuple[str, str], int | None] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._more = 0

    def add(self, name: str, what: str, line: int | None = None, count: int = 1) -> None:
        """Something of a kind was mended in a file (so many times), first in this line."""
        kind = name, what
        if kind not in self._counts and len(self._counts) == self._most:
            self._more += count
            return
        self._lines.setdefault(kind, line)
        self._counts[kind] = self._counts.get(kind, 0) + count

    @property
    def kinds(self) -> tuple[tuple[str, str, int | None, int], ...]:
        """What is to be added to others for all of this."""
        return tuple((*kind, self._lines[kind], count) for kind, count in self._counts.items())

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user."""
        return self._sentences(lambda name: name)

    @property
    def public_notes(self) -> tuple[str, ...]:
        """The same without the folders of files, which are nobody else's business."""
        return self._sentences(lambda name: Path(name).name or name)

    def _sentences(self, naming: Callable[[str], str]) -> tuple[str, ...]:
        said = []
        for (name, what), count in self._counts.items():
            line = self._lines[name, what]
            place = naming(name) if line is None else f"{naming(name)}, line {line:,}"
            often = f" ({count:,} times in this file)" if count > 1 else ""
            said.append(f"{place}: {what}{often}")
        if self._more:
            said.append(f"and so in {self._more:,} more places")
        return tuple(said)


def mended(
    blocks: Iterable[str],
    name: str,
    repairs: Repairs,
    *,
    surrogate: str = "a lone surrogate",
    line: int = 1,
) -> Iterator[str]:
    """Blocks of a text without lone surrogates, NUL and byte order marks.

    surrogate: what is said of the first of them; line: the number of the text's first line.
    """
    for text in blocks:
        if not _is_encodable(text):
            text = HALVES.sub(SURROGATE, text)
        for found, instead, what in (
            (SURROGATE, "\N{REPLACEMENT CHARACTER}", f"{surrogate}, read as U+FFFD"),
            ("\0", "\N{REPLACEMENT CHARACTER}", "a NUL, read as U+FFFD"),
            ("\ufeff", "", "a byte order mark inside the text, left out"),
        ):
            if found in text:
                before = text.count("\n", 0, text.index(found))
                repairs.add(name, what, line=line + before, count=text.count(found))
                text = text.replace(found, instead)
        line += text.count("\n")
        yield text


def stream_safe(text: str) -> str:
    """A text with U+034F after each 30 combining marks in a row; others as they are.

    Source: Unicode Standard Annex #15, Stream-Safe Text Format.
    """
    # More marks in a row than are stepped over can't be missed; few texts have any there.
    if text.isascii() or not any(map(_is_mark, set(text[::MOST_MARKS]))):
        return text
    marks = "".join(re.escape(character) for character in set(text) if _is_mark(character))
    return re.sub(f"([{marks}]{{{MOST_MARKS}}})(?=[{marks}])", rf"\1{JOINER}", text)


def _is_mark(character: str) -> bool:
    """Whether normalising may move a character past its neighbours (a non-starter)."""
    if unicodedata.category(character)[0] != "M":
        return False
    return unicodedata.combining(unicodedata.normalize("NFD", character)[0]) != 0


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Bytes to blocks of text, whatever their size: encodings found or named. It knows no documents.

A file is read in blocks, so that one larger than memory can be read too: once to see what an
encoding makes of it, once for its text. A few places that can't be decoded are mended and told;
more are refused. Places are bytes, counted from 0, and lines, from 1.
"""

from __future__ import annotations

import codecs
import itertools
import os
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from rondeau.errors import CorpusError
from rondeau.text.repairs import SURROGATE, UNREADABLE, Repairs, mended

BLOCK = 2**22
"""Bytes read at once (even: a half of UTF-16 never stands alone)."""
SAMPLE = 100_000
"""Characters by which a text is told from something else."""
SOUND = 100
"""Characters that are fine for each place that is mended, at least."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Survey(NamedTuple):
    """What an encoding makes of all of a file.

    invalid: places that it can't read; byte, line: the first of them; beyond_ascii: characters that
    speak for this encoding, counted where some speak against it.
    """

    encoding: str
    characters: int = 0
    zeros: int = 0
    invalid: int = 0
    beyond_ascii: int = 0
    byte: int = 0
    line: int = 1
    sample: str = ""

    @property
    def is_mendable(self) -> bool:
        """Whether little of it is damaged."""
        return (self.invalid + self.zeros) * SOUND <= self.characters

    @property
    def is_text(self) -> bool:
        """Whether it also has few control, unassigned or private characters, as a text has."""
        odd = sum(
            unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\n\r\t\f"
            for c in self.sample
        )
        return self.is_mendable and odd <= 0.02 * len(self.sample)

    @property
    def is_whole(self) -> bool:
        """Whether it is text, all of it."""
        return not self.invalid and self.is_text

    @property
    def is_evident(self) -> bool:
        """Whether so much of it can be nothing else that the rest is damage."""
        return self.invalid * SOUND <= self.beyond_ascii and self.is_text


def read_text(file: BinaryIO, name: str, encoding: str | None, repairs: Repairs) -> Iterator[str]:
    """A seekable file's text in blocks, by the named encoding or the one that is found.

    Raises CorpusError for an unknown encoding, binary data, and more than a few places that can't
    be read, the first of them named.
    """
    survey = find_encoding(file, name) if encoding is None else _named(file, name, encoding)
    blocks = _decode(file, survey.encoding, UNREADABLE if survey.invalid else "strict")
    what = "a lone surrogate"
    if survey.invalid:
        what = f"byte {survey.byte:,} is not {survey.encoding}"
    try:
        first = next(blocks, "").removeprefix("\ufeff")
        yield from mended(itertools.chain([first], blocks), name, repairs, surrogate=what)
    except UnicodeError:
        raise CorpusError(f"{name}: changed while it was read; copy it and read that") from None


def find_encoding(file: BinaryIO, name: str) -> Survey:
    """The first that fits a file: by its mark, UTF-8, UTF-16, GB18030; damaged UTF-8 in the end.

    Raises CorpusError where none does.
    """
    file.seek(0)
    head = file.read(4)
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return _mendable(_survey(file, encoding), name)
    even, odd = _zeros(file)
    wide = "utf-16-le" if odd >= even else "utf-16-be"
    # ASCII in UTF-16 has its zero bytes on one side only, and half of all bytes are zero.
    one_sided = min(even, odd) * 10 < max(even, odd)
    if one_sided and (even + odd) * 4 >= file.tell():
        survey = _survey(file, wide)
        if survey.is_text:
            return survey
    utf8 = _survey(file, "utf-8")
    if utf8.is_whole or utf8.is_evident:
        return utf8
    if one_sided and not utf8.is_mendable:
        survey = _survey(file, wide)
        if survey.is_whole:
            return survey
    if utf8.invalid:
        survey = _survey(file, "gb18030")
        if survey.is_whole:
            return survey
    if utf8.is_text:
        return utf8
    if even + odd:
        raise CorpusError(f"{name}: is a binary file, not a text")
    raise CorpusError(
        f"{name}: unreadable as UTF-8 (at byte {utf8.byte:,}, line {utf8.line:,}, and in more "
        "places), UTF-16 or GB18030; name its --encoding, or mend it"
    )


def _named(file: BinaryIO, name: str, encoding: str) -> Survey:
    try:
        bytes(4).decode(encoding)
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError):
        raise CorpusError(f"--encoding {encoding}: unknown; try utf-8 or gb18030") from None
    return _mendable(_survey(file, encoding), name)


def _mendable(survey: Survey, name: str) -> Survey:
    if survey.is_mendable:
        return survey
    if not survey.invalid:
        raise CorpusError(f"{name}: is a binary file, not a text in {survey.encoding}")
    raise CorpusError(
        f"{name}: is not {survey.encoding} (at byte {survey.byte:,}, line {survey.line:,}, and in "
        "more places); try another encoding, or mend it"
    )


def _survey(file: BinaryIO, encoding: str) -> Survey:
    characters = zeros = 0
    sample = ""
    try:
        for text in _decode(file, encoding, "strict"):
            characters += len(text)
            zeros += text.count("\0")
            sample += text[: SAMPLE - len(sample)]
    except UnicodeDecodeError as error:
        # Its object ends where reading has come to.
        byte = file.tell() - len(error.object) + error.start
    except UnicodeError:  # of all: see below
        byte = 0
    else:
        return Survey(encoding, characters, zeros, sample=sample)
    try:
        return _survey_damaged(file, encoding, byte)
    except UnicodeError:  # UTF-16 that was named, without a mark
        return Survey(encoding, invalid=1)


def _survey_damaged(file: BinaryIO, encoding: str, byte: int) -> Survey:
    """The same where this byte is the first that can't be read."""
    characters = zeros = invalid = beyond_ascii = 0
    line, sample = 1, ""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    for text in _decode(file, encoding, UNREADABLE):
        if not invalid:
            line += text.count("\n", 0, text.find(SURROGATE) if SURROGATE in text else None)
        here = text.count(SURROGATE)
        invalid += here
        characters += len(text)
        zeros += text.count("\0")
        beyond_ascii += len(text) - here - len(text.encode("ascii", "ignore"))
        sample += text[: SAMPLE - len(sample)]
        if invalid * SOUND > size:  # which has no more characters than bytes
            break
    return Survey(encoding, characters, zeros, invalid, beyond_ascii, byte, line, sample)


def _decode(file: BinaryIO, encoding: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    file.seek(0)
    while block := file.read(BLOCK):
        yield decoder.decode(block)
    yield decoder.decode(b"", True)


def _zeros(file: BinaryIO) -> tuple[int, int]:
    """How many zero bytes a file has at even and at odd places."""
    even = odd = 0
    file.seek(0)
    while block := file.read(BLOCK):
        if b"\0" in block:
            even += block[0::2].count(0)
            odd += block[1::2].count(0)
    return even, odd

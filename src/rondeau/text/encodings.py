"""Bytes to blocks of text, whatever their size: encodings found or named. It knows no documents.

A file is read in blocks, so that one larger than memory can be read too.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

from rondeau.errors import CorpusError

BLOCK = 2**22
"""Bytes read at once (even: a half of UTF-16 never stands alone)."""
SAMPLE = 100_000
"""Characters by which a text is told from something else."""
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read_text(file: BinaryIO, name: str, encoding: str | None) -> Iterator[str]:
    """A seekable file's text in blocks, by the named encoding or the one that is found.

    Raises CorpusError for an unknown encoding, binary data, and bytes that it can't read.
    """
    if encoding is None:
        yield from _decode(file, name, detect(file, name))
        return
    try:
        b"".decode(encoding)
        blocks = _decode(file, name, encoding)
        yield next(blocks, "").removeprefix("\ufeff")
        yield from blocks
    except LookupError:
        raise CorpusError(f"--encoding {encoding}: unknown; try utf-8 or gb18030") from None


def detect(file: BinaryIO, name: str) -> str:
    """The first encoding that fits all of a file: by its mark, UTF-8, UTF-16, GB18030."""
    file.seek(0)
    head = file.read(3)
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    zeros = _zeros(file)
    candidates = ["utf-8", "gb18030"]
    if any(zeros):
        # ASCII in UTF-16 has its zero bytes on one side only.
        candidates = ["utf-16-le" if zeros[1] >= zeros[0] else "utf-16-be"]
    for encoding in candidates:
        try:
            sample = ""
            for text in _decode(file, name, encoding):
                sample += text[: SAMPLE - len(sample)]
        except CorpusError:
            continue
        if _looks_like_text(sample):
            return encoding
    if any(zeros):
        raise CorpusError(f"{name}: is a binary file, not a text")
    raise CorpusError(f"{name}: unreadable as UTF-8, UTF-16 or GB18030; name its --encoding")


def _decode(file: BinaryIO, name: str, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    try:
        while block := file.read(BLOCK):
            yield decoder.decode(block)
        yield decoder.decode(b"", True)
    except (UnicodeError, ValueError) as error:
        raise CorpusError(f"{name}: is not {encoding} ({error}); try another") from None


def _zeros(file: BinaryIO) -> tuple[int, int]:
    """How many zero bytes a file has at even and at odd places."""
    even = odd = 0
    file.seek(0)
    while block := file.read(BLOCK):
        if b"\0" in block:
            even += block[0::2].count(0)
            odd += block[1::2].count(0)
    return even, odd


def _looks_like_text(sample: str) -> bool:
    """Few control or unassigned characters, private or lone halves: a wrong codec makes many."""
    odd = sum(
        unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\n\r\t\f" for c in sample
    )
    return odd <= 0.02 * len(sample)

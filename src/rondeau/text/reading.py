"""Files to documents: formats, compression, encodings. It knows no splits and no vocabulary.

Reads .txt (and any other plain text), .txt.gz, .zip, .jsonl (a `text` field), folders of these,
and standard input (`-`).
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import lzma
import re
import sys
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rondeau.config import Documents, TextConfig
from rondeau.errors import CorpusError

SUFFIXES = (".txt", ".txt.gz", ".zip", ".jsonl")
"""What is read from a folder; a file named directly may have any other ending."""


def read_documents(sources: Sequence[str | Path], config: TextConfig) -> list[str]:
    """The documents of all sources, in order: NFC, newlines as "\\n" or spaces, none of them empty.

    Raises CorpusError for a source that is missing, unreadable or without text.
    """
    documents: list[str] = []
    left = config.limit
    for name, text, whole in _texts(sources, config.encoding):
        text = normalise(text, config, keep_lines=config.documents is not None)
        parts = [text] if whole else split_documents(text, config.documents or "file")
        for part in parts:
            part = part.replace("\n", " ") if config.newlines == "space" else part
            part = part if left is None else part[:left]
            if part.strip():
                documents.append(part)
            if left is not None:
                left -= len(part)
                if left <= 0:
                    return documents
        if not text.strip():
            raise CorpusError(f"{name}: has no text in it; give a file with some")
    if not documents:
        raise CorpusError("the corpus has no text in it; give a file with some")
    return documents


def normalise(text: str, config: TextConfig, *, keep_lines: bool = False) -> str:
    """NFC; CRLF and CR become "\\n"; with newlines="space" each of the characters is a space.

    `keep_lines` leaves newlines alone for now, since they still separate documents.
    """
    if config.newlines == "space" and not keep_lines:
        return unicodedata.normalize("NFC", text.replace("\n", " ").replace("\r", " "))
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def split_documents(text: str, documents: Documents) -> list[str]:
    """A text's documents: the text itself, its blocks between blank lines, or its lines."""
    if documents == "file":
        return [text]
    if documents == "line":
        return text.split("\n")
    return [block.strip("\n") for block in re.split(r"\n[ \t]*(?:\n[ \t]*)+", text)]


def decode(data: bytes, name: str, encoding: str | None = None) -> str:
    """Bytes to text, by the named encoding or the first that fits: BOM, UTF-8, UTF-16, GB18030.

    Raises CorpusError for binary data and for bytes that the encoding can't read.
    """
    if encoding is not None:
        try:
            return data.decode(encoding).removeprefix("\ufeff")
        except LookupError:
            raise CorpusError(f"--encoding {encoding}: unknown; try utf-8 or gb18030") from None
        except (UnicodeError, ValueError) as error:
            raise CorpusError(f"{name}: is not {encoding} ({error}); try another") from None
    for mark, codec in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return decode(data, name, codec)
    candidates = ["utf-8", "gb18030"]
    if b"\0" in data:
        candidates = [_utf16_guess(data)]
    for codec in candidates:
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        if _looks_like_text(text):
            return text
    if b"\0" in data:
        raise CorpusError(f"{name}: is a binary file, not a text")
    raise CorpusError(f"{name}: unreadable as UTF-8, UTF-16 or GB18030; name its --encoding")


def _utf16_guess(data: bytes) -> str:
    """ASCII in UTF-16 has its zero bytes on one side only."""
    return "utf-16-le" if data[1::2].count(0) >= data[0::2].count(0) else "utf-16-be"


def _looks_like_text(text: str) -> bool:
    """Few control or unassigned characters, private or lone halves: a wrong codec makes many."""
    sample = text[:100_000]
    odd = sum(
        unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\n\r\t\f" for c in sample
    )
    return odd <= 0.02 * len(sample)


def _texts(sources: Iterable[str | Path], encoding: str | None) -> Iterator[tuple[str, str, bool]]:
    """(name, text, whether it is one document by its format) of every file in the sources."""
    for source in sources:
        if str(Path(source)) == "-":
            yield (
                "standard input",
                decode(sys.stdin.buffer.read(), "standard input", encoding),
                False,
            )
            continue
        path = Path(source)
        try:
            if path.is_dir():
                yield from _texts(_files_in(path), encoding)
            elif path.exists():
                yield from _file_texts(path, encoding)
            else:
                raise CorpusError(f"{path}: no such file or folder")
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, lzma.LZMAError) as error:
            raise CorpusError(f"{path}: cannot be read: {error}") from None


def _files_in(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
    if not files:
        raise CorpusError(f"{folder}: has no {', '.join(SUFFIXES)} file in it")
    return files


def _file_texts(path: Path, encoding: str | None) -> Iterator[tuple[str, str, bool]]:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                hidden = any(part.startswith((".", "__")) for part in Path(member.filename).parts)
                if not member.is_dir() and member.file_size and not hidden:
                    name = f"{path}:{member.filename}"
                    yield name, decode(_read_member(archive, member, name), name, encoding), False
        return
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    text = decode(data, str(path), encoding)
    if path.name.endswith(".jsonl"):
        yield from _jsonl_texts(path, text)
    else:
        yield str(path), text, False


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    try:
        return archive.read(member)
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown method
        raise CorpusError(f"{name}: cannot be read: {error}") from None


def repair(text: str) -> str:
    """Lone surrogates, which no file can hold, as U+FFFD."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


def _jsonl_texts(path: Path, text: str) -> Iterator[tuple[str, str, bool]]:
    for number, line in enumerate(io.StringIO(text), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path}, line {number}: is not JSON ({error})") from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise CorpusError(f'{path}, line {number}: has no "text" field with a text')
        if record["text"].strip():
            yield f"{path}, line {number}", repair(record["text"]), True

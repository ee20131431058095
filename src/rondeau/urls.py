"""Files that are named by a URL: s3://, hf://, https://, memory:// and all that fsspec knows.

fsspec is an extra, and so is what it needs for a protocol. Secrets in a URL (a user, a query) are
used and never told or stored. What has been checked by its SHA-256 is kept in a cache and fetched
once. It knows no texts and no runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rondeau.errors import OptionError, UserError
from rondeau.files import TEMPORARY, make_folder

URL = re.compile(r"(?!file:|datasets:)([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])(.+)", re.DOTALL)
OWN = ("memory",)
"""Protocols of files that no other process can read."""
STAMPS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "created", "oid", "sha256")
"""What file systems tell of a file that changes with its content."""
BLOCK = 2**20
MOST_SAID = 300
"""Most characters of what a library says."""


def url_of(name: str | Path) -> str | None:
    """The URL that a name is, None for a path. pathlib makes one slash of two, which is undone."""
    found = URL.fullmatch(str(name))
    return f"{found[1]}://{found[2]}" if found else None


def label(name: str | Path) -> str:
    """How a source is told and stored: a path as it is, a URL without user, query and fragment."""
    url = url_of(name)
    if url is None:
        return str(name) if str(name).startswith("datasets:") else str(Path(name))
    protocol, rest = url.split("://", 1)
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    return f"{protocol}://{host.rpartition('@')[2]}{slash}{path}"


def shareable(url: str) -> bool:
    """Whether another process can read it, and whether it may be stored: it has no secrets."""
    return url.split("://", 1)[0] not in OWN and label(url) == url


class Remote:
    """A file or folder at a URL; errors are of the caller's kind and tell no secrets."""

    def __init__(self, url: str, error: type[UserError]) -> None:
        """Find its file system; the error where a package is missing."""
        self.url, self.error, self.name = url, error, label(url)
        protocol = url.split("://", 1)[0]
        try:
            import fsspec
        except ImportError:
            raise error(f"{self.name}: needs fsspec: pip install 'rondeau[data]'") from None
        try:
            self.files, self.path = fsspec.core.url_to_fs(url)
        except ImportError as missing:
            raise error(f"{self.name}: {protocol}:// needs a package: {missing}") from None
        except Exception as reason:
            raise error(f"{self.name}: cannot be opened: {self._scrubbed(reason)}") from None

    def __str__(self) -> str:
        """How it is told."""
        return self.name

    def __truediv__(self, name: str) -> Remote:
        """A file in the folder."""
        return Remote(f"{self.url.rstrip('/')}/{name}", self.error)

    def _scrubbed(self, reason: object) -> str:
        """What a library says, in one line, without what the URL has beyond its place."""
        said = str(reason).replace(self.url, self.name) or type(reason).__name__
        place, _, query = self.url.split("://", 1)[1].partition("?")
        user = place.split("/")[0].rpartition("@")[0]
        for secret in filter(None, re.split(r"[:&=#]", f"{user}&{query}")):
            said = said.replace(secret, "…")
        return " ".join(said.split())[:MOST_SAID]

    @contextlib.contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Whatever a file system raises, as one line."""
        try:
            yield
        except UserError:
            raise
        except FileNotFoundError:
            raise self.error(f"{self.name}: no such file or folder") from None
        except Exception as reason:  # of many libraries, with nothing in common
            raise self.error(f"{self.name}: cannot be {doing}: {self._scrubbed(reason)}") from None

    def exists(self) -> bool:
        """Whether anything is there."""
        with self.told("read"):
            return bool(self.files.exists(self.path))

    def is_folder(self) -> bool:
        """Whether it is a folder; on the web nothing is."""
        if self.url.startswith(("http://", "https://")):
            return False
        with self.told("read"):
            return bool(self.files.isdir(self.path))

    def files_in(self) -> list[str]:
        """The URLs of all files in it and in folders of it, in order."""
        with self.told("read"):
            paths = sorted(self.files.find(self.path))
        return [f"{self.url.rstrip('/')}{path.removeprefix(self.path)}" for path in paths]

    def state(self) -> tuple[int, int] | None:
        """Size and a number that is another one for another content; None where that isn't told."""
        with contextlib.suppress(Exception):
            info: dict[str, Any] = self.files.info(self.path)
            stamps = [str(info[key]) for key in STAMPS if info.get(key)]
            if stamps and shareable(self.url):
                digest = hashlib.sha256("\n".join(stamps).encode()).digest()
                return int(info["size"]), int.from_bytes(digest[:6])
        return None

    def copy_to(self, file: IO[bytes], *, most: int) -> str:
        """Write its bytes into a file -> their SHA-256; the error where there are more."""
        digest, size = hashlib.sha256(), 0
        with self.told("read"), self.files.open(self.path, "rb") as source:
            while block := source.read(BLOCK):
                size += len(block)
                if size > most:
                    raise self.error(f"{self.name}: goes on after {most:,} bytes; not read")
                digest.update(block)
                file.write(block)
        return digest.hexdigest()

    def read(self, *, most: int) -> bytes:
        """Its bytes."""
        with tempfile.SpooledTemporaryFile(max_size=2**24) as file:
            self.copy_to(file, most=most)
            file.seek(0)
            return file.read()

    def write(self, source: Path) -> None:
        """Put a local file there."""
        with self.told("written"):
            self.files.makedirs(self.files._parent(self.path), exist_ok=True)
            self.files.put_file(str(source), self.path)

    def remove(self) -> None:
        """Remove it, file or folder, if it is there."""
        with contextlib.suppress(FileNotFoundError), self.told("removed"):
            self.files.rm(self.path, recursive=True)

    def cached(self, accepted: list[str], *, most: int) -> Path:
        """Its content, which has one of these SHA-256, in the cache; fetched where it isn't there.

        The error where it is anything else.
        """
        folder = cache_folder() / "files"
        for wanted in accepted:
            if wanted.isalnum() and (folder / wanted).is_file():
                return folder / wanted
        try:
            make_folder(folder)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=TEMPORARY) as file:
                found = self.copy_to(file, most=most)
                file.flush()
                if found not in accepted:
                    raise self.error(f"{self.name}: is damaged (its SHA-256 is another)")
                with contextlib.suppress(FileExistsError):
                    os.link(file.name, folder / found)
        except OSError as reason:
            raise OptionError(
                f"{folder}: cannot be written: {reason.strerror}; RONDEAU_CACHE names another place"
            ) from None
        return folder / found


def cache_folder() -> Path:
    """Where what was fetched is kept: RONDEAU_CACHE, or `rondeau` in the user's cache."""
    if own := os.environ.get("RONDEAU_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rondeau"

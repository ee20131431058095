"""An illustrated page: sections of a sentence or two, a picture, a table; one HTML file, and PNGs.

It knows what a page looks like, and not what it is about.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from rondeau.errors import OptionError
from rondeau.files import write_output
from rondeau.report.templates import render

NOTHING = Markup()


@dataclass(frozen=True)
class Picture:
    """A picture by its file name (without .png), its PNG, and what it says in words."""

    name: str
    png: bytes
    says: str


@dataclass(frozen=True)
class Table:
    """Headings and rows of words; the first column on the left. `marked`: rows that stand out."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, then what there is of HTML of our own, a picture, and a table.

    html must come from a template that escapes: it is taken as it is.
    """

    title: str
    paragraphs: Sequence[str] = ()
    html: Markup = NOTHING
    picture: Picture | None = None
    table: Table | None = None


@dataclass(frozen=True)
class Page:
    """A page: its kind, its name, what it is about in a line, its message, and its sections.

    figures: the numbers at the top, each as shown and what it is; style: CSS for the html of its
    sections.
    """

    kind: str
    name: str
    about: str
    message: Sequence[str]
    sections: Sequence[Section]
    figures: Sequence[tuple[str, str]] = field(default=())
    style: str = ""

    @property
    def pictures(self) -> list[Picture]:
        """The pictures of all sections, in order."""
        return [section.picture for section in self.sections if section.picture]


def to_html(page: Page) -> str:
    """The page as one file that needs no other and no network."""
    images = {
        picture.name: (base64.b64encode(picture.png).decode(), *_size(picture.png))
        for picture in page.pictures
    }
    return render("illustrated.html.j2", page=page, own_style=Markup(page.style), images=images)


def write_page(page: Page, folder: Path, name: str) -> list[Path]:
    """Write NAME.html and the pictures as PNG into a folder; the paths, the page first.

    Raises OptionError where they can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot be made: {error.strerror}"
        raise OptionError(f"--out {folder}: {reason}; name another folder") from None
    paths = [folder / f"{name}.html"]
    write_output(paths[0], to_html(page).encode())
    for picture in page.pictures:
        paths.append(folder / f"{picture.name}.png")
        write_output(paths[-1], picture.png)
    return paths


def _size(png: bytes) -> tuple[int, int]:
    """Width and height, which a PNG says in its first chunk."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")

"""Pictures that a slide can carry: one style, colours, and fonts for text in any script.

It knows no run: what is drawn is the caller's business. matplotlib is loaded at the first picture.
"""

from __future__ import annotations

import contextlib
import functools
import io
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = (
    "#0072B2",
    "#56B4E9",
    "#D55E00",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#000000",
    "#999999",
)
BLUE_ORANGE = (COLOURS[0], "#FFFFFF", COLOURS[2])
"""A diverging scale, from below the middle to above, that colour-blind readers can tell apart."""
TITLE_WIDTH = 12
"""Characters of a title that an inch holds."""
CHINESE_FONTS = ("wqy-microhei.ttc", "NotoSansCJK-Regular.ttc", "PingFang.ttc", "msyh.ttc")
FONT_MISSING = (
    "the picture shows Chinese characters by their numbers, since no font here has them; "
    "on Debian the package fonts-wqy-microhei has one"
)
DOTS_PER_INCH = 150
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def font_families(text: str) -> list[str] | None:
    """The fonts in which matplotlib can show a text; None if it would need one that is missing.

    Debian has one in the package fonts-wqy-microhei.
    """
    from matplotlib import font_manager

    latin = ["DejaVu Sans"]
    if text.isascii():
        return latin
    paths = {Path(path).name: path for path in font_manager.findSystemFonts()}
    for name in CHINESE_FONTS:
        if name in paths:
            if all(font.fname != paths[name] for font in font_manager.fontManager.ttflist):
                font_manager.fontManager.addfont(paths[name])
            return [*latin, font_manager.FontProperties(fname=paths[name]).get_name()]
    return None


def drawable(text: str) -> str:
    """A text as a picture can show it: as it is, but by its number what no font here has."""
    missing = undrawable(text)
    return "".join(
        c.encode("ascii", "backslashreplace").decode() if c in missing else c for c in text
    )


def undrawable(text: str) -> set[str]:
    """The characters of a text that no font here has."""
    from matplotlib import font_manager

    families = font_families(text) or ["DejaVu Sans"]
    known = [_glyphs(font_manager.findfont(family)) for family in families]
    return {c for c in set(text) if not any(ord(c) in glyphs for glyphs in known)}


@functools.cache
def _glyphs(path: str) -> frozenset[int]:
    """The code points that a font has."""
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(path).get_charmap())


@contextlib.contextmanager
def figure(width: float, height: float, *, text: str = "") -> Iterator[Figure]:
    """An empty figure of so many inches in the house's style, with fonts for a text."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    families = font_families(text) or ["DejaVu Sans"]
    with rc_context(STYLE | {"font.family": families}):
        yield Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def diverging() -> Any:
    """The scale for values around a middle."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blue-orange", BLUE_ORANGE)


def set_title(drawn: Figure, title: str) -> None:
    """What a whole figure says, on the left above it, in as many lines as it needs."""
    width = int(TITLE_WIDTH * drawn.get_figwidth())
    drawn.suptitle(textwrap.fill(title, width), x=0.01, ha="left", fontsize=11)


def as_png(drawn: Figure) -> bytes:
    """A figure as the bytes of a PNG, the same for the same figure."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()

"""What the pictures of the studies share: colours, and fonts for names in any script."""

from __future__ import annotations

from pathlib import Path

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
CHINESE_FONTS = ("wqy-microhei.ttc", "NotoSansCJK-Regular.ttc", "PingFang.ttc", "msyh.ttc")


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
            font_manager.fontManager.addfont(paths[name])
            return [*latin, font_manager.FontProperties(fname=paths[name]).get_name()]
    return None

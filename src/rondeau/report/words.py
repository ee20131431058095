"""Numbers and other people's text as a page shows them: short, visible, harmless.

Escaping is the template's business; here is what escaping doesn't reach: characters that a page
can't hold or that turn its direction around, and texts without an end.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls of direction, which would reorder the page around them."""


def visible(text: str) -> str:
    """A text with every character that a page can't hold shown by one that it can."""
    return "".join(
        character if character.isprintable() else _shown(character) for character in text
    )


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) in ("Zs", "Zl", "Zp"):
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # the picture of a control character
    if (
        character in TURNING
        or unicodedata.category(character) in ("Cc", "Cs")
        or code & 0xFFFE == 0xFFFE
    ):
        return REPLACEMENT
    return character


def cut(text: str, most: int) -> str:
    """At most so many characters of a text, visible, and a mark where the rest is left out."""
    return visible(text[:most]) + ("…" if len(text) > most else "")


def sentence(text: str, most: int) -> str:
    """At most so many characters of a remark, as a sentence."""
    text = cut(text, most)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "…")) else ".")


def mark(character: str) -> str:
    """One character by itself: spaces and ends get a sign, since nothing shows them."""
    signs = {"": "(end)", "\n": "↵", " ": "␣", "\t": "⇥", "\u3000": "␣"}
    return signs.get(character, visible(character))


def language(text: str) -> str:
    """The language tag by which a browser chooses glyphs; empty where it can't be told."""
    text = text[:10_000]
    if re.search("[\u3040-\u30ff]", text):
        return "ja"
    if re.search("[\uac00-\ud7af]", text):
        return "ko"
    return "zh" if re.search("[\u3400-\u9fff]", text) else ""


def number(value: float) -> str:
    """A number with the digits that matter: 1.041, 47.30, 143.5, 1,027."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    size = abs(value)
    return f"{value:,.{3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}"


def bits(value: float) -> str:
    """Bits as they stand in a column: with three digits after the point."""
    return f"{value:,.3f}" if math.isfinite(value) else number(value)


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.3g}\N{NARROW NO-BREAK SPACE}%" if math.isfinite(share) else "–"


def characters(count: float) -> str:
    """A mean number of characters: 0.46, 2.5, 24, 7,617."""
    return f"{count:,.{2 if count < 1 else 1 if count < 10 else 0}f}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence, one after another: a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]

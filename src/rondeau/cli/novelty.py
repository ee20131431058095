"""How the terminal shows what a text has copied: marked in the text, and told below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from rondeau.cli.output import one_line, show, tame

if TYPE_CHECKING:
    from rondeau.evaluation.copies import Novelty

SHOWN = 10
"""Most spans that are told one by one, the longest ones."""
QUOTED = 40
"""Most characters of a span that are told."""


def print_novelty(prefix: str, text: str, novelty: Novelty) -> None:
    """A text after its prefix, copied spans underlined in colour, else in brackets; the figures."""
    from rondeau.evaluation.copies import pieces

    console = Console()
    if console.color_system is None or console.no_color:
        marked = (f"⟦{piece}⟧" if span else piece for piece, span in pieces(text, novelty))
        show("".join([prefix, *marked]))
    else:
        styled = (
            (tame(piece), "underline yellow" if span else "")
            for piece, span in pieces(text, novelty)
        )
        console.print(Text.assemble(tame(prefix), *styled), soft_wrap=True)
    show("\n".join(["", *_figures(text, novelty)]))


def _figures(text: str, novelty: Novelty) -> list[str]:
    """What is copied in a line, then where the longest spans come from, one a line."""
    parts = [f"copied: {novelty.copied_share:.1%} (in runs of at least {novelty.least} characters)"]
    if novelty.longest:
        parts.append(f"longest run: {novelty.longest.length}")
    parts += [f"new {n}-grams: {share:.1%}" for n, share in novelty.novel_share.items()]
    lines = ["  ".join(parts)]
    longest = sorted(novelty.spans, key=lambda span: -span.length)[:SHOWN]
    for span in sorted(longest, key=lambda span: span.start):
        quoted = one_line(text[span.start : span.stop])
        quoted = quoted if len(quoted) <= QUOTED else quoted[: QUOTED - 1] + "…"
        where = f"document {span.document} “{span.title}”, line {span.line}"
        lines.append(f"  {span.length} characters from {where}: {quoted}")
    if len(novelty.spans) > SHOWN:
        lines.append(f"  and {len(novelty.spans) - SHOWN} shorter spans")
    return lines

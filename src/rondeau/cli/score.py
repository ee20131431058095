"""`rondeau score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from rondeau.cli.output import note, note_compilation, print_json, print_table
from rondeau.cli.use import Computing, load
from rondeau.config import ComputeConfig, TextConfig
from rondeau.errors import OptionError

if TYPE_CHECKING:
    from rondeau.evaluation.scoring import Score, ScoredCharacter, ScoredLine

SHADES = ((1, "#f7f7f7"), (2, "#fee8c8"), (4, "#fdbb84"), (8, "#ef6548"), (float("inf"), "#b30000"))
"""Below so many bits: this background."""
MOST_SURPRISING = 5
WIDTH = 60
"""Cells of a line that are shown in a table."""


def score(
    run: Path,
    text: str | None = None,
    *,
    lines: str | None = None,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """The surprisal of a text in bits, character by character, and what the model preferred.

    Parameters
    ----------
    run
        The run folder.
    text
        The text, read as a document from its beginning to its end.
    lines
        A file instead (or - for standard input): a row for each line, scored as a document of its
        own, those that stand out marked.
    json
        Print one JSON document.
    """
    if (text is None) == (lines is None):
        raise OptionError("score: give a TEXT or --lines FILE, one of them")
    model = load(run, compute)
    texts = [text] if text is not None else read_lines(str(lines))
    unknown = model.unknown("".join(texts))
    if unknown:
        note(f"{' '.join(map(repr, unknown[:20]))} not in the vocabulary, read as <unk>")
    if text is None:
        scored = model.score_lines(texts)
        note_compilation(False)
        print_json({"lines": [line_as_dict(s) for s in scored]}) if json else print_lines(scored)
        return
    result = model.score(text)
    note_compilation(False)
    if json:
        print_json({"bits": result.bits, "characters": [as_dict(c) for c in result.characters]})
    else:
        print_score(result)


def read_lines(source: str) -> list[str]:
    """The lines of a file, or of all that an archive or a folder holds, one after another."""
    from rondeau.text.reading import read_documents
    from rondeau.text.repairs import Repairs

    repairs = Repairs()
    texts = read_documents([source], TextConfig(documents="file"), repairs)
    for sentence in repairs.notes:
        note(sentence)
    return [line for text in texts for line in text.split("\n")]


def as_dict(scored: ScoredCharacter) -> dict[str, object]:
    """One character for JSON."""
    alternatives = [{"character": c, "probability": p} for c, p in scored.alternatives]
    return {"character": scored.character, "bits": scored.bits, "alternatives": alternatives}


def line_as_dict(line: ScoredLine) -> dict[str, object]:
    """One line for JSON."""
    return {
        "line": line.number,
        "text": line.text,
        "bits": line.bits,
        "bits_per_character": line.bits_per_character,
        "odd": line.odd,
    }


def print_score(result: Score) -> None:
    """Shades and the most surprising characters on a terminal, a row a character elsewhere."""
    console = Console(highlight=False, markup=False)
    shown = list(result.characters)
    if console.color_system and not console.no_color:
        text = Text()
        for scored in shown:
            text.append(visible(scored.character), shade(scored.bits))
            if scored.character == "\n":
                text.append("\n")
        legend = Text("bits: ")
        for below, _ in SHADES:
            legend.append(f" < {below} " if below < float("inf") else " more ", shade(below - 0.5))
        console.print(text, legend, sep="\n\n", end="\n\n")
        shown = sorted(shown, key=lambda scored: -scored.bits)[:MOST_SURPRISING]
    rows = [
        [
            visible(scored.character),
            f"{scored.bits:.2f}",
            "  ".join(f"{visible(c)} {p:.{0 if p >= 0.1 else 1}%}" for c, p in scored.alternatives),
        ]
        for scored in shown
    ]
    print_table(["character", "bits", "the model preferred"], rows)
    print(f"{result.bits:.2f} bits in all")


def print_lines(lines: list[ScoredLine]) -> None:
    """A row for each line, in their order."""
    rows = [
        [f"{s.number}: {beginning(s.text)}", f"{s.bits_per_character:.2f}", "odd" * s.odd]
        for s in lines
    ]
    print_table(["line", "bits/char", ""], rows)


def shade(bits: float) -> str:
    """A style for a number of bits."""
    colour = next(colour for below, colour in SHADES if bits < below or below == float("inf"))
    return f"{'white' if bits >= SHADES[2][0] else 'black'} on {colour}"


def beginning(line: str) -> str:
    """A line as it can be shown in a table, cut where it is long."""
    shown = Text(visible_text(line))
    shown.truncate(WIDTH, overflow="ellipsis")
    return shown.plain


def visible(character: str) -> str:
    """A character as it can be shown by itself."""
    return {"": "(end)", " ": "␣"}.get(character) or visible_text(character)


def visible_text(text: str) -> str:
    """A text with escapes for what has no shape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

"""`rondeau compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rondeau.cli.output import note_compilation, print_json, print_table, show
from rondeau.cli.use import Computing, load
from rondeau.config import ComputeConfig
from rondeau.errors import OptionError
from rondeau.text.splits import SplitName

if TYPE_CHECKING:
    from rondeau.studies.compare import ComparedRun


def compare(
    *runs: Path,
    split: SplitName = "validation",
    out: Path | None = None,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """Lay runs side by side: sizes, held-out numbers, and which differences are more than noise.

    Intervals are of 95 %, by the bootstrap over documents: how a figure would vary with the text
    held out, not with another training. A text of one document is cut into pieces of 1,000
    characters. Runs on another text, and models that read their own answer, get no held-out number.

    Parameters
    ----------
    runs
        Run folders, of trainings on the same text.
    split
        The split compared on. Choose by validation; the test split is for the last word.
    out
        Draw the curves against steps, seconds and tokens into this file (.png, .svg, .pdf).
    json
        Print one JSON document.
    """
    from rondeau.studies import compare as study
    from rondeau.studies.compare_picture import draw_curves

    if out is not None and out.suffix not in (".png", ".svg", ".pdf"):
        raise OptionError(f"--out {out}: must end in .png, .svg or .pdf")
    result = study.compare([load(run, compute) for run in runs], split)
    note_compilation(False)
    if out is not None:
        draw_curves(result.runs, out)
    if json:
        print_json(result.as_dict())
        return
    headings = ["run", "shape", "parameters", "steps", "seconds", "bits/char", "95 % interval"]
    print_table(headings, [row(run) for run in result.runs])
    figures = [run.bits for run in result.runs if run.bits]
    if figures:
        sure = "intervals are over" if figures[0].known else "for intervals there are too few:"
        print(f"bits/char on the {split} split; {sure} {result.drawn}.")
    for sentence in result.sentences:
        show(sentence)


def row(run: ComparedRun) -> list[str]:
    """One run in the table."""
    bits = ["", ""]
    if run.bits is not None:
        span = f"{run.bits.low:.3f} to {run.bits.high:.3f}" if run.bits.known else ""
        bits = [f"{run.bits.value:.4f}", span]
    figures = [f"{run.parameters:,}", f"{run.steps:,}", f"{run.seconds:,.0f}"]
    return [run.name, run.shape, *figures, *bits]

"""How the terminal's door renders: notes, tables, JSON, and the progress of a training."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rondeau.errors import PeerError
from rondeau.formats import finite

if TYPE_CHECKING:
    from rondeau.evaluation.cloze import ClozeEvaluation
    from rondeau.evaluation.perplexity import Evaluation
    from rondeau.training.events import Event, GateShares, HeldOut


STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")
"""What moves a terminal's cursor, colours it, or turns the direction of writing."""
LONGEST_LINE = 2000
"""Characters of an error that are shown."""


def tame(text: str) -> str:
    """A text that can't steer a terminal: escapes for what would, as JSON has them."""
    return STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def show(text: str, *, end: str = "\n") -> None:
    """A text on standard output: tame on a terminal, to the letter elsewhere."""
    print(tame(text) if sys.stdout.isatty() else text, end=end, flush=True)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    print(tame(json.dumps(finite(value), ensure_ascii=False, indent=2, allow_nan=False)))


def complain(error: Exception) -> None:
    """What went wrong, in one line on standard error.

    Of several processes the first one speaks for all, and each for itself where it says so.
    """
    signed = getattr(error, "__notes__", [])
    if isinstance(error, PeerError) or not (signed or os.environ.get("RANK", "0") == "0"):
        return
    said = " ".join(tame(": ".join([*signed, str(error)])).split())
    said = said if len(said) <= LONGEST_LINE else said[: LONGEST_LINE - 1] + "…"
    print(f"rondeau: error: {said}", file=sys.stderr)


def note(text: str) -> None:
    """A sentence for the user, on standard error."""
    print(f"note: {one_line(tame(text))}", file=sys.stderr)


@functools.cache
def note_compilation(quiet: bool) -> None:
    """Say what compiling kernels took, if that was over a second."""
    if quiet or "numba" not in sys.modules:  # without numba nothing was compiled
        return
    from rondeau.compilation import compile_seconds

    seconds = compile_seconds()
    if seconds > 1:
        note(f"{seconds:.1f} s went into compiling kernels for this machine; they are kept")


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    """A table on standard output: headings, then rows; the first column on the left."""
    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(tame(heading), justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*map(tame, row))
    width = None if sys.stdout.isatty() else 140
    console = Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(table)


def print_numbers(numbers: Sequence[Evaluation | ClozeEvaluation]) -> None:
    """What a model costs on splits or restores of them, one a row, units in the heading."""
    from rondeau.evaluation.cloze import ClozeEvaluation

    restored = [number for number in numbers if isinstance(number, ClozeEvaluation)]
    costs = [number for number in numbers if not isinstance(number, ClozeEvaluation)]
    if restored:
        print_restored(restored)
    if costs:
        print_costs(costs)


def print_restored(evaluations: Sequence[ClozeEvaluation]) -> None:
    """Hidden characters restored, a split a row."""
    rows = [
        [
            e.split,
            f"{e.gaps:,}",
            "" if e.bits is None else f"{e.pseudo_perplexity:.3f}",
            f"{e.accuracy:.1%}",
            f"{e.unknown_share:.2%}",
        ]
        for e in evaluations
    ]
    print_table(["split", "gaps", "pseudo-perplexity", "restored", "unknown"], rows)


def print_costs(evaluations: Sequence[Evaluation]) -> None:
    """The cost of splits by a model and by baselines, each a row."""
    from rondeau.evaluation.perplexity import COMPRESSOR, MODEL

    rows = []
    for e in evaluations:
        if e.leaks:
            numbers = [f"leaked loss {e.nats:.4f} nats", "", "", ""]
        else:
            bits = [f"{e.bits_per_character:.4f}", f"{e.bits_per_byte:.4f}"]
            known = f"{e.known_perplexity:,.3f}" if e.targets > e.unknown else ""
            perplexities = [f"{e.perplexity:,.3f}", known]
            numbers = ["", "", *bits] if e.model == COMPRESSOR else [*perplexities, *bits]
        name = f"{e.split}{' (a sample)' * e.sample}" if e.model == MODEL else f"  {e.model}"
        rows.append([name, f"{e.targets:,}", *numbers, f"{e.unknown_share:.2%}"])
    headings = ["split", "targets", "perplexity", "of known", "bits/char", "bits/byte", "unknown"]
    print_table(headings, rows)
    if any(e.leaks for e in evaluations):
        print(
            "When a character and all that follows was replaced, the distribution that scores it\n"
            f"changed by up to {max(e.leak for e in evaluations):.2g} nats: this model reads the "
            "character that it is asked for.\nIts loss measures a copy, not a prediction, and no "
            "perplexity can be given."
        )


class TrainingProgress:
    """A bar on a terminal, plain lines elsewhere, silence when quiet; always standard error."""

    def __init__(self, *, quiet: bool) -> None:
        """Decide by what standard error is."""
        self.quiet = quiet
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self.first: Event | None = None
        self.bar: Progress | None = None
        if console.is_terminal and not quiet:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(compact=True),
                console=console,
            )
            self.task = self.bar.add_task("training", total=None, figures="")

    def __enter__(self) -> TrainingProgress:
        """Show the bar."""
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the terminal as it was."""
        if self.bar:
            self.bar.stop()

    def show(self, event: Event) -> None:
        """Draw an event."""
        if self.quiet:
            return
        if event.note:
            note(event.note)
        figures = (
            f"loss {event.loss:.3f}  perplexity {math.exp(min(event.loss, 700)):.1f}  "
            f"{event.tokens_per_second:,.0f} tokens/s"
        )
        if self.bar:
            self.bar.update(self.task, completed=event.step, total=event.steps, figures=figures)
        line = self._line(event, figures)
        if line and self.bar:
            self.bar.print(line)
        elif line:
            print(line, file=sys.stderr, flush=True)

    def _line(self, event: Event, figures: str) -> str | None:
        # The first step may have compiled kernels: what follows it tells how long a step takes.
        first = self.first = self.first or event
        at_look = event.held_out is not None or event.gates is not None
        if not at_look and (self.bar or event.step > 1):
            return None
        line = f"step {event.step:>5}/{event.steps}  {figures}"
        if event.step > first.step:
            per_step = (event.seconds - first.seconds) / (event.step - first.step)
            line += f"  {(event.steps - event.step) * per_step:.0f} s left"
        below = gate_lines(event.gates or ())
        if event.held_out is not None:
            line += f"  | held out: {held_out_figure(event.held_out)}"
            below += [one_line(tame(sample)) for sample in event.held_out.samples]
        return "\n".join([line, *(f"      {text}" for text in below)])


def held_out_figure(held_out: HeldOut) -> str:
    """What a look found, named for what it is."""
    if held_out.measure == "leaked loss":
        return f"leaked loss {held_out.loss:.4f} nats"
    mark = " (best)" if held_out.best else ""
    return f"{held_out.measure} {math.exp(min(held_out.loss, 700)):.2f}{mark}"


def gate_lines(gates: Sequence[GateShares]) -> list[str]:
    """A line for each layer and direction: what share of every gate is shut, and open."""
    lines: dict[tuple[int, str], list[str]] = {}
    for shares in gates:
        text = f"{shares.gate} {shares.shut:.0%} shut, {shares.open:.0%} open"
        lines.setdefault((shares.layer, shares.direction), []).append(text)
    return [
        f"gates of layer {layer}{', backwards' * (direction == 'backward')}: {'; '.join(texts)}"
        for (layer, direction), texts in lines.items()
    ]


def one_line(text: str) -> str:
    """A text on one line: newlines shown as " / "."""
    return " / ".join(part for part in text.split("\n") if part)


def as_rows(values: dict[str, Any], indent: str = "") -> list[str]:
    """Nested settings as lines of `name  value`, unset ones left out."""
    lines: list[str] = []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *as_rows(value, indent + "  ")]
        elif value is not None:
            shown = f"{value:,}" if type(value) is int else value
            shown = ", ".join(map(str, shown)) if isinstance(shown, list) else shown
            lines.append(f"{indent}{name:<{max(1, 18 - len(indent))}} {shown}")
    return lines

"""Several runs side by side: sizes, curves, and held-out numbers with how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rondeau.errors import OptionError
from rondeau.evaluation.comparison import Figures, Interval, bits_per_character, difference
from rondeau.evaluation.perplexity import document_bits, evaluate
from rondeau.language_model import LanguageModel
from rondeau.run.metrics import read_events
from rondeau.text.splits import SplitName

PIECE = 1_000
"""Characters of a piece: what is drawn instead of documents where the text is one."""


@dataclass(frozen=True)
class ComparedRun:
    """One run: its shape, its training, and its bits a character on the split, where it has any.

    looks: (steps, seconds, tokens, held-out loss in nats) of every look while it was trained; why:
    the reason why there are no bits.
    """

    name: str
    shape: str
    parameters: int
    steps: int
    seconds: float
    looks: tuple[tuple[float, float, float, float], ...]
    bits: Interval | None = None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """What `compare --json` gives."""
        bits = self.bits and [self.bits.value, self.bits.low, self.bits.high]
        head = {"run": self.name, "shape": self.shape, "parameters": self.parameters}
        tail = {"steps": self.steps, "seconds": self.seconds, "bits_per_character": bits}
        return head | tail | ({"why": self.why} if self.why else {})


@dataclass(frozen=True)
class Comparison:
    """Runs, and in words how the others stand beside the best on one split.

    drawn: what the intervals are over, and how many of them.
    """

    split: str
    runs: tuple[ComparedRun, ...]
    sentences: tuple[str, ...]
    drawn: str


def compare(models: Sequence[LanguageModel], split: SplitName = "validation") -> Comparison:
    """Lay runs side by side; held-out numbers for those on the same text as the first.

    Raises OptionError for fewer than two runs, RunError where the text isn't there any more.
    """
    if len(models) < 2:
        raise OptionError("compare: name at least two runs")
    first = models[0]
    ((_, documents),) = first.texts(splits=[split])
    pieces = not first.whole_documents
    runs, costs = [], []
    characters: Figures = np.empty(0)
    for model in models:
        cost: Figures | None = None
        why = _why_none(model, first, split)
        if not why:
            found = document_bits(
                model.model, model.tokenizer, documents, whole=model.whole_documents
            )
            cost, characters = _by_piece(found, documents, pieces=pieces)
        costs.append(cost)
        bits = None if cost is None else bits_per_character(cost, characters)
        runs.append(_compared(model, bits, why))
    unit = f"pieces of {PIECE:,} characters" if pieces else "documents"
    sentences = _sentences(runs, costs, characters, split)
    return Comparison(split, tuple(runs), sentences, f"{len(characters):,} {unit}")


def _why_none(model: LanguageModel, first: LanguageModel, split: SplitName) -> str:
    if model.fingerprint != first.fingerprint:
        return "was trained on another text, or split in another way"
    if model.model.config.objective == "cloze":
        return "restores hidden characters and has no perplexity (evaluate --beside)"
    ((_, documents),) = model.texts(splits=[split])
    sample = evaluate(
        model.model, model.tokenizer, documents[:1], split=split, whole=model.whole_documents
    )
    return "reads its own answer: its loss is a leak" if sample.leaks else ""


def _by_piece(
    found: Sequence[Figures], documents: Sequence[str], *, pieces: bool
) -> tuple[Figures, Figures]:
    """Bits and characters of every document, or of pieces of a text that was read through."""
    if not pieces:
        return np.array([b.sum() for b in found]), np.array([float(len(d)) for d in documents])
    bits = np.concatenate(found)
    starts = np.arange(0, len(bits), PIECE)
    return np.add.reduceat(bits, starts), np.diff([*starts, len(bits)]).astype(float)


def _compared(model: LanguageModel, bits: Interval | None, why: str) -> ComparedRun:
    config, told = model.model.config, model.info()["training"]
    looks = [
        (event["step"], event["seconds"], event["tokens"], event["held_out"]["loss"])
        for event in read_events(model.run)
        if event.get("held_out")
    ]
    sides = "bidirectional " if config.bidirectional else ""
    return ComparedRun(
        name=Path(model.run.path).name,
        shape=f"{sides}{config.cell} {config.layers}×{config.hidden}",
        parameters=model.model.parameter_count,
        steps=told["step"],
        seconds=told["seconds"],
        looks=tuple(looks),
        bits=bits,
        why=why,
    )


def _sentences(
    runs: Sequence[ComparedRun],
    costs: Sequence[Figures | None],
    characters: Figures,
    split: str,
) -> tuple[str, ...]:
    """The best run beside each of the others."""
    known = [(run, cost) for run, cost in zip(runs, costs, strict=True) if cost is not None]
    said = [f"{run.name}: no figure here; it {run.why}." for run in runs if run.why]
    if len(known) < 2:
        return tuple(said)
    best, fewest = min(known, key=lambda pair: float(pair[1].sum()))
    for run, cost in known:
        if run is best:
            continue
        more = difference(fewest, cost, characters)
        noise = "Within noise: " if more.within_noise else ""
        said.append(
            f"{noise}{best.name} needs {more.value:.3f} bits a character fewer than {run.name} on "
            f"the {split} split (95 % interval {more.low:.3f} to {more.high:.3f})."
        )
    return tuple(said)

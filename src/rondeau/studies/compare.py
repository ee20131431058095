"""Several runs side by side: sizes, curves, and held-out numbers with how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rondeau.errors import OptionError, UserError
from rondeau.evaluation.comparison import Figures, Interval, bits_per_character, difference
from rondeau.evaluation.leaks import LONGEST, PROBES
from rondeau.evaluation.perplexity import blocks, document_bits
from rondeau.language_model import LanguageModel
from rondeau.run.metrics import read_events
from rondeau.text.splits import SplitName

PIECE = 1_000
"""Characters of a piece: what is drawn instead of documents where the text is one."""
ELSEWHERE = "was trained on another text, or split in another way"
CLOZE = "restores hidden characters and has no perplexity (evaluate --beside)"
LEAKS = "reads its own answer: its loss is a leak"


@dataclass(frozen=True)
class ComparedRun:
    """One run: its shape, its training, and its bits a character on the split, where it has any.

    looks: (steps, seconds, tokens, held-out loss in nats) of every look while it was trained, none
    where that loss is no perplexity's; why: the reason why there are no bits.
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
        """What `compare --json` gives; NaN where there are too few documents for an interval."""
        bits = self.bits and [self.bits.value, self.bits.low, self.bits.high]
        head = {"run": self.name, "shape": self.shape, "parameters": self.parameters}
        tail = {"steps": self.steps, "seconds": self.seconds, "bits_per_character": bits}
        return head | tail | ({"why": self.why} if self.why else {})


@dataclass(frozen=True)
class Difference:
    """How many bits a character more a run needs than the best one, on the same documents."""

    run: str
    best: str
    more: Interval

    def as_dict(self) -> dict[str, Any]:
        """What `compare --json` gives."""
        return {
            "run": self.run,
            "best": self.best,
            "more_bits_per_character": [self.more.value, self.more.low, self.more.high],
            "within_noise": self.more.within_noise,
        }

    def sentence(self, split: str) -> str:
        """The same in words."""
        more = self.more
        said = (
            f"{self.best} needs {more.value:z.3f} bits a character fewer than {self.run} on the "
            f"{split} split"
        )
        if not more.known:
            return f"{said}: too few documents to tell whether that is noise."
        noise = "Within noise: " if more.within_noise else ""
        return f"{noise}{said} (95 % interval {more.low:z.3f} to {more.high:z.3f})."


@dataclass(frozen=True)
class Comparison:
    """Runs, and how the others stand beside the best on one split.

    drawn: what the intervals are over, and how many of them; notes: what can't be told, and why.
    """

    split: str
    runs: tuple[ComparedRun, ...]
    differences: tuple[Difference, ...]
    drawn: str
    notes: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """All that is to be said."""
        return [*self.notes, *(found.sentence(self.split) for found in self.differences)]

    def as_dict(self) -> dict[str, Any]:
        """What `compare --json` gives."""
        return {
            "split": self.split,
            "runs": [run.as_dict() for run in self.runs],
            "differences": [found.as_dict() for found in self.differences],
            "drawn": self.drawn,
            "sentences": self.sentences,
        }


def compare(models: Sequence[LanguageModel], split: SplitName = "validation") -> Comparison:
    """Lay runs side by side; held-out numbers for those on the same text as the first.

    Where that text can't be read any more, or has no such split, there are none, and that is said.
    Raises OptionError for fewer than two runs, or one twice.
    """
    if len(models) < 2:
        raise OptionError("compare: name at least two runs")
    if len({model.run.path.resolve() for model in models}) < len(models):
        raise OptionError("compare: names a run twice; name each of them once")
    names = _names(models)
    documents, notes = _held_out(models[0], split)
    runs: list[ComparedRun] = []
    costs: dict[str, Figures] = {}
    characters: Figures = np.empty(0)
    for name, model in zip(names, models, strict=True):
        why, bits = _why_none(model, models[0], documents), None
        if documents and not why:
            costs[name], characters = _costs(model, documents)
            bits = bits_per_character(costs[name], characters)
        runs.append(_compared(name, model, bits, why))
    count = len(characters)
    unit, size = ("document", "") if len(documents) > 1 else ("piece", f" of {PIECE:,} characters")
    return Comparison(
        split=split,
        runs=tuple(runs),
        differences=_differences(costs, characters),
        drawn=f"{count:,} {unit}{'s' * (count != 1)}{size}",
        notes=(*notes, *(f"{r.name}: no figure; it {r.why}." for r in runs if r.why)),
    )


def _names(models: Sequence[LanguageModel]) -> list[str]:
    """The names of their folders, or whole paths where those don't tell them apart."""
    names = [model.run.path.resolve().name for model in models]
    return names if len(set(names)) == len(names) else [str(model.run.path) for model in models]


def _held_out(model: LanguageModel, split: SplitName) -> tuple[Sequence[str], list[str]]:
    notes: list[str] = []
    try:
        ((_, documents),) = model.texts(splits=[split], note=notes.append)
    except UserError as error:
        return (), [f"No held-out figures: {error}"]
    return documents, notes


def _why_none(model: LanguageModel, first: LanguageModel, documents: Sequence[str]) -> str:
    if model.fingerprint != first.fingerprint:
        return ELSEWHERE
    if model.model.config.objective == "cloze":
        return CLOZE
    if not documents:
        return "" if model.model.causal else LEAKS
    beginnings = [document[:LONGEST] for document in documents[:PROBES]]
    return LEAKS if model.evaluate_documents(beginnings, split="").leaks else ""


def _costs(model: LanguageModel, documents: Sequence[str]) -> tuple[Figures, Figures]:
    """Bits and characters of every document, or of the pieces of a single one, read through."""
    bits, characters = [], []
    for block in blocks(documents):
        found = document_bits(model.model, model.tokenizer, block, whole=model.whole_documents)
        for document, cost in zip(block, found, strict=True):
            length = len(document)
            starts = np.arange(0, length, PIECE if len(documents) == 1 else length)
            # The last piece has the document's end among its bits, which is no character.
            bits.append(np.add.reduceat(cost, starts))
            characters.append(np.diff(starts, append=length).astype(float))
    return np.concatenate(bits), np.concatenate(characters)


def _compared(name: str, model: LanguageModel, bits: Interval | None, why: str) -> ComparedRun:
    config, told = model.model.config, model.info()["training"]
    looks = [
        (event["step"], event["seconds"], event["tokens"], event["held_out"]["loss"])
        for event in read_events(model.run)
        if event.get("held_out") and event["held_out"]["measure"] == "perplexity"
    ]
    sides = "bidirectional " if config.bidirectional else ""
    return ComparedRun(
        name=name,
        shape=f"{sides}{config.cell} {config.layers}×{config.hidden}",
        parameters=model.model.parameter_count,
        steps=told["step"],
        seconds=told["seconds"],
        looks=tuple(looks),
        bits=bits,
        why=why,
    )


def _differences(costs: dict[str, Figures], characters: Figures) -> tuple[Difference, ...]:
    """Each of the runs beside the best of them."""
    if not costs:
        return ()
    best = min(costs, key=lambda name: float(costs[name].sum()))
    return tuple(
        Difference(name, best, difference(costs[best], cost, characters))
        for name, cost in costs.items()
        if name != best
    )

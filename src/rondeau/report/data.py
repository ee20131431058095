"""Everything that a report says, gathered from a run: facts, no words and no markup.

What a run hasn't got (a held-out split, its text, a text of its own) is missing here too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rondeau.errors import UserError
from rondeau.evaluation.perplexity import Evaluation
from rondeau.language_model import LanguageModel
from rondeau.run.folder import RunFolder
from rondeau.text.corpus import Corpus

SAMPLES, SAMPLE_LENGTH = 3, 200
LONG_ENOUGH, SCORED = 100, 600
"""Characters of the document that is scored: at least, where there is such a one, and at most."""

Row = Mapping[str, Any]
"""The numbers of a split, as `Evaluation.as_dict` and `ClozeEvaluation.as_dict` give them."""


@dataclass(frozen=True)
class Span:
    """A copied part of a sample, and where it stands in the training text."""

    start: int
    length: int
    document: int
    line: int
    title: str


@dataclass(frozen=True)
class Copies:
    """A sample in pieces, copied ones with their span.

    copied_share: of its characters; novel_share: of its n-grams, by n; longest: its longest run
    that stands in the training text, in characters.
    """

    pieces: Sequence[tuple[str, Span | None]]
    copied_share: float
    novel_share: Mapping[int, float]
    longest: int


@dataclass(frozen=True)
class Overlap:
    """Share of a held-out split's 20-grams and lines that stand in the training text."""

    grams: float | None
    lines: float | None


@dataclass(frozen=True)
class Surprisal:
    """A character of a text, its bits, and what the model preferred, with probabilities."""

    character: str
    bits: float
    alternatives: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """A run as its report shows it.

    results: `LanguageModel.info`; events: the lines of metrics.jsonl; baselines: by split;
    samples: what the model writes, in pieces where copies are told; scored: a held-out document,
    or its beginning; has_text: whether the training text could be read again.
    """

    name: str
    results: Mapping[str, Any]
    environment: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    unknown_bits: float
    causal: bool
    has_text: bool
    verdict: Sequence[str] = ()
    baselines: Mapping[str, Sequence[Row]]
    overlap: Mapping[str, Overlap]
    notes: Sequence[str] = ()
    samples: Sequence[str] = ()
    copies: Sequence[Copies] = ()
    scored: Sequence[Surprisal] = ()

    @property
    def leaks(self) -> bool:
        """Whether the model reads its own answer, by its numbers or, before those, by a look."""
        looks = (event.get("held_out") or {} for event in self.events)
        return any("leaked_loss" in row for row in self.results["held_out"]) or any(
            look.get("measure") == "leaked loss" for look in looks
        )

    @property
    def cloze(self) -> bool:
        """Whether it restores hidden characters."""
        return bool(self.results["config"]["objective"] == "cloze")


def gather(
    model: LanguageModel,
    *,
    corpus: Corpus | None = None,
    verdict: Sequence[str] = (),
    baselines: Mapping[str, Sequence[Evaluation]] | None = None,
    overlap: Mapping[str, Overlap] | None = None,
    notes: Sequence[str] = (),
    copies: Callable[[str], Copies] | None = None,
) -> ReportData:
    """Read a run, let its model write and score, and put what others have measured beside it.

    corpus: the run's own, where it is at hand; else it is read again, if it still can be.
    copies: finds what of a sample is copied. Raises RunError for a damaged run.
    """
    results = model.info()
    corpus = corpus or _corpus(model)
    samples: list[str] = []
    if model.model.causal:
        seed = results["settings"]["seed"]
        written = model.generate(length=SAMPLE_LENGTH, seed=seed, num_samples=SAMPLES)
        samples = [sample.text for sample in written]
    return ReportData(
        name=model.run.path.resolve().name,
        results=results,
        environment=model.run.read_json("env.json"),
        events=_events(model.run),
        unknown_bits=model.tokenizer.unknown_bits,
        causal=model.model.causal,
        has_text=corpus is not None,
        verdict=verdict,
        baselines={s: [e.as_dict() for e in es] for s, es in (baselines or {}).items()},
        overlap=overlap or {},
        notes=notes,
        samples=samples,
        copies=[copies(sample) for sample in samples] if copies else [],
        scored=_scored(model, corpus) if corpus and model.model.causal else [],
    )


def _corpus(model: LanguageModel) -> Corpus | None:
    """The text of the run, unless it is gone or has changed."""
    try:
        return model.corpus()
    except UserError:
        return None


def _events(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without one that an interruption has torn."""
    events = []
    path = run.path / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and {"step", "loss", "seconds"} <= event.keys():
            events.append(event)
    return events


def _scored(model: LanguageModel, corpus: Corpus) -> list[Surprisal]:
    """The first document of the validation split that is worth a look, character by character."""
    validation = corpus.validation
    if not validation.characters:
        return []
    lengths = validation.lengths
    document = int(np.argmax(np.minimum(lengths, LONG_ENOUGH)))
    text = validation.excerpt(document, 0, SCORED)
    scored = [Surprisal(c, bits) for c, bits in model.score(text).characters]
    return scored if lengths[document] <= SCORED else scored[: len(text)]

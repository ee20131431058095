"""Everything that a report says, gathered from a run: facts, no words and no markup.

What a run hasn't got (a held-out split, its text, a text of its own) is missing here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from rondeau.config import DecodingConfig
from rondeau.errors import UserError
from rondeau.evaluation.baselines import Baselines
from rondeau.evaluation.copies import Novelty, Span, pieces
from rondeau.evaluation.overlap import Overlap
from rondeau.evaluation.scoring import ScoredCharacter
from rondeau.language_model import LanguageModel
from rondeau.run.metrics import read_events

SAMPLES, SAMPLE_LENGTH = 3, 200
LONG_ENOUGH, SCORED = 100, 600
"""Characters of the document that is scored: at least, where there is such a one, and at most."""

SEARCHED = 20_000_000
"""Characters of the largest training text in which copies are looked for without being asked."""

T = TypeVar("T")
Row = Mapping[str, Any]
"""The numbers of a split, as `Evaluation.as_dict` and `ClozeEvaluation.as_dict` give them."""


@dataclass(frozen=True)
class Sample:
    """What the model wrote, in pieces, copied ones with their span.

    novelty: what of it is copied, None where that isn't known.
    """

    pieces: Sequence[tuple[str, Span | None]]
    novelty: Novelty | None = None


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """A run as its report shows it.

    results: `LanguageModel.info`; events: the lines of metrics.jsonl; decoding: how the samples
    were drawn; baselines: by split;
    scored: a held-out document, or its beginning; has_text: whether the training text could be
    read again.
    """

    name: str
    results: Mapping[str, Any]
    environment: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    decoding: DecodingConfig
    unknown_bits: float
    causal: bool
    has_text: bool
    verdict: Sequence[str] = ()
    baselines: Mapping[str, Sequence[Row]]
    overlap: Mapping[str, Overlap]
    notes: Sequence[str] = ()
    samples: Sequence[Sample] = ()
    scored: Sequence[ScoredCharacter] = ()

    @property
    def leaks(self) -> bool:
        """Whether the model reads its own answer, by its numbers or, before those, by a look."""
        rows = self.results["held_out"]
        if rows:
            return "leaked_loss" in rows[0]
        looks = (event.get("held_out") or {} for event in self.events)
        return any(look.get("measure") == "leaked loss" for look in looks)

    @property
    def cloze(self) -> bool:
        """Whether it restores hidden characters, by its numbers or, before those, by its config."""
        rows = self.results["held_out"]
        return "gaps" in rows[0] if rows else self.results["config"]["objective"] == "cloze"


def gather(model: LanguageModel) -> ReportData:
    """Read a run, let its model write and score; RunError for a damaged run."""
    results = model.info()
    baselines = _unless_gone(model.baselines, Baselines({}))
    return ReportData(
        name=model.run.path.resolve().name,
        results=results,
        environment=model.run.read_json("env.json"),
        events=read_events(model.run),
        decoding=model.decoding,
        unknown_bits=model.tokenizer.unknown_bits,
        causal=model.model.causal,
        has_text=_unless_gone(lambda: bool(model.corpus()), False),
        verdict=results["verdict"],
        baselines={s: [e.as_dict() for e in es] for s, es in baselines.splits.items()},
        overlap=_unless_gone(model.overlap, {}),
        notes=baselines.notes,
        samples=_samples(model, results) if model.model.causal else [],
        scored=_unless_gone(lambda: _scored(model), []) if model.model.causal else [],
    )


def _unless_gone(read: Callable[[], T], otherwise: T) -> T:
    """What needs the text of the run, or the other where that is gone or has changed."""
    try:
        return read()
    except UserError:
        return otherwise


def _samples(model: LanguageModel, results: Mapping[str, Any]) -> list[Sample]:
    """What the model writes, and what of it is copied, unless the text is gone or huge."""
    seed = results["settings"]["seed"]
    written = model.generate(length=SAMPLE_LENGTH, seed=seed, num_samples=SAMPLES)
    if results["data"]["characters"]["train"] > SEARCHED:
        return [Sample([(sample.text, None)]) for sample in written]
    return [_sample(model, sample.text) for sample in written]


def _sample(model: LanguageModel, text: str) -> Sample:
    novelty = _unless_gone(lambda: model.novelty(text), None)
    return Sample(list(pieces(text, novelty)) if novelty else [(text, None)], novelty)


def _scored(model: LanguageModel) -> list[ScoredCharacter]:
    """The first document of the validation split that is worth a look, character by character."""
    validation = model.corpus().validation
    if not validation.characters:
        return []
    lengths = validation.lengths
    document = int(np.argmax(np.minimum(lengths, LONG_ENOUGH)))
    text = validation.excerpt(document, 0, SCORED)
    scored = model.score(text).characters
    return list(scored if lengths[document] <= SCORED else scored[: len(text)])

"""The numbers of a training: looks at the validation split to choose by, final ones to report.

At a look a split of more than 20,000 characters is read in part, a long text in pieces of 1,000
that each start from a zero state. What is reported at the end is `evaluate` on the whole split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from rondeau.config import DecodingConfig
from rondeau.evaluation import cloze
from rondeau.evaluation.cloze import ClozeEvaluation, evaluate_cloze
from rondeau.evaluation.perplexity import Evaluation, evaluate
from rondeau.generation.streams import generate_pieces
from rondeau.language_model import LanguageModel
from rondeau.network.model import Model
from rondeau.text.documents import Documents
from rondeau.text.splits import SPLIT_NAMES
from rondeau.text.tokenizer import CharTokenizer
from rondeau.training.events import Measure
from rondeau.training.group import Group
from rondeau.training.model_card import Numbers

SAMPLED_CHARACTERS, REPORTED_TRAIN = 20_000, 60_000
"""Characters of the validation split at a look, and of the training split in the final numbers."""
SAMPLE_LENGTH = 40
PIECE = 1_000
GAPS = 500
"""Hidden characters that a cloze model is asked for."""


def sample_documents(
    documents: Documents, *, pieces: bool, most: int = SAMPLED_CHARACTERS
) -> list[str]:
    """The first `most` characters of documents.

    pieces: cut long texts into pieces of 1,000 characters, since one text is read step by step.
    """
    total = documents.characters
    if pieces and total > PIECE:
        places = [(d, at) for d, n in enumerate(documents.lengths) for at in range(0, n, PIECE)]
        # Evenly spaced, so that they stand for the whole text.
        places = places[:: max(1, -(-total // most))]
        return [documents.excerpt(d, at, at + PIECE) for d, at in places]
    chosen, left = [], most
    for document, length in enumerate(documents.lengths):
        chosen.append(documents.excerpt(document, 0, left))
        left -= length
        if left <= 0:
            break
    return chosen


def look(
    model: Model, tokenizer: CharTokenizer, documents: Documents, *, whole: bool, group: Group
) -> tuple[float, int, Measure]:
    """Mean loss in nats on a sample of the validation split, its targets, and what it measures."""
    if model.config.objective == "cloze":
        restored = cloze_together(group, model, tokenizer, documents, split="validation", gaps=GAPS)
        return restored.nats, restored.gaps, "pseudo-perplexity"
    chosen = sample_documents(documents, pieces=not whole)
    cost = evaluate_together(group, model, tokenizer, chosen, split="validation", whole=whole)
    return cost.nats, cost.targets, "leaked loss" if cost.leaks else "perplexity"


def sample_texts(
    model: Model, tokenizer: CharTokenizer, *, seed: int, whole: bool
) -> tuple[str, ...]:
    """What the model writes at a look, the same seed each time; nothing if it can't write."""
    if not model.causal:
        return ()
    pieces = generate_pieces(
        model,
        tokenizer,
        "",
        length=SAMPLE_LENGTH,
        decoding=DecodingConfig(),
        seed=seed,
        whole_documents=whole,
    )
    return ("".join(piece.text for piece in pieces),)


def evaluate_together(
    group: Group,
    model: Model,
    tokenizer: CharTokenizer,
    documents: Sequence[str],
    *,
    split: str,
    whole: bool,
) -> Evaluation:
    """`evaluate`, the documents shared out among the processes of a group."""
    if group.size == 1:
        return evaluate(model, tokenizer, documents, split=split, whole=whole)
    own = documents[group.rank :: group.size]
    cost = evaluate(model, tokenizer, own, split=split, whole=whole) if any(own) else None
    names = ("targets", "characters", "utf8_bytes", "unknown", "bits", "known_bits")
    sums = group.sum(*(getattr(cost, name, 0) for name in names))
    targets, characters, utf8_bytes, unknown = map(int, sums[:4])
    # Probes differ by their documents: a model leaks where one of them has shown it.
    leaks = group.joined(torch.tensor([cost.leak if cost else 0.0]), group.size)
    return Evaluation(
        split=split,
        targets=targets,
        characters=characters,
        utf8_bytes=utf8_bytes,
        bits=sums[4],
        unknown=unknown,
        known_bits=sums[5],
        leak=float(leaks.max()),
    )


def cloze_together(
    group: Group,
    model: Model,
    tokenizer: CharTokenizer,
    documents: Documents,
    *,
    split: str,
    gaps: int = cloze.GAPS,
) -> ClozeEvaluation:
    """`evaluate_cloze`, the gaps shared out among the processes of a group."""
    own = slice(group.rank, None, group.size)
    found = evaluate_cloze(model, tokenizer, documents, split=split, gaps=gaps, part=own)
    assert found.bits is not None
    sums = group.sum(found.gaps, found.right, found.unknown, found.bits)
    count, right, unknown = map(int, sums[:3])
    return ClozeEvaluation(split, count, right, unknown, bits=sums[3])


def final_numbers(model: LanguageModel, group: Group) -> list[Numbers]:
    """The best model on every split: whole, but for a large training text, of which a sample."""
    corpus = model.corpus()
    splits = [name for name in SPLIT_NAMES if corpus.parts[name]]
    if model.model.config.objective == "cloze":
        return [
            cloze_together(group, model.model, model.tokenizer, corpus.parts[split], split=split)
            for split in splits
        ]
    numbers: list[Numbers] = []
    for name in splits:
        documents: Sequence[str] = corpus.parts[name]
        sample = name == "train" and corpus.train.characters > REPORTED_TRAIN
        if sample:
            pieces = not corpus.whole_documents
            documents = sample_documents(corpus.train, pieces=pieces, most=REPORTED_TRAIN)
        cost = evaluate_together(
            group,
            model.model,
            model.tokenizer,
            documents,
            split=name,
            whole=model.whole_documents,
        )
        numbers.append(replace(cost, sample=sample))
    return numbers

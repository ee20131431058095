"""A quick look at the validation split while training: for choosing, not for reporting.

A split of more than 20,000 characters is looked at in part, a long text in pieces of 1,000 that
each start from a zero state. What is reported at the end is `evaluate` on the whole split.
"""

from __future__ import annotations

from rondeau.evaluation.cloze import evaluate_cloze
from rondeau.evaluation.perplexity import evaluate
from rondeau.network.model import Model
from rondeau.text.documents import Documents
from rondeau.text.tokenizer import CharTokenizer
from rondeau.training.events import Measure

SAMPLED_CHARACTERS = 20_000
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
    model: Model, tokenizer: CharTokenizer, documents: Documents, *, whole: bool
) -> tuple[float, int, Measure]:
    """Mean loss in nats on a sample of the validation split, its targets, and what it measures."""
    if model.config.objective == "cloze":
        restored = evaluate_cloze(model, tokenizer, documents, split="validation", gaps=GAPS)
        return restored.nats, restored.gaps, "pseudo-perplexity"
    chosen = sample_documents(documents, pieces=not whole)
    cost = evaluate(model, tokenizer, chosen, split="validation", whole=whole)
    return cost.nats, cost.targets, "leaked loss" if cost.leaks else "perplexity"

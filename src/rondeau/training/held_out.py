"""A quick look at the validation split while training: for choosing, not for reporting.

A split of more than 20,000 characters is looked at in part, a long text in pieces of 1,000 that
each start from a zero state. What is reported at the end is `evaluate` on the whole split.
"""

from __future__ import annotations

from collections.abc import Sequence

from rondeau.evaluation.perplexity import Evaluation, evaluate
from rondeau.network.model import Model
from rondeau.text.tokenizer import CharTokenizer

SAMPLED_CHARACTERS = 20_000
PIECE = 1_000


def sample_documents(
    documents: Sequence[str], *, pieces: bool, most: int = SAMPLED_CHARACTERS
) -> tuple[list[str], bool]:
    """The first `most` characters, and whether that is all of the documents, uncut.

    pieces: cut long texts into pieces of 1,000 characters, since one text is read step by step.
    """
    total = sum(map(len, documents))
    if pieces and total > PIECE:
        documents = [d[at : at + PIECE] for d in documents for at in range(0, len(d), PIECE)]
        # Evenly spaced, so that they stand for the whole text.
        documents = documents[:: max(1, -(-total // most))]
        return list(documents), False
    if total <= most:
        return list(documents), True
    chosen, left = [], most
    for document in documents:
        chosen.append(document[:left])
        left -= len(document)
        if left <= 0:
            break
    return chosen, False


def look(
    model: Model, tokenizer: CharTokenizer, documents: Sequence[str], *, whole: bool
) -> Evaluation:
    """The cost of a sample of the validation split."""
    chosen, _ = sample_documents(documents, pieces=not whole)
    return evaluate(model, tokenizer, chosen, split="validation", whole=whole)

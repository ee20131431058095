"""What the numbers say about a model, in sentences: better than counting, worse, or memorised.

It compares numbers that others have measured, and knows no model and no text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rondeau.evaluation.baselines import best_ngram
from rondeau.evaluation.perplexity import COMPRESSOR, Evaluation
from rondeau.text.splits import SPLIT_NAMES

BY_HEART = 2.0
"""The training perplexity below which a text is known by heart, if held-out text is not."""
NOISE = 0.005
"""Bits a character that round to no difference."""

MISGUIDED = "guessing among all characters alike would cost less; try a smaller --lr"
OVERFITTED = "it knows its training text, not the language; try more text or a higher --dropout"
UNTOLD = "its figure on the training split would tell why"
UNDERFITTED = "it hasn't learned enough; train longer or with a larger --hidden"


def verdict(
    evaluations: Mapping[str, Evaluation], baselines: Mapping[str, Sequence[Evaluation]]
) -> list[str]:
    """Sentences on a model, from its evaluations and the baselines, both by the name of the split.

    The last split that isn't `train` judges; the training split tells what a failure comes from.
    """
    if any(evaluation.leaks for evaluation in evaluations.values()):
        return ["The model reads its own answer: its loss can't be compared with any baseline."]
    held_out = [name for name in evaluations if name in baselines and name != "train"]
    if not held_out:
        return [
            "These are figures on the training text: they say how well that text is known, not the "
            "language."
        ]
    split = held_out[-1]
    model, others = evaluations[split], {e.model: e for e in baselines[split]}
    ngram, compressor = best_ngram(others.values()), others[COMPRESSOR]
    uniform = others["uniform"]
    sentences = [_against(model, ngram, uniform, evaluations.get("train"))]
    cost = compressor.bits_per_character
    # Where only unknown characters are dear, a compressor wins without any repetition.
    known = min(model.known_bits, ngram.known_bits) / model.characters
    if cost < known - NOISE:
        sentences.append(
            f"A compressor (xz) needs only {cost:.2f} bits a character on {_named(split)}: "
            "long passages repeat the training text, or one another, word for word."
        )
    return sentences


def _against(
    model: Evaluation, ngram: Evaluation, uniform: Evaluation, trained: Evaluation | None
) -> str:
    """How a model stands beside the best n-gram on the same split, and why."""
    here = f"on {_named(model.split)}"
    bits, counted = model.bits_per_character, ngram.bits_per_character
    if counted - bits > NOISE:
        return (
            f"The model needs {bits:.2f} bits a character {here}: {counted - bits:.2f} fewer than "
            f"the best n-gram (the {ngram.model})."
        )
    if bits - counted <= NOISE:
        return (
            f"The model is only as good as the {ngram.model}, which counts: {bits:.2f} bits a "
            f"character {here}."
        )
    if trained and trained.perplexity < BY_HEART:
        return (
            f"The model memorised its text: its perplexity is {_figure(trained)} on the training "
            f"text and {_figure(model)} {here}, where counting (the {ngram.model}) reaches "
            f"{_figure(ngram)}."
        )
    if bits >= uniform.bits_per_character:
        why = MISGUIDED
    elif not trained:
        why = UNTOLD
    elif trained.bits_per_character < counted:
        why = OVERFITTED
    else:
        why = UNDERFITTED
    return (
        f"The model is worse than the {ngram.model}, which only counts ({bits:.2f} against "
        f"{counted:.2f} bits a character {here}): {why}."
    )


def _named(split: str) -> str:
    """A split, or a file, in a sentence."""
    return f"the {split} split" if split in SPLIT_NAMES else split


def _figure(evaluation: Evaluation) -> str:
    """A perplexity with the digits that matter."""
    perplexity = evaluation.perplexity
    return f"{perplexity:,.2f}" if perplexity < 10 else f"{perplexity:,.0f}"

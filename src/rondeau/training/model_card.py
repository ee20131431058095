"""README.md of a run, which is also its card on a hub: data, split, numbers, how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import rondeau
from rondeau.evaluation.cloze import ClozeEvaluation
from rondeau.evaluation.perplexity import Evaluation

if TYPE_CHECKING:
    from rondeau.training.loop import Training

Numbers = Evaluation | ClozeEvaluation
"""What is said of a split."""


def model_card(training: Training, numbers: Sequence[Numbers], *, sources: Sequence[str]) -> str:
    """The card, in Markdown."""
    corpus, config, model = training.corpus, training.config, training.model
    name = training.folder.path.name
    shape = f"{config.layers}-layer {'bidirectional ' if config.bidirectional else ''}"
    chosen = "It is the last of its training: nothing was held out to choose by."
    if corpus.validation:
        chosen = "It was chosen by its validation loss."
    if corpus.test:
        chosen += " The test split was read once."
    use = "It reads its own answer: its loss is no perplexity, and it cannot generate.\n"
    if model.causal:
        use = f"```\nrondeau generate {name} --length 100\n```\n"
    elif config.objective == "cloze":
        use = f"```\nrondeau infill {name} TEXT_WITH_＿_FOR_EACH_GAP\n```\n"
    return (
        f"# {name}\n\n"
        f"A {shape}{config.cell.upper()} of hidden size {config.hidden} over "
        f"{model.vocabulary:,} tokens ({model.parameter_count:,} parameters), trained with "
        f"Rondeau {rondeau.__version__} on {', '.join(sources)} "
        f"({corpus.train.characters:,} characters; split: {corpus.split}, "
        f"seed {config.seed}).\n\n"
        f"{_table(numbers)}\n\n"
        f"{chosen}\n\n"
        f"## Use\n\n{use}"
    )


def _table(numbers: Sequence[Numbers]) -> str:
    rows = [_row(number) for number in numbers]
    headings = "| split | targets | perplexity | bits per character | bits per byte | unknown |"
    if any(isinstance(number, ClozeEvaluation) for number in numbers):
        headings = "| split | gaps | pseudo-perplexity | restored | unknown |"
    return "\n".join([headings, "|---" * (headings.count("|") - 1) + "|", *rows])


def _row(number: Numbers) -> str:
    if isinstance(number, ClozeEvaluation):
        cost = f"{number.gaps:,} | {number.pseudo_perplexity:.3f} | {number.accuracy:.1%}"
    elif number.leaks:
        cost = f"{number.targets:,} | leaked loss {number.nats:.4f} nats | | "
    else:
        cost = (
            f"{number.targets:,} | {number.perplexity:.3f} | {number.bits_per_character:.4f} | "
            f"{number.bits_per_byte:.4f}"
        )
    sample = isinstance(number, Evaluation) and number.sample
    return f"| {number.split}{' (a sample)' * sample} | {cost} | {number.unknown_share:.2%} |"

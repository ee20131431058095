"""The surprisal of a text, character by character, and what the model would have preferred.

The sum is what `evaluate` counts for the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rondeau.evaluation.perplexity import document_bits
from rondeau.evaluation.surprisal import document_targets, preferred
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, MASK, UNK, CharTokenizer

ALTERNATIVES = 4
"""Characters told at each place, the most probable first."""
ODD = 3.0
"""A line is odd above the median by so many deviations (1.4826 times the median one)."""


class ScoredCharacter(NamedTuple):
    """A character ("" for the document's end), its bits, and the likeliest ones there with P."""

    character: str
    bits: float
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Score:
    """The surprisal of a text: one entry a character, and the last for its end."""

    characters: tuple[ScoredCharacter, ...]

    @property
    def bits(self) -> float:
        """All of it: the sum over documents is what `evaluate` counts."""
        return sum(scored.bits for scored in self.characters)


@dataclass(frozen=True)
class ScoredLine:
    """A line of a file, from 1 on, scored as a document of its own; odd: beside the others."""

    number: int
    text: str
    bits: float
    odd: bool

    @property
    def bits_per_character(self) -> float:
        """Its bits, those of its end included, over its characters."""
        return self.bits / len(self.text)


def score_text(model: Model, tokenizer: CharTokenizer, text: str, *, whole: bool) -> Score:
    """The surprisal of a text of at least one character, read as one document."""
    (bits,) = document_bits(model, tokenizer, [text], whole=whole)
    banned = (UNK, MASK) if whole else (UNK, BOS, MASK)
    pair = document_targets(tokenizer.encode(text), whole=whole)
    ids, nats = preferred(model, pair, ALTERNATIVES, banned=banned)
    characters = [*text, ""] if whole else [*text]
    alternatives = [
        tuple((tokenizer.decode([i]), float(p)) for i, p in zip(*row, strict=True))
        for row in zip(ids, np.exp(nats), strict=True)
    ]
    found = zip(characters, bits.tolist(), alternatives, strict=True)
    return Score(tuple(ScoredCharacter(*entry) for entry in found))


def score_lines(
    model: Model, tokenizer: CharTokenizer, lines: Sequence[str], *, whole: bool
) -> list[ScoredLine]:
    """The surprisal of every line that isn't blank, each from a zero carry, in order."""
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    costs = document_bits(model, tokenizer, [line for _, line in kept], whole=whole)
    each = [float(cost.sum()) / len(line) for cost, (_, line) in zip(costs, kept, strict=True)]
    middle = float(np.median(each)) if each else 0.0
    deviation = 1.4826 * float(np.median(np.abs(np.array(each) - middle))) if each else 0.0
    return [
        ScoredLine(number, line, float(cost.sum()), bits > middle + ODD * deviation)
        for (number, line), cost, bits in zip(kept, costs, each, strict=True)
    ]

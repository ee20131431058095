"""Perplexity, bits per character and per byte of documents, honestly counted.

Every target counts once; an unknown character costs its `<unk>` and the telling of which character
it was (DESIGN: −log2 P(<unk>) + log2 of the code points outside the vocabulary). A model that reads
its own answer gets `leaked_loss` and no perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rondeau.errors import CorpusError
from rondeau.evaluation.leaks import LONGEST, PROBES, TOLERANCE, leak
from rondeau.evaluation.surprisal import document_targets, surprisals
from rondeau.network.model import Model
from rondeau.text.tokenizer import UNK, CharTokenizer

BLOCK = 2**20
"""Characters evaluated together."""
MODEL, COMPRESSOR = "model", "xz"
"""The `model` of an evaluation; a compressor has bits, but no probabilities."""


@dataclass(frozen=True)
class Evaluation:
    """The cost of one split or file, in bits.

    targets: characters and, for whole documents, their ends; unknown: characters outside the
    vocabulary; known_bits: the bits of all other targets (of all, for a compressor); leak: by how
    many nats a distribution changed when the character that it scores was replaced (`leaks.leak`);
    model: what was evaluated, a model or the name of a baseline; sample: on a part of the split.
    """

    split: str
    targets: int
    characters: int
    utf8_bytes: int
    bits: float
    unknown: int
    known_bits: float
    leak: float = 0.0
    model: str = MODEL
    sample: bool = False

    @property
    def leaks(self) -> bool:
        """Whether the model reads its own answer, so that there is no perplexity."""
        return self.leak > TOLERANCE

    @property
    def perplexity(self) -> float:
        """2 to the bits per target."""
        return exp2(self.bits / self.targets)

    @property
    def known_perplexity(self) -> float:
        """The same over the targets that are in the vocabulary; NaN where there are none."""
        known = self.targets - self.unknown
        return exp2(self.known_bits / known) if known else math.nan

    @property
    def nats(self) -> float:
        """Mean loss in nats per target."""
        return self.bits * math.log(2) / self.targets

    @property
    def bits_per_character(self) -> float:
        """All bits, document ends included, over all characters."""
        return self.bits / self.characters

    @property
    def bits_per_byte(self) -> float:
        """All bits over the UTF-8 bytes of the normalised text."""
        return self.bits / self.utf8_bytes

    @property
    def unknown_share(self) -> float:
        """Share of characters outside the vocabulary."""
        return self.unknown / self.characters

    def as_dict(self) -> dict[str, Any]:
        """What `evaluate --json` gives for one split."""
        head = {"split": self.split, "model": self.model, "targets": self.targets}
        tail: dict[str, Any] = {"unknown_share": self.unknown_share}
        if self.sample:
            tail["sample"] = True
        if self.leaks:
            return head | {"leaked_loss": self.nats, "leak": self.leak} | tail
        bits = {
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
        }
        if self.model == COMPRESSOR:
            return head | bits | tail
        known = {"known_perplexity": self.known_perplexity} if self.targets > self.unknown else {}
        return head | {"perplexity": self.perplexity} | bits | tail | known


def exp2(bits: float) -> float:
    """2**bits, infinite where that overflows."""
    return 2.0**bits if bits < 1024 else math.inf


def document_bits(
    model: Model, tokenizer: CharTokenizer, documents: Sequence[str], *, whole: bool
) -> list[NDArray[np.float64]]:
    """Bits of every character of every document, and of its end where documents are whole."""
    ids = [tokenizer.encode(document) for document in documents]
    nats = surprisals(model, [document_targets(i, whole=whole) for i in ids])
    bits = [n / math.log(2) for n in nats]
    for b, i in zip(bits, ids, strict=True):
        b[: len(i)][i == UNK] += tokenizer.unknown_bits
    return bits


def evaluate(
    model: Model, tokenizer: CharTokenizer, documents: Sequence[str], *, split: str, whole: bool
) -> Evaluation:
    """The cost of documents, each from a zero carry and `<bos>`.

    Raises CorpusError where there is nothing to count.
    """
    targets = characters = utf8_bytes = unknown = 0
    bits = known_bits = leaked = 0.0
    frame = partial(document_targets, whole=whole)
    for block in blocks(documents):
        if not targets:
            leaked = leak(model, [tokenizer.encode(d[:LONGEST]) for d in block[:PROBES]], frame)
        costs = document_bits(model, tokenizer, block, whole=whole)
        for document, cost in zip(block, costs, strict=True):
            known = np.ones(len(cost), dtype=bool)
            known[: len(document)] = tokenizer.encode(document) != UNK
            targets += len(cost)
            characters += len(document)
            utf8_bytes += len(document.encode("utf-8", "surrogatepass"))
            unknown += int((~known).sum())
            bits += float(cost.sum())
            known_bits += float(cost[known].sum())
    if not characters:
        raise CorpusError(f"{split}: has no text to evaluate")
    return Evaluation(
        split=split,
        targets=targets,
        characters=characters,
        utf8_bytes=utf8_bytes,
        bits=bits,
        unknown=unknown,
        known_bits=known_bits,
        leak=leaked,
    )


def blocks(documents: Iterable[str]) -> Iterator[list[str]]:
    """Documents by the million characters, so that memory doesn't grow with a split."""
    block: list[str] = []
    held = 0
    for document in documents:
        block.append(document)
        held += len(document)
        if held >= BLOCK:
            yield block
            block, held = [], 0
    yield block

"""The text that a model is inspected on, as ids: each document from a zero carry and `<bos>`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondeau.errors import CorpusError
from rondeau.network.loss import each_cross_entropy
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, UNK, CharTokenizer, Ids

Bits = NDArray[np.float64]

PIECE = 1_000
"""Most targets that are read on from one zero carry when bits are measured."""
TOGETHER = 2**15
"""Most ids read at once, so that memory doesn't grow with the text."""


@dataclass(frozen=True)
class Reading:
    """Documents and their ids; a document that ends has its end as the last id, a cut one hasn't.

    unknown_bits: what telling one unknown character costs beyond `<unk>`.
    """

    texts: tuple[str, ...]
    framed: tuple[Ids, ...]
    unknown_bits: float

    @property
    def characters(self) -> int:
        """Characters of all documents."""
        return sum(map(len, self.texts))

    @property
    def targets(self) -> int:
        """Ids that are predicted: all but the first of each document."""
        return sum(len(ids) - 1 for ids in self.framed)


def read(documents: Sequence[str], tokenizer: CharTokenizer, *, whole: bool, most: int) -> Reading:
    """The first `most` characters of documents; CorpusError where there are none."""
    texts, framed = [], []
    left = most
    for document in documents:
        if left <= 0:
            break
        text = document[:left]
        if not text:
            continue
        ends = whole and len(text) == len(document)
        texts.append(text)
        framed.append(np.concatenate([[BOS], tokenizer.encode(text), [BOS] if ends else []]))
        left -= len(text)
    if not texts:
        raise CorpusError("the text to inspect is empty; give at least one character")
    return Reading(
        tuple(texts), tuple(ids.astype(np.int64) for ids in framed), tokenizer.unknown_bits
    )


@contextlib.contextmanager
def reading_only(model: Model) -> Iterator[None]:
    """Evaluation mode and no gradients; the mode that the model was in comes back."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def bits_of_contexts(
    model: Model, contexts: Sequence[Ids], targets: Ids, unknown_bits: float
) -> Bits:
    """Bits of one target after each context, (N,): the model has read nothing else."""
    result = np.empty(len(targets))
    with reading_only(model):
        for chosen in _batches(contexts):
            features = _features(model, [contexts[i] for i in chosen])
            last = torch.tensor([len(contexts[i]) - 1 for i in chosen])
            rows = features[last, torch.arange(len(chosen))]
            result[chosen] = _bits(model, rows, targets[chosen], unknown_bits)
    return result


def bits_of_pieces(model: Model, reading: Reading) -> tuple[Bits, Ids]:
    """Bits of each piece of at most 1,000 targets, and its targets, (N,) each.

    A document of no more is one piece, and costs what `evaluate` says.
    """
    pieces = [
        ids[start : start + PIECE + 1]
        for ids in reading.framed
        for start in range(0, len(ids) - 1, PIECE)
    ]
    bits = np.empty(len(pieces))
    with reading_only(model):
        for chosen in _batches(pieces):
            batch = [pieces[i] for i in chosen]
            features = _features(model, [ids[:-1] for ids in batch])
            rows = torch.cat([features[: len(ids) - 1, b] for b, ids in enumerate(batch)])
            targets = np.concatenate([ids[1:] for ids in batch])
            costs = _bits(model, rows, targets, reading.unknown_bits)
            starts = np.cumsum([0, *(len(ids) - 1 for ids in batch[:-1])])
            bits[chosen] = np.add.reduceat(costs, starts)
    return bits, np.array([len(ids) - 1 for ids in pieces])


def _batches(sequences: Sequence[Ids]) -> Iterator[list[int]]:
    """All sequences by their numbers, those of like length together."""
    batch: list[int] = []
    for i in sorted(range(len(sequences)), key=lambda i: len(sequences[i])):
        # They grow: the last one is the longest of its batch.
        if batch and (len(batch) + 1) * len(sequences[i]) > TOGETHER:
            yield batch
            batch = []
        batch.append(i)
    yield batch


def _features(model: Model, sequences: Sequence[Ids]) -> Tensor:
    """What the output layer reads after every id (T, B, W), each sequence from a zero carry."""
    ids = np.zeros((max(map(len, sequences)), len(sequences)), dtype=np.int64)
    for column, sequence in enumerate(sequences):
        ids[: len(sequence), column] = sequence
    inputs = torch.from_numpy(ids).to(model.output.weight.device)
    return model.features(inputs, model.initial_carry(len(sequences)))[0]


def _bits(model: Model, features: Tensor, targets: Ids, unknown_bits: float) -> Bits:
    """Bits of targets (N,) after features (N, W)."""
    wanted = torch.from_numpy(targets).to(features.device)
    nats = each_cross_entropy(features, model.output, wanted).cpu().double().numpy()
    return np.asarray(nats / math.log(2) + unknown_bits * (targets == UNK))

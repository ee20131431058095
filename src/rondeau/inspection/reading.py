"""The text that a model is inspected on, as ids: each document from a zero carry and `<bos>`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rondeau.errors import CorpusError
from rondeau.network.loss import each_cross_entropy
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, UNK, CharTokenizer, Ids

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


@torch.inference_mode()
def bits_of_contexts(
    model: Model, contexts: Sequence[Ids], targets: Ids, unknown_bits: float
) -> NDArray[np.float64]:
    """Bits of one target after each context, (N,): the model has read nothing else."""
    result = np.empty(len(targets))
    order = np.argsort([len(context) for context in contexts], kind="stable")
    start = 0
    while start < len(order):
        # Contexts are sorted by length: the last one of a batch is its longest.
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * len(contexts[order[stop]]) <= TOGETHER:
            stop += 1
        chosen = order[start:stop]
        lengths = np.array([len(contexts[i]) for i in chosen])
        ids = np.zeros((lengths[-1], len(chosen)), dtype=np.int64)
        for column, i in enumerate(chosen):
            ids[: lengths[column], column] = contexts[i]
        device = model.output.weight.device
        features, _ = model.features(
            torch.from_numpy(ids).to(device), model.initial_carry(len(chosen))
        )
        last = features[torch.from_numpy(lengths - 1), torch.arange(len(chosen))]
        wanted = torch.from_numpy(targets[chosen]).to(device)
        nats = each_cross_entropy(last, model.output, wanted).cpu().double().numpy()
        result[chosen] = nats / math.log(2)
        start = stop
    result += unknown_bits * (targets == UNK)
    return result


@torch.inference_mode()
def bits_of_pieces(model: Model, reading: Reading) -> tuple[NDArray[np.float64], Ids]:
    """Bits of each piece of at most 1,000 targets, and its targets, (N,) each.

    A document of no more is one piece, and costs what `evaluate` says.
    """
    pieces = [
        ids[start : start + PIECE + 1]
        for ids in reading.framed
        for start in range(0, len(ids) - 1, PIECE)
    ]
    pieces.sort(key=len)
    bits = []
    device = model.output.weight.device
    while pieces:
        count = max(1, TOGETHER // len(pieces[-1]))
        batch, pieces = pieces[-count:], pieces[:-count]
        ids = np.full((len(batch[-1]), len(batch)), -1, dtype=np.int64)
        for column, piece in enumerate(batch):
            ids[: len(piece), column] = piece
        inputs = torch.from_numpy(np.maximum(ids[:-1], 0)).to(device)
        features, _ = model.features(inputs, model.initial_carry(len(batch)))
        wanted = torch.from_numpy(np.maximum(ids[1:], 0)).to(device)
        nats = each_cross_entropy(features.flatten(0, 1), model.output, wanted.flatten())
        cost = nats.view(wanted.shape).cpu().double().numpy() / math.log(2)
        cost += reading.unknown_bits * (ids[1:] == UNK)
        bits.append(np.stack([(cost * (ids[1:] >= 0)).sum(0), (ids[1:] >= 0).sum(0)]))
    both = np.concatenate(bits, 1)
    return both[0], both[1].astype(np.int64)

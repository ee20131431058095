"""The surprisal of every target: what all other numbers are sums of.

Each document starts from a zero carry and `<bos>`; a whole document ends with `<bos>` as its last
target. Works on ids; characters and bits per character are `perplexity`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondeau.network.cells import map_carry
from rondeau.network.loss import LOGITS, each_cross_entropy
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, Ids

BATCH, STEPS = 64, 256

Nats = NDArray[np.float64]


def document_targets(ids: Ids, *, whole: bool) -> tuple[Ids, Ids]:
    """Inputs and targets of one document: `<bos>` before it, and after it where it is whole."""
    framed = np.concatenate([[BOS], ids, [BOS]] if whole else [[BOS], ids])
    return framed[:-1], framed[1:]


@torch.inference_mode()
def surprisals(model: Model, pairs: Sequence[tuple[Ids, Ids]]) -> list[Nats]:
    """−ln P of every target, for pairs of inputs and targets (N each), each from a zero carry.

    A bidirectional model reads each text in windows of 256, from a zero carry in both directions.
    """
    result = [np.empty(len(inputs)) for inputs, _ in pairs]
    for window in _read(model, pairs):
        nats = _nats(model, window.features, window.targets)
        for column, text in enumerate(window.texts):
            place = result[text][window.start : window.start + len(nats)]
            place[:] = nats[: len(place), column]
    return result


@torch.inference_mode()
def log_probabilities(
    model: Model, pairs: Sequence[tuple[Ids, Ids]], places: Sequence[int]
) -> Nats:
    """ln P of every id (V) at one target of each pair, (len(pairs), V): read as `surprisals` reads.

    places: which target, of each pair.
    """
    result = np.empty((len(pairs), model.vocabulary))
    for window in _read(model, pairs):
        for column, text in enumerate(window.texts):
            row = places[text] - window.start
            if 0 <= row < len(window.features):
                logits = model.output(window.features[row, column])
                result[text] = torch.log_softmax(logits, -1).cpu().double().numpy()
    return result


@torch.inference_mode()
def preferred(
    model: Model, pair: tuple[Ids, Ids], count: int, *, banned: Sequence[int]
) -> tuple[Ids, Nats]:
    """The most probable ids at each target of one pair, and ln P of them, (N, count) each."""
    ids, nats = [], []
    for window in _read(model, [pair]):
        for features in torch.split(window.features[:, 0], max(1, LOGITS // model.vocabulary)):
            found = torch.log_softmax(model.output(features), -1)
            found[:, list(banned)] = -torch.inf
            best = found.topk(min(count, model.vocabulary - len(banned)), -1)
            ids.append(best.indices.cpu().numpy())
            nats.append(best.values.cpu().double().numpy())
    return np.concatenate(ids), np.concatenate(nats)


class _Window(NamedTuple):
    """Features (T, B, W) and targets (T, B) from step `start` of some texts, padded after each."""

    start: int
    texts: list[int]
    features: Tensor
    targets: Tensor


def _read(model: Model, pairs: Sequence[tuple[Ids, Ids]]) -> Iterator[_Window]:
    """Everything that is evaluated, window by window, many texts at once, in evaluation mode."""
    # Sorted by length, the texts still running are always the first ones of a batch.
    order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i][0]))
    size = BATCH if model.causal else 1
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), size):
            yield from _read_together(model, pairs, order[start : start + size])
    finally:
        model.train(was_training)


def _read_together(
    model: Model, pairs: Sequence[tuple[Ids, Ids]], texts: list[int]
) -> Iterator[_Window]:
    device = model.output.weight.device
    lengths = [len(pairs[text][0]) for text in texts]
    inputs = np.zeros((lengths[0], len(texts)), dtype=np.int64)
    targets = np.zeros_like(inputs)
    for column, text in enumerate(texts):
        inputs[: lengths[column], column], targets[: lengths[column], column] = pairs[text]
    carry = model.initial_carry(len(texts))
    for start in range(0, lengths[0], STEPS):
        running = sum(length > start for length in lengths)
        steps = slice(start, start + STEPS)
        if model.causal:
            carry = map_carry(itemgetter(slice(running)), carry)
        else:
            carry = model.initial_carry(running)
        ids = torch.from_numpy(inputs[steps, :running]).to(device)
        wanted = torch.from_numpy(targets[steps, :running]).to(device)
        features, carry = model.features(ids, carry)
        yield _Window(start, texts[:running], features, wanted)


def _nats(model: Model, features: Tensor, targets: Tensor) -> Nats:
    nats = each_cross_entropy(features.flatten(0, 1), model.output, targets.flatten())
    return nats.view(targets.shape).cpu().double().numpy()

"""The surprisal of every target: what all other numbers are sums of.

Each document starts from a zero carry and `<bos>`; a whole document ends with `<bos>` as its last
target. Works on ids; characters and bits per character are `perplexity`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rondeau.network.cells import map_carry
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, Ids

BATCH, STEPS = 64, 256
LOGITS = 2**23
"""Most logits held at once (32 MiB in float32)."""

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
    result: list[Nats] = [np.empty(0)] * len(pairs)
    was_training = model.training
    model.eval()
    # Sorted by length, the texts still running are always the first ones of a batch.
    order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i][0]))
    size = BATCH if model.causal else 1
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        lengths = [len(pairs[i][0]) for i in chosen]
        block = np.full((lengths[0], len(chosen)), np.nan)
        for at, nats in _run(model, [pairs[i] for i in chosen], lengths):
            block[at : at + len(nats), : nats.shape[1]] = nats
        for column, i in enumerate(chosen):
            result[i] = block[: lengths[column], column].copy()
    model.train(was_training)
    return result


def _run(
    model: Model, pairs: Sequence[tuple[Ids, Ids]], lengths: Sequence[int]
) -> Iterator[tuple[int, Nats]]:
    """Windows of (steps, running texts) with their place, padded where a text ends inside one."""
    device = model.output.weight.device
    inputs = np.zeros((lengths[0], len(pairs)), dtype=np.int64)
    targets = np.zeros_like(inputs)
    for column, (x, y) in enumerate(pairs):
        inputs[: len(x), column], targets[: len(y), column] = x, y
    carry = model.initial_carry(len(pairs))
    for at in range(0, lengths[0], STEPS):
        running = sum(length > at for length in lengths)
        window = slice(at, at + STEPS)
        if model.causal:
            carry = map_carry(itemgetter(slice(running)), carry)
        else:
            carry = model.initial_carry(running)
        ids = torch.from_numpy(inputs[window, :running]).to(device)
        wanted = torch.from_numpy(targets[window, :running]).to(device)
        features, carry = model.features(ids, carry)
        yield at, _nats(model, features, wanted)


def _nats(model: Model, features: Tensor, targets: Tensor) -> Nats:
    rows, wanted = features.flatten(0, 1), targets.flatten()
    step = max(1, LOGITS // model.vocabulary)
    parts = [
        F.cross_entropy(model.output(rows[i : i + step]), wanted[i : i + step], reduction="none")
        for i in range(0, len(rows), step)
    ]
    return torch.cat(parts).view(targets.shape).cpu().double().numpy()

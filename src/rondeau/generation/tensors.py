"""The choices of `decoding` for all streams at once, in tensors: where a GPU mustn't be waited for.

The same order of controls and ids, and the same inversion at the same uniform numbers. It knows no
model and no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rondeau.generation.decoding import NOTHING, Array, Choosers, Controls


class Chosen(NamedTuple):
    """What streams choose at a step, and tell: ids, nats (B); likely, likely_nats (B, M)."""

    ids: Tensor
    nats: Tensor
    likely: Tensor
    likely_nats: Tensor


class TensorChoosers:
    """The controls of B streams, and what they have written, on a device."""

    def __init__(self, V: int, device: torch.device) -> None:
        """No stream yet."""
        self.V, self.device = V, device
        self.arguments = self._sent(Choosers(V))
        self._look()

    def add(self, streams: Sequence[Controls]) -> None:
        """Some more streams."""
        new = Choosers(self.V)
        new.add(streams)
        both = zip(self.arguments, self._sent(new), strict=True)
        self.arguments = [torch.cat(pair) for pair in both]
        self._look()

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        rows = torch.from_numpy(streams).to(self.device)
        self.arguments = [part[rows] for part in self.arguments]
        self._look()

    def _sent(self, choosers: Choosers) -> list[Tensor]:
        return [torch.from_numpy(part).to(self.device) for part in choosers.arguments]

    def _look(self) -> None:
        """What a step can leave out, and how many ids it tells: known before the first."""
        _, k, p, *_, told = self.arguments
        self.truncates = bool(((k < self.V) | (p < 1)).any())
        self.most_told = int(told.max()) if len(told) else -1

    def choose(self, logits: Tensor, uniforms: Tensor) -> Chosen:
        """The ids chosen from logits (B, V) at uniform numbers (B); what is written is noted."""
        temperature, k, p, penalties, bias, seen, _ = self.arguments
        allowed = logits + bias
        weights = _weights(allowed, temperature)
        if self.truncates:
            weights = _truncated(weights, k, p)
        reached = weights.double().cumsum(1)
        above = (reached > uniforms[:, None] * reached[:, -1:]) & (weights > 0)
        # Where every logit is −∞ the first id is taken, as `decoding` does.
        ids = torch.where(k == 1, allowed.argmax(1), above.to(torch.uint8).argmax(1))
        rows = torch.arange(len(ids), device=ids.device)
        new = seen[rows, ids].logical_not()
        seen.scatter_(1, ids[:, None], True)  # a number that is indexed with is sent by the host
        nats, likely, likely_nats = self._told(logits, ids)
        bias[rows, ids] -= penalties[:, 0] * new
        bias[rows, ids] -= penalties[:, 1]
        return Chosen(ids, nats, likely, likely_nats)

    def _told(self, logits: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """ln P of the ids, and the likeliest that may be written with ln P of these."""
        if self.most_told < 0:
            empty = logits.new_empty(len(logits), 0, dtype=torch.float64)
            return empty.new_zeros(len(logits)), empty.long(), empty
        bias = self.arguments[4]
        nats = logits.double().log_softmax(1)
        written = nats.masked_fill(bias == -torch.inf, -torch.inf)
        best, order = written.sort(dim=1, descending=True, stable=True)
        M = slice(self.most_told)
        return nats.gather(1, ids[:, None])[:, 0], order[:, M], best[:, M]


def _weights(logits: Tensor, temperature: Tensor) -> Tensor:
    """What ids weigh (B, V), the likeliest 1: within these bounds −∞ stays −∞."""
    inverse = (1 / temperature).clamp(1e-30, 1e30).float()
    top = logits.max(1, keepdim=True).values
    weights = ((logits - top) * inverse[:, None]).exp()
    return weights.masked_fill(weights < float(NOTHING), 0)


def _truncated(weights: Tensor, k: Tensor, p: Tensor) -> Tensor:
    """Weights (B, V) outside the first k, and of these outside the top p, as zeros."""
    ordered, order = weights.sort(dim=1, descending=True, stable=True)
    rank = torch.arange(weights.shape[1], device=weights.device)
    ordered = ordered * (rank < k[:, None])
    before = ordered.double().cumsum(1) - ordered
    total = ordered.double().sum(1, keepdim=True)
    inside = (before < p[:, None] * total) | (p[:, None] >= 1)
    return torch.zeros_like(weights).scatter_(1, order, ordered * inside)

"""From logits to a choice, with controls of its own for each stream, as a numba kernel.

Order: what is added to the logits (−∞ for banned ids, penalties for what has been written),
temperature, top-k, then top-p (Holtzman et al. 2020) on what is left; among equals the lower id
comes first. The choice inverts the cumulative distribution, in the order of ids, at a uniform
number. What is told of a choice is the model's own distribution, before all of that, in float64.
It knows no model and no text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rondeau.compilation import CACHE, copy_with
from rondeau.config import DecodingConfig
from rondeau.network.backends.softmax import exponentials

Array = NDArray[Any]
compiled: Callable[..., Any] = njit(nogil=True, error_model="numpy")


NOTHING = np.float32(2e-38)
"""More than e to the −87, to which `exponentials` rounds up all that is less."""


class Controls(NamedTuple):
    """How one stream chooses.

    k: V for all; presence, frequency: subtracted from the logit of what has been written, once and
    as often as it was (OpenAI's API); bias (V): added to the
    logits, −∞ for what is never written; told: how many of the likeliest ids are told with each
    choice, −1 for nothing.
    """

    temperature: float
    k: int
    p: float
    presence: float
    frequency: float
    bias: Array
    told: int


def controls(
    config: DecodingConfig,
    V: int,
    banned: Sequence[int],
    *,
    bias: Mapping[int, float] | None = None,
    told: int = -1,
) -> Controls:
    """The settings as a stream takes them; bias: what is added to the logits of some ids."""
    k = 1 if config.greedy else min(config.top_k or V, V)
    added = np.zeros(V, np.float32)
    for index, value in (bias or {}).items():
        added[index] = value
    added[list(banned)] = -np.inf
    return Controls(
        temperature=config.temperature,
        k=k,
        p=config.top_p or 1.0,
        presence=config.presence_penalty,
        frequency=config.frequency_penalty,
        bias=added,
        told=min(told, V - len(banned)),
    )


class Told(NamedTuple):
    """What is told of N ids: ln P (N) of each, the likeliest ids there (N, M), and ln P of these.

    Ids that are never written aren't among the likeliest.
    """

    nats: Array
    likely: Array
    likely_nats: Array


class Choosers:
    """The controls of B streams, and what they have written, as the arrays that kernels take."""

    def __init__(self, V: int) -> None:
        """No stream yet."""
        integers, floats = np.empty(0, np.int64), np.empty(0)
        penalties = np.empty((0, 2), np.float32)
        bias, seen = np.empty((0, V), np.float32), np.empty((0, V), np.bool_)
        self.arguments: tuple[Array, ...] = (
            *(floats, integers, floats, penalties, bias, seen),
            integers,
        )

    def add(self, streams: Sequence[Controls]) -> None:
        """Some more streams."""
        new: tuple[Array, ...] = (
            np.array([c.temperature for c in streams]),
            np.array([c.k for c in streams]),
            np.array([c.p for c in streams], np.float64),
            np.array([(c.presence, c.frequency) for c in streams], np.float32),
            np.stack([c.bias for c in streams]),
            np.zeros((len(streams), len(streams[0].bias)), np.bool_),
            np.array([c.told for c in streams]),
        )
        both = zip(self.arguments, new, strict=True)
        self.arguments = tuple(np.concatenate(pair) for pair in both)

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        self.arguments = tuple(part[streams] for part in self.arguments)

    def room(self, steps: int) -> tuple[Array, ...]:
        """Where kernels write so many steps of B streams: ids, and what is told of them."""
        told = self.arguments[-1]
        shape = (steps, len(told))
        most = (*shape, int(told.max(initial=0)))
        ids, likely = np.empty(shape, np.int64), np.empty(most, np.int64)
        return ids, np.empty(shape), likely, np.empty(most)


@compiled
def before(weights: Any, i: int, j: int) -> Any:
    """Whether id i comes before id j: by weight, then by number."""
    return weights[i] > weights[j] or (weights[i] == weights[j] and i < j)


@compiled
def leading(weights: Array, ids: Array, size: int, count: int, mass: float) -> int:
    """How many of the first ids[:size] in order are `count`, or already weigh `mass`.

    They are moved to the front (a quickselect by weight, Hoare 1961).
    """
    low, high, reached = 0, size, 0.0
    # ids[:low] are among them and weigh `reached`; ids[high:] are not.
    while high - low > 1:
        middle, last = (low + high) // 2, high - 1
        pivot = ids[middle]
        ids[middle], ids[last] = ids[last], pivot
        at, left = low, 0.0
        for j in range(low, last):
            i = ids[j]
            if before(weights, i, pivot):
                ids[at], ids[j] = i, ids[at]
                left += weights[i]
                at += 1
        ids[at], ids[last] = pivot, ids[at]
        if at >= count or reached + left >= mass:
            high = at
        elif at + 1 >= count or reached + left + weights[pivot] >= mass:
            return at + 1
        else:
            low, reached = at + 1, reached + left + weights[pivot]
    return high


@compiled
def truncate(weights: Array, total: float, k: int, p: float, ids: Array) -> Any:
    """Set the weights (V) outside the first k, and of these outside the top p, to zero; the sum."""
    V = len(weights)
    # Ids below this weigh less than 1 - p together, so that none of them is among the first.
    least = 0.5 * (1 - p) * total / V if k == V else 0.0
    size = 0
    for i in range(V):
        if weights[i] > 0 and weights[i] >= least:
            ids[size] = i
            size += 1
        else:
            weights[i] = 0
    count = size
    if k < V:
        count = leading(weights, ids, size, k, np.inf)
        total = weight_of(weights, ids, count)
    if p < 1:
        count = leading(weights, ids, count, count, p * total)
    for at in range(count, size):
        weights[ids[at]] = 0
    return weight_of(weights, ids, count)


@compiled
def weight_of(weights: Array, ids: Array, count: int) -> Any:
    """What the first `count` of the ids weigh together."""
    total = 0.0
    for at in range(count):
        total += weights[ids[at]]
    return total


@compiled
def choose(logits: Array, temperature: float, k: int, p: float, uniform: float, ids: Array) -> int:
    """The id chosen from logits (V), overwritten by their weights; ids (V) is room to work in."""
    V = len(logits)
    top = logits[0]
    for i in range(V):
        top = max(top, logits[i])
    if k > 1:
        # Within these bounds −∞ stays −∞.
        inverse = np.float32(min(max(1 / temperature, 1e-30), 1e30))
        for i in range(V):
            logits[i] = (logits[i] - top) * inverse
        total = np.float64(exponentials(logits, np.float32(0)))
        for i in range(V):
            if logits[i] < NOTHING:
                logits[i] = 0
        if k < V or p < 1:
            total = truncate(logits, total, k, p, ids)
        reached, chosen = 0.0, 0
        for i in range(V):
            if logits[i] > 0:
                reached += logits[i]
                chosen = i
                if reached > uniform * total:
                    break
        return chosen
    for i in range(V):
        if logits[i] == top:
            return i
    return 0


@compiled
def tell(logits: Array, bias: Array, likely: Array, nats: Array) -> float:
    """ln Σ e to the logits (V); the likeliest ids that may be written, (M), and ln P of these."""
    M, top, total, found = len(likely), np.float64(logits[0]), 0.0, 0
    for logit in logits:
        top = max(top, np.float64(logit))
    for i in range(len(logits)):
        total += math.exp(logits[i] - top)
        if M and bias[i] > -np.inf and (found < M or logits[i] > nats[M - 1]):
            at = min(found, M - 1)
            while at and nats[at - 1] < logits[i]:
                nats[at], likely[at] = nats[at - 1], likely[at - 1]
                at -= 1
            nats[at], likely[at] = logits[i], i
            found = min(found + 1, M)
    total = top + math.log(total)
    for at in range(found):
        nats[at] -= total
    return total


@compiled
def decide(
    i: int,
    logits: Array,
    uniform: float,
    temperature: Array,
    k: Array,
    p: Array,
    penalties: Array,
    bias: Array,
    seen: Array,
    told: Array,
    weights: Array,
    ids: Array,
    nats: Array,
    likely: Array,
    likely_nats: Array,
) -> int:
    """What stream i chooses from its logits (V), and what it tells in nats (B), likely (B, M).

    After logits and uniform: what `Choosers` holds; weights, ids (V): room to work in.
    """
    for j in range(len(logits)):
        weights[j] = logits[j] + bias[i, j]
    chosen = choose(weights, temperature[i], k[i], p[i], uniform, ids)
    if told[i] >= 0:
        M = told[i]
        total = tell(logits, bias[i], likely[i, :M], likely_nats[i, :M])
        nats[i] = logits[chosen] - total
    if not seen[i, chosen]:
        seen[i, chosen] = True
        bias[i, chosen] -= penalties[i, 0]
    bias[i, chosen] -= penalties[i, 1]
    return int(chosen)


def _choose_rows(
    logits: Array,
    uniforms: Array,
    temperature: Array,
    k: Array,
    p: Array,
    penalties: Array,
    bias: Array,
    seen: Array,
    told: Array,
    weights: Array,
    ids: Array,
    chosen: Array,
    nats: Array,
    likely: Array,
    likely_nats: Array,
) -> None:
    """The choice of every stream from its logits (B, V) at its uniform number (B)."""
    for i in range(len(logits)):
        chosen[i] = decide(
            i, logits[i], uniforms[i], temperature, k, p, penalties, bias, seen, told,
            weights, ids, nats, likely, likely_nats,
        )  # fmt: skip


choose_rows: Any = njit(nogil=True, error_model="numpy", cache=CACHE)(
    copy_with(_choose_rows, "choose_rows", {})
)

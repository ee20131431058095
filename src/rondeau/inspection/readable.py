"""Units that track something readable: found on one half of a text, shown on the other.

Trying hundreds of units on dozens of facts finds something in any noise. So a unit counts only
where its correlation is larger than that of every unit with the same fact shifted around the text
(which keeps how slowly both change), on both halves and with the same sign: a unit that drifts
through one long document follows its every trend, and another one in the other half. What is
reported is the correlation on the half that had no part in the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondeau.inspection.features import Feature, Where
from rondeau.inspection.gates import Floats

SHIFTS = 999
LEAST = 200
"""Characters without which nothing is looked for."""


@dataclass(frozen=True)
class Tracked:
    """A unit and the fact that it tracks.

    r: Pearson's correlation on the second half, which had no part in the choice; chosen: that on
    the first; noise: the largest by chance there.
    """

    feature: str
    where: Where
    unit: int
    r: float
    chosen: float
    noise: float


def tracked(state: Floats, facts: Sequence[Feature], *, seed: int = 0) -> list[Tracked]:
    """The best unit of a state (T, U) for every fact that one tracks, the clearest first.

    Each fact alone would be tracked by chance at most once in `shifts(T) + 1` times.
    """
    half = len(state) // 2
    if len(state) < LEAST:
        return []
    facts = [f for f in facts if f.values[:half].std() and f.values[half:].std()]
    if not facts:
        return []
    first, second = _standardised(state[:half]), _standardised(state[half:])
    columns = np.stack([fact.values for fact in facts], 1)
    chosen = first.T @ _standardised(columns[:half]) / half
    shown = second.T @ _standardised(columns[half:]) / (len(state) - half)
    noise = _noise(first, _standardised(columns[:half]), np.random.default_rng(seed))
    found = []
    for i, fact in enumerate(facts):
        unit = int(np.abs(chosen[:, i]).argmax())
        r, first_r, chance = float(shown[unit, i]), float(chosen[unit, i]), float(noise[i])
        if abs(first_r) > chance and r * np.sign(first_r) > chance:
            found.append(Tracked(fact.name, fact.where, unit, r, first_r, chance))
    return sorted(found, key=lambda tracked: -abs(tracked.r))


def shifts(T: int) -> int:
    """By how many places a fact about half of T characters is shifted: at most 999."""
    N = T // 2
    return min(SHIFTS, N - 2 * (N // 10))


def _noise(
    state: NDArray[np.float64], columns: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """The largest |r| of any unit (N, U) with each column (N, F) shifted around, (F,)."""
    N = len(state)
    offsets = generator.permutation(np.arange(N // 10, N - N // 10))[: shifts(2 * N)]
    places = (np.arange(N)[:, None] - offsets) % N
    return np.array([np.abs(state.T @ column[places]).max() / N for column in columns.T])


def _standardised(columns: Floats) -> NDArray[np.float64]:
    centred = columns - columns.mean(0, dtype=np.float64)
    spread = centred.std(0)
    return np.asarray(centred / np.where(spread > 1e-9, spread, np.inf))

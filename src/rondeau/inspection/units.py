"""Units by what their gates do: how long they remember, and how often a gate is shut or open."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rondeau.inspection.gates import KEEPS, Activity, Floats

SHUT, OPEN = 0.1, 0.9
"""Below and above: a gate is left- or right-saturated (Karpathy et al. 2015, arXiv:1506.02078)."""


def time_constants(activity: Activity) -> NDArray[np.float64]:
    """Characters after which 1/e of what a unit holds is left, (H,).

    A GRU keeps the share z of its state at each step, an LSTM the share f: τ = −1 / ln(mean z).
    That is right for a gate that stays still, and for a switch that is shut now and then, which
    most gates are; the mean of ln z would call a unit forgetful that is wiped once a line. A plain
    RNN has no such path; there τ is the first lag at which the autocorrelation of the unit falls
    below 1/e, which also counts what the text itself repeats.
    """
    for gate in KEEPS.values():
        if gate in activity.gates:
            kept = activity.gates[gate].mean(0, dtype=np.float64)
            return np.asarray(-1 / np.log(np.clip(kept, 1e-30, 1 - 1e-9)))
    return correlation_times(activity.carry["h"])


def correlation_times(values: Floats) -> NDArray[np.float64]:
    """The first lag at which the autocorrelation of each column of (T, H) is 1/e, between lags.

    0 for a column that never changes; T where it never falls so low.
    """
    T = len(values)
    centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(centred, 2 * T, axis=0)) ** 2
    products = np.fft.irfft(spectrum, axis=0)[:T]
    moves = products[0] > 1e-12 * T
    correlation = products / np.where(moves, products[0], 1)
    below = correlation < 1 / math.e
    lag = np.where(below.any(0), below.argmax(0), T)
    at = np.arange(values.shape[1])
    before = correlation[np.maximum(lag - 1, 0), at]
    after = correlation[np.minimum(lag, T - 1), at]
    fall = np.where(before > after, before - after, 1)
    times = np.where(lag < T, lag - 1 + (before - 1 / math.e) / fall, T)
    return np.where(moves, times, 0.0)


def saturation(gate: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the steps at which each unit of a gate (T, H) is below 0.1 and above 0.9."""
    return (gate < SHUT).mean(0), (gate > OPEN).mean(0)

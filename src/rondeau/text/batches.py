"""Ids to windows: which ids stand in which stream at which step.

Everything is a function of the step and the seed, with no position to carry or to save: a resumed
training reads exactly what an uninterrupted one would. Arrays are time-major, (T, B).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondeau.text.documents import Ring
from rondeau.text.tokenizer import UNK, Ids

ALL = slice(None)


@dataclass(frozen=True)
class Windows:
    """Windows of T inputs and their targets for B streams, from a ring of ids.

    Consecutive: stream b starts at b·N/B and reads on for ever, window after window, so that its
    state can be carried; an epoch covers every id once. Random: each window starts anywhere.
    Ids marked in `seen_once` are read as `<unk>` half of the time.
    """

    ring: Ring
    seen_once: NDArray[np.bool_]
    batch: int
    seq_len: int
    seed: int
    random: bool = False

    @property
    def steps_per_epoch(self) -> float:
        """Steps in which as many ids are read as the ring has."""
        return len(self.ring) / (self.batch * self.seq_len)

    def at(self, step: int, *, streams: slice = ALL) -> tuple[Ids, Ids]:
        """Inputs and targets of a step, (T, B) each: targets are the inputs one later.

        streams: only these of the B, the same as in all of them; no others are read.
        """
        N = len(self.ring)
        generator = np.random.default_rng((self.seed, step))
        if self.random:
            starts = generator.integers(0, N, self.batch)
        else:
            starts = np.arange(self.batch) * N // self.batch + step * self.seq_len
        positions = (starts[streams] + np.arange(self.seq_len + 1)[:, None]) % N
        window = self.ring[positions].astype(np.int64)
        rare = self.seen_once[window]
        if rare.any():
            drawn = generator.random((self.seq_len + 1, self.batch))[:, streams]
            window[rare & (drawn < 0.5)] = UNK
        return window[:-1], window[1:]


def fit_windows(
    ring: Ring,
    seen_once: NDArray[np.bool_],
    *,
    batch: int,
    seq_len: int,
    seed: int,
    random: bool,
) -> tuple[Windows, str | None]:
    """Windows of the wanted size, or the largest that the text fills, and a note that says so."""
    wanted = (batch, seq_len)
    seq_len = min(seq_len, max(1, len(ring) - 1))
    batch = min(batch, max(1, len(ring) // seq_len))
    note = None
    if (batch, seq_len) != wanted:
        note = (
            f"the training text has {len(ring):,} tokens: --batch {wanted[0]} --seq-len {wanted[1]}"
            f" shrink to --batch {batch} --seq-len {seq_len}"
        )
    return Windows(ring, seen_once, batch, seq_len, seed, random), note

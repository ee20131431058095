"""Streams and windows: every id once an epoch, targets one later, the same at every reading."""

import numpy as np
import pytest

from rondeau.text.batches import Windows, fit_windows
from rondeau.text.tokenizer import UNK

NEVER = np.zeros(100, dtype=bool)


def windows(ids, batch=4, seq_len=5, seen_once=NEVER, **settings):
    ring = np.asarray(ids, dtype=np.int32)
    return Windows(ring, seen_once, batch, seq_len, seed=0, **settings)


@pytest.mark.parametrize("random", [False, True])
def test_targets_are_the_inputs_one_later(random):
    inputs, targets = windows(np.arange(60), random=random).at(3)
    assert inputs.shape == (5, 4)
    assert (targets == (inputs + 1) % 60).all()


def test_an_epoch_of_consecutive_windows_reads_every_id_once():
    w = windows(np.arange(60))
    assert w.steps_per_epoch == 3
    read = np.concatenate([w.at(step)[0].ravel() for step in range(3)])
    assert sorted(read.tolist()) == list(range(60))


def test_each_stream_goes_on_where_its_last_window_ended():
    w = windows(np.arange(77))
    for step in range(40):
        assert (w.at(step)[1][-1] == w.at(step + 1)[0][0]).all()


def test_a_step_reads_the_same_whenever_it_is_asked():
    once = np.ones(100, dtype=bool)
    w = windows(np.arange(77), seen_once=once, random=True)
    first = w.at(5)
    w.at(6)
    assert all((a == b).all() for a, b in zip(first, w.at(5), strict=True))


def test_ids_seen_once_are_read_as_unknown_half_of_the_time():
    once = NEVER.copy()
    once[7] = True
    w = windows(np.full(4000, 7), batch=40, seq_len=100, seen_once=once)
    assert (w.at(0)[0] == UNK).mean() == pytest.approx(0.5, abs=0.05)
    assert (windows(np.full(4000, 8), seen_once=once).at(0)[0] == 8).all()


def test_windows_shrink_to_fit_a_small_text_and_say_so():
    fitted, note = fit_windows(
        np.arange(50, dtype=np.int32), NEVER, batch=32, seq_len=64, seed=0, random=False
    )
    assert (fitted.batch, fitted.seq_len) == (1, 49)
    assert "--batch 32 --seq-len 64 shrink to --batch 1 --seq-len 49" in note

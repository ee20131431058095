"""What a cloze hides."""

import numpy as np

from rondeau.text.masking import MOST_HIDDEN, hide
from rondeau.text.tokenizer import BOS, MASK

IDS = np.random.default_rng(0).integers(1, 9, (50, 40))


def test_hidden_ids_are_masked_and_the_others_stay():
    ids = np.where(IDS == MASK, BOS, IDS)
    masked, hidden = hide(ids, (0, 0))
    assert (masked[hidden] == MASK).all()
    assert (masked[~hidden] == ids[~hidden]).all()
    assert not hidden[ids == BOS].any()


def test_each_stream_hides_a_share_of_its_own_and_few_on_the_whole():
    shares = hide(np.full((2000, 200), 5), (3, 4))[1].mean(0)
    assert shares.max() < MOST_HIDDEN + 0.05
    assert shares.min() < 0.05
    assert abs(shares.mean() - MOST_HIDDEN / 2) < 0.03


def test_the_same_step_hides_the_same_and_another_one_others():
    first, again, other = (hide(IDS, seed)[1] for seed in ((1, 5), (1, 5), (1, 6)))
    assert (first == again).all()
    assert (first != other).any()


def test_something_is_always_hidden():
    for step in range(50):
        masked, hidden = hide(np.array([[BOS], [7]]), (0, step))
        assert hidden.tolist() == [[False], [True]]
        assert masked.tolist() == [[BOS], [MASK]]

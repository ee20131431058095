"""Interpolated n-grams against a hand-computed example and the axioms of probability."""

import numpy as np
import pytest

from rondeau.evaluation.ngram import NGram


def test_witten_bell_probabilities_are_those_computed_by_hand():
    # a a b a, V = 2: unigram of a: (3 + 2/2) / (4 + 2), of b: (1 + 2/2) / (4 + 2)
    model = NGram(2, 2, [np.array([0, 0, 1, 0])])
    a, b = 4 / 6, 2 / 6
    after_a_a, after_a_b = (1 + 2 * a) / 4, (1 + 2 * b) / 4
    after_b_a = (1 + 1 * a) / 2
    p = model.probabilities(np.array([1, 0, 0, 1]))
    assert p == pytest.approx([b, after_b_a, after_a_a, after_a_b])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_of_all_continuations_sum_to_one(order):
    rng = np.random.default_rng(0)
    model = NGram(order, 6, [rng.integers(0, 5, 200), rng.integers(0, 5, 30)])
    for context in ([], [0], [1, 2], [5, 5, 0], [3, 3, 3]):
        last = [model.probabilities(np.array([*context, x]))[-1] for x in range(6)]
        assert sum(last) == pytest.approx(1)


def test_a_sequence_shorter_than_the_order_is_no_error():
    assert NGram(4, 3, [np.array([1])]).probabilities(np.array([1])) == pytest.approx([2 / 3])

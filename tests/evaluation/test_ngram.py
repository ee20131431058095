"""Interpolated n-grams against a hand-computed example, a table of tuples, and the axioms."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondeau.evaluation.ngram import witten_bell


def probabilities(trained, scored, *, vocabulary, order, given=0):
    """P of the ids of one sequence under the highest order."""
    arrays = [np.array(sequence, dtype=np.int64) for sequence in trained]
    scored = [np.array(scored, dtype=np.int64)]
    return [*witten_bell(arrays, scored, vocabulary=vocabulary, order=order, given=given)][-1]


class Oracle:
    """Witten–Bell by its definition: followers of every context in dictionaries."""

    def __init__(self, trained, vocabulary, given):
        self.followers, self.vocabulary = defaultdict(Counter), vocabulary
        for sequence in trained:
            for i in range(given, len(sequence)):
                for start in range(i + 1):
                    self.followers[tuple(sequence[start:i])][sequence[i]] += 1

    def p(self, context, last):
        followers = self.followers[tuple(context)]
        shorter = self.p(context[1:], last) if context else 1 / self.vocabulary
        if not followers:
            return shorter
        c, t = followers.total(), len(followers)
        return (followers[last] + t * shorter) / (c + t)


def test_witten_bell_probabilities_are_those_computed_by_hand():
    # a a b a, V = 2: unigram of a: (3 + 2/2) / (4 + 2), of b: (1 + 2/2) / (4 + 2)
    a, b = 4 / 6, 2 / 6
    after_a_a, after_a_b = (1 + 2 * a) / 4, (1 + 2 * b) / 4
    after_b_a = (1 + 1 * a) / 2
    uniform, first, second = witten_bell(
        [np.array([0, 0, 1, 0])], [np.array([1, 0, 0, 1])], vocabulary=2, order=2
    )
    assert uniform == pytest.approx([1 / 2] * 4)
    assert first == pytest.approx([b, a, a, b])
    assert second == pytest.approx([b, after_b_a, after_a_a, after_a_b])


sequences = st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=5)


@given(sequences, sequences, st.integers(1, 6), st.integers(0, 1))
def test_probabilities_of_every_order_equal_those_by_definition(trained, scored, highest, given):
    oracle = Oracle(trained, 4, given)
    arrays = [[np.array(s, dtype=np.int64) for s in part] for part in (trained, scored)]
    orders = witten_bell(*arrays, vocabulary=4, order=highest, given=given)
    for order, found in enumerate(orders):
        expected = [
            oracle.p(s[max(0, i - order + 1) : i], s[i]) if order else 1 / 4
            for s in scored
            for i in range(given, len(s))
        ]
        assert found == pytest.approx(expected)
    assert order == highest


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_probabilities_of_all_continuations_sum_to_one(order):
    rng = np.random.default_rng(0)
    trained = [rng.integers(0, 5, 200), rng.integers(0, 5, 30)]
    for context in ([], [0], [1, 2], [5, 5, 0], [3, 3, 3], trained[1][-6:-1]):
        last = [
            probabilities(trained, [*context, x], vocabulary=6, order=order)[-1] for x in range(6)
        ]
        assert sum(last) == pytest.approx(1)


def test_a_sequence_shorter_than_the_order_is_no_error():
    assert probabilities([[1]], [1], vocabulary=3, order=4) == pytest.approx([2 / 3])


def test_contexts_dont_reach_across_the_beginning_of_a_sequence():
    # In one sequence b would follow a; in two, a is the end of one and b the beginning of another.
    apart = probabilities([[0], [1]], [0, 1], vocabulary=2, order=2)
    assert apart == pytest.approx([1 / 2, 1 / 2])


def test_ids_that_are_given_are_context_and_nothing_else():
    # <bos> = 2 stands before a: it is neither counted (a is all there is) nor scored.
    p = probabilities([[2, 0]], [2, 0], vocabulary=3, order=1, given=1)
    assert p == pytest.approx([(1 + 1 / 3) / 2])

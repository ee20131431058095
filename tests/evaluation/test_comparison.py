"""Intervals by the bootstrap, held to those of normal theory."""

import numpy as np
import pytest

from rondeau.evaluation.comparison import bits_per_character, difference

rng = np.random.default_rng(0)
CHARACTERS = np.full(400, 100.0)
BITS = 100 * rng.normal(5.0, 0.8, 400)


def test_an_interval_is_the_one_of_normal_theory_where_that_holds():
    found = bits_per_character(BITS, CHARACTERS)
    mean, error = BITS.mean() / 100, BITS.std() / 100 / np.sqrt(400)
    assert found.value == pytest.approx(mean)
    assert found.low == pytest.approx(mean - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(mean + 1.96 * error, abs=0.15 * error)


def test_long_documents_count_for_more():
    found = bits_per_character(np.array([100.0, 9.0]), np.array([100.0, 1.0]))
    assert found.value == pytest.approx(109 / 101)
    assert (found.low, found.high) == (1.0, 9.0)


def test_a_difference_on_the_same_documents_is_surer_than_two_intervals():
    others = BITS + 100 * rng.normal(0.02, 0.05, 400)
    found = difference(BITS, others, CHARACTERS)
    deltas = (others - BITS) / 100
    error = deltas.std() / np.sqrt(400)
    assert found.value == pytest.approx(deltas.mean())
    assert found.low == pytest.approx(deltas.mean() - 1.96 * error, abs=0.2 * error)
    alone = bits_per_character(BITS, CHARACTERS)
    assert found.high - found.low < 0.2 * (alone.high - alone.low)
    assert not found.within_noise


def test_the_same_figures_differ_by_nothing_which_is_within_noise():
    found = difference(BITS, BITS, CHARACTERS)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert found.within_noise


def test_the_same_documents_give_the_same_interval():
    assert bits_per_character(BITS, CHARACTERS) == bits_per_character(BITS, CHARACTERS)

"""Intervals against the theory of normal and of binomial figures, and what few documents allow."""

import math

import numpy as np
import pytest

from rondeau.evaluation import comparison
from rondeau.evaluation.comparison import Interval, bits_per_character, difference

ONES = np.ones(400)


def normal(seed, size=400, mean=5.0, deviation=2.0):
    return np.random.default_rng(seed).normal(mean, deviation, size)


def test_an_interval_over_many_documents_is_that_of_normal_theory():
    bits = normal(0)
    found = bits_per_character(bits, ONES)
    half = 1.96 * bits.std(ddof=1) / math.sqrt(len(bits))
    assert found.value == pytest.approx(bits.mean())
    assert found.low == pytest.approx(bits.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(bits.mean() + half, abs=0.1 * half)


def test_long_documents_weigh_as_much_as_their_characters():
    characters = np.random.default_rng(1).integers(10, 1000, 400).astype(float)
    bits = 6 * characters + np.sqrt(characters) * normal(2, mean=0.0)
    found = bits_per_character(bits, characters)
    # The ratio of two sums, linearised (Cochran 1977, section 6.3).
    left = bits - found.value * characters
    half = 1.96 * left.std(ddof=1) * math.sqrt(len(bits)) / characters.sum()
    assert found.value == pytest.approx(bits.sum() / characters.sum())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


@pytest.mark.parametrize("documents", [6, 7, 10, 20])
def test_intervals_over_few_documents_hold_the_truth_nearly_as_often_as_they_say(documents):
    ones = np.ones(documents)
    found = [bits_per_character(normal(seed, documents), ones) for seed in range(500)]
    assert sum(i.low <= 5.0 <= i.high for i in found) / len(found) > 0.915


@pytest.mark.parametrize(("freedom", "exact"), [(5, 2.5706), (9, 2.2622), (30, 2.0423)])
def test_the_widening_is_by_the_quantile_of_student(freedom, exact):
    assert comparison._student(freedom) == pytest.approx(exact, abs=0.003)


@pytest.mark.parametrize("documents", range(1, comparison.FEWEST))
def test_too_few_documents_have_no_interval_and_no_difference_is_sure(documents):
    ones = np.ones(documents)
    found = difference(ones, 9 * ones, ones)
    assert found.value == 8
    assert not found.known
    assert found.within_noise


def test_a_difference_is_taken_on_the_same_documents():
    bits, others = normal(3), normal(3) + 0.1 + normal(4, mean=0.0, deviation=0.1)
    paired = difference(bits, others, ONES)
    apart = bits_per_character(bits, ONES)
    assert paired.value == pytest.approx((others - bits).mean())
    assert paired.high - paired.low < (apart.high - apart.low) / 5
    assert not paired.within_noise
    swapped = difference(others, bits, ONES)
    assert (swapped.low, swapped.high) == pytest.approx((-paired.high, -paired.low), rel=0.1)


def test_a_model_beside_itself_differs_by_nothing():
    assert difference(normal(5), normal(5), ONES) == Interval(0, 0, 0)
    assert Interval(0, 0, 0).within_noise


def test_models_that_are_equally_good_seldom_seem_not_to_be():
    bits, ones = normal(6, 40), np.ones(40)
    others = [bits + normal(seed, 40, mean=0.0) for seed in range(400)]
    alarms = [not difference(bits, other, ones).within_noise for other in others]
    assert 0.02 < sum(alarms) / len(alarms) < 0.08


def test_the_same_figures_give_the_same_interval():
    assert bits_per_character(normal(8), ONES) == bits_per_character(normal(8), ONES)

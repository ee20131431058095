"""Facts about a text counted by hand, and units that track them or don't."""

import numpy as np
import pytest

from rondeau.inspection.features import Feature, features
from rondeau.inspection.readable import LEAST, tracked


def column(name, *texts):
    return next(f for f in features(texts) if f.name == name).values.astype(int).tolist()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("position in the line", "ab\nc", [1, 2, 0, 1]),
        ("position in the document", "ab\nc", [1, 2, 3, 4]),
        ("number of the line", "ab\nc\n", [0, 0, 1, 1, 2]),
        ("first character of a line", "ab\nc", [1, 0, 0, 1]),
        ("last character of a line", "ab\nc", [0, 1, 0, 1]),
        ("line after a blank one", "ab\nc\n\nd", [1, 1, 1, 0, 0, 0, 1]),
        ("inside quotation marks or brackets", "a“b”(c", [0, 1, 1, 0, 1, 1]),
        ("inside quotation marks or brackets", '"a"b', [1, 1, 0, 0]),
        ("inside quotation marks or brackets", "“a\n\nb", [1, 1, 1, 0, 0]),
        ("after punctuation", "a，b.c", [0, 0, 1, 0, 1]),
        ("length of the word so far", "ab 分c", [1, 2, 0, 0, 1]),
        ("the same character as 2 before", "abab", [0, 0, 1, 1]),
        ("Chinese character", "a分，", [0, 1, 0]),
        ("letter", "a分é", [1, 0, 1]),
        ("upper case", "aB", [0, 1]),
        ("digit", "a1", [0, 1]),
        ("space", "a\u3000 ", [0, 1, 1]),
    ],
)
def test_a_fact_is_what_is_counted_by_hand(name, text, expected):
    assert column(name, text) == expected


def test_facts_begin_anew_with_each_document():
    assert column("position in the line", "ab", "c") == [1, 2, 1]
    assert column("the same character as 1 before", "ab", "b") == [0, 0, 0]
    assert all(len(f.values) == 3 for f in features(["ab", "c"]))


def noise(T, U, seed=0):
    return np.random.default_rng(seed).standard_normal((T, U))


def fact(values, name="fact"):
    return Feature(name, "before", np.asarray(values, dtype=float))


def test_a_unit_that_follows_a_fact_is_found_with_its_correlation_on_the_second_half():
    T = 2_000
    values = noise(T, 1, 7)[:, 0]
    state = noise(T, 30)
    state[:, 11] -= 2 * values
    (found,) = tracked(state, [fact(values)])
    assert (found.unit, found.feature) == (11, "fact")
    assert found.r == pytest.approx(np.corrcoef(state[T // 2 :, 11], values[T // 2 :])[0, 1])
    assert found.chosen == pytest.approx(np.corrcoef(state[: T // 2, 11], values[: T // 2])[0, 1])
    assert abs(found.noise) < abs(found.r)


def test_nothing_is_found_in_noise_however_many_units_are_tried():
    for seed in range(5):
        assert tracked(noise(1_500, 200, seed), [fact(noise(1_500, 1, 99)[:, 0])]) == []


def test_slow_noise_is_not_taken_for_slow_facts():
    state = np.cumsum(noise(2_000, 50), 0)
    assert np.abs(np.corrcoef(state[:1000, 0], np.arange(1000))[0, 1]) > 0.3
    assert tracked(state, [fact(np.cumsum(noise(2_000, 1, 5)))]) == []


@pytest.mark.parametrize("later", [0, -1])
def test_a_unit_that_follows_a_fact_in_the_first_half_only_or_turns_around_is_left_out(later):
    values = noise(2_000, 1, 7)[:, 0]
    state = noise(2_000, 3)
    state[:1_000, 1] = values[:1_000]
    state[1_000:, 1] += 5 * later * values[1_000:]
    assert tracked(state, [fact(values)]) == []


def test_the_same_seed_finds_the_same_and_short_texts_and_constant_facts_give_nothing():
    values = noise(1_000, 1, 7)[:, 0]
    state = noise(1_000, 3) + values[:, None]
    assert tracked(state, [fact(values)], seed=3) == tracked(state, [fact(values)], seed=3)
    assert tracked(state[: LEAST - 1], [fact(values[: LEAST - 1])]) == []
    assert tracked(state, [fact(np.ones(1_000)), fact([1] + [0] * 999)]) == []

"""Decoding controls on known distributions."""

import numpy as np
import pytest

from rondeau.config import DecodingConfig
from rondeau.errors import OptionError
from rondeau.generation.decoding import choose, probabilities

P = np.array([0.1, 0.4, 0.05, 0.3, 0.15])


def decoded(banned=(), **controls):
    return probabilities(np.log(P), DecodingConfig(**{"temperature": 1.0} | controls), banned)


def test_a_temperature_of_one_samples_from_the_model_itself():
    assert decoded() == pytest.approx(P)


def test_a_temperature_sharpens_or_flattens():
    assert decoded(temperature=0.5) == pytest.approx(P**2 / (P**2).sum())


def test_greedy_takes_the_most_probable():
    assert decoded(greedy=True).tolist() == [0, 1, 0, 0, 0]


def test_top_k_keeps_exactly_k():
    assert decoded(top_k=2) == pytest.approx([0, 4 / 7, 0, 3 / 7, 0])
    assert (probabilities(np.zeros(5), DecodingConfig(top_k=2), ()) > 0).sum() == 2
    assert decoded(top_k=99) == pytest.approx(P)


def test_top_p_keeps_the_fewest_that_reach_p():
    assert decoded(top_p=0.71) == pytest.approx(np.array([0, 0.4, 0, 0.3, 0.15]) / 0.85)
    assert decoded(top_p=0.3).tolist() == [0, 1, 0, 0, 0]
    assert decoded(top_p=1.0) == pytest.approx(P)


def test_a_banned_id_is_never_chosen():
    assert decoded(banned=(1,))[1] == 0
    assert decoded(banned=(1,), greedy=True).argmax() == 3


def test_choices_follow_the_distribution():
    uniforms = (np.arange(1000) + 0.5) / 1000
    counts = np.bincount([choose(P, u) for u in uniforms], minlength=5)
    assert counts == pytest.approx(P * 1000, abs=1)
    assert choose(np.array([0.0, 1.0, 0.0]), 0.9999999999999999) == 1
    assert choose(np.array([0.0, 0.5, 0.5]), 0.0) == 1


@pytest.mark.parametrize(
    ("controls", "option"),
    [
        ({"temperature": 0.0}, "--temperature"),
        ({"top_k": 0}, "--top-k"),
        ({"top_p": 1.5}, "--top-p"),
        ({"temperature": float("nan")}, "--temperature"),
    ],
)
def test_impossible_controls_are_refused_by_name(controls, option):
    with pytest.raises(OptionError, match=option):
        DecodingConfig(**controls)

"""Decoding controls on known distributions, and against plain numpy on drawn ones."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from rondeau.config import DecodingConfig
from rondeau.errors import OptionError
from rondeau.generation.decoding import Choosers, choose_rows, controls
from rondeau.generation.tensors import TensorChoosers
from rondeau.generation.writing import Written

P = np.array([0.1, 0.4, 0.05, 0.3, 0.15])
N = 2000
ASKED = []
UNIFORMS = (np.arange(N) + 0.5) / N


@pytest.fixture(autouse=True, scope="module", params=["kernel", "tensors"])
def implementation(request):
    """Every choice is made by the kernel, and in tensors as on a GPU."""
    ASKED[:] = [request.param]


def new_choosers(V):
    return TensorChoosers(V, torch.device("cpu")) if ASKED == ["tensors"] else Choosers(V)


def chosen_at(logits, uniforms, config, banned=()):
    logits = np.tile(np.float32(logits), (len(uniforms), 1))
    return choices(logits, uniforms, [controls(config, logits.shape[1], banned)] * len(logits)).ids


def choices(logits, uniforms, streams, choosers=None):
    """What each of the streams chooses from its row of logits, and tells."""
    V = logits.shape[1]
    if choosers is None:
        choosers = new_choosers(V)
        choosers.add(streams)
    if isinstance(choosers, TensorChoosers):
        chosen = choosers.choose(torch.from_numpy(logits), torch.from_numpy(uniforms))
        return Written(*(part.numpy() for part in chosen))
    written = [part[0] for part in choosers.room(1)]
    room = np.empty(V, np.float32), np.empty(V, np.int64)
    choose_rows(logits, uniforms, *choosers.arguments, *room, *written)
    return Written(*written)


def decoded(banned=(), **settings):
    config = DecodingConfig(**{"temperature": 1.0} | settings)
    return np.bincount(chosen_at(np.log(P), UNIFORMS, config, banned), minlength=5) / N


def expected(logits, config, banned=()):
    """The distribution by its definition, sorted in full."""
    weights = np.exp((logits - logits.max()) / config.temperature)
    weights[list(banned)] = 0
    order = np.argsort(-weights, kind="stable")
    weights[order[1 if config.greedy else config.top_k or len(order) :]] = 0
    weights /= weights.sum()
    before = np.cumsum(weights[order]) - weights[order]
    weights[order[before >= (config.top_p or 2)]] = 0
    return weights / weights.sum()


def test_a_temperature_of_one_samples_from_the_model_itself():
    assert decoded() == pytest.approx(P, abs=1 / N)


def test_a_temperature_sharpens_or_flattens():
    assert decoded(temperature=0.5) == pytest.approx(P**2 / (P**2).sum(), abs=1 / N)
    assert decoded(temperature=1e-300).tolist() == [0, 1, 0, 0, 0]
    assert decoded(temperature=1e300) == pytest.approx(np.full(5, 0.2), abs=1 / N)


def test_greedy_takes_the_most_probable():
    assert decoded(greedy=True).tolist() == [0, 1, 0, 0, 0]


def test_greedy_tells_logits_apart_that_weigh_the_same():
    config = DecodingConfig(top_k=1, temperature=100.0)
    assert set(chosen_at([1, 1.000001, 0.5, 0], UNIFORMS[:9], config)) == {1}


def test_top_k_keeps_exactly_k():
    assert decoded(top_k=2) == pytest.approx([0, 4 / 7, 0, 3 / 7, 0], abs=1 / N)
    assert set(chosen_at(np.zeros(5), UNIFORMS, DecodingConfig(top_k=2))) == {0, 1}
    assert decoded(top_k=99) == pytest.approx(P, abs=1 / N)


def test_top_p_keeps_the_fewest_that_reach_p():
    assert decoded(top_p=0.71) == pytest.approx(np.array([0, 8, 0, 6, 3]) / 17, abs=1 / N)
    assert decoded(top_p=0.3).tolist() == [0, 1, 0, 0, 0]
    assert decoded(top_p=1.0) == pytest.approx(P, abs=1 / N)
    assert decoded(top_k=3, top_p=0.5) == pytest.approx([0, 4 / 7, 0, 3 / 7, 0], abs=1 / N)


def test_a_banned_id_is_never_chosen():
    assert decoded(banned=(1,))[1] == 0
    assert decoded(banned=(1,), greedy=True).argmax() == 3
    assert decoded(banned=(0, 1, 2, 4), temperature=5.0)[3] == 1


def test_the_ends_of_the_unit_interval_choose_ids_with_a_weight():
    ends = np.array([0.0, np.nextafter(1, 0)])
    assert chosen_at(np.zeros(4), ends, DecodingConfig(), banned=(0, 3)).tolist() == [1, 2]


@given(
    st.integers(1, 400),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.1, 1.0, 8.0]),
    st.none() | st.integers(1, 60),
    st.none() | st.floats(0.01, 1),
    st.floats(0.3, 3),
)
@example(300, 0, 0.1, None, 0.999, 1.0)
@example(3, 0, 0.0, 2, 0.5, 1.0)
def test_choices_invert_the_cumulative_distribution(V, seed, spread, top_k, top_p, temperature):
    random = np.random.default_rng(seed)
    logits = np.float32(spread * random.standard_normal(V))
    config = DecodingConfig(temperature=temperature, top_k=top_k, top_p=top_p)
    banned = (0,) if V > 2 else ()
    weights = expected(logits.astype(np.float64), config, banned)
    edges = np.concatenate([[0], np.cumsum(weights)])
    uniforms = random.random(50)
    chosen = chosen_at(logits, uniforms, config, banned)
    # Rounding may move an edge, and may let the last of the top p in or out.
    slack = 1e-5 + (weights[weights > 0].min() if top_p else 0)
    assert (edges[chosen] - slack <= uniforms).all()
    assert (uniforms <= edges[chosen + 1] + slack).all()
    if not top_p:
        assert (weights[chosen] > 0).all()


def test_the_kernel_is_compiled_for_one_type_of_arguments():
    decoded()
    assert len(choose_rows.signatures) <= 1  # none in tensors


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


def test_whole_numbers_are_of_the_type_of_others_for_which_the_kernel_is_compiled():
    whole = controls(DecodingConfig(temperature=1, top_p=1), 5, ())
    assert [type(value) for value in whole[:3]] == [float, int, float]


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_a_penalty_beyond_what_a_logit_can_bear_is_refused_by_name(name):
    with pytest.raises(
        OptionError, match=f"--{name.replace('_', '-')} 1e\\+300: must be from -100"
    ):
        DecodingConfig(**{name: 1e300})

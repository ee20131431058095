"""Gates over a text: what is recorded is what the model computes."""

import numpy as np
import pytest
import torch

from rondeau.config import ModelConfig
from rondeau.inspection.gates import GATES, record
from rondeau.inspection.units import correlation_times, saturation, time_constants
from rondeau.network.model import Model

SHAPES = {
    "rnn": {"cell": "rnn"},
    "gru": {"cell": "gru"},
    "gru-before": {"cell": "gru", "reset": "before"},
    "lstm": {"cell": "lstm"},
    "deep": {"cell": "gru", "layers": 3, "embedding": 4},
    "both": {"cell": "lstm", "layers": 2, "bidirectional": True},
}


def make(hidden=6, vocabulary=9, **shape):
    torch.manual_seed(0)
    return Model(ModelConfig(hidden=hidden, **shape), vocabulary).double().eval()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_last_layers_recorded_state_is_what_the_stack_gives(shape):
    model = make(**shape)
    ids = np.random.default_rng(0).integers(0, 9, 20)
    last = record(model, [ids])[-(1 + model.config.bidirectional) :]
    inputs = torch.from_numpy(ids)[:, None]
    inputs = inputs if model.embedding is None else model.embedding(inputs)
    expected, _ = model.stack(inputs, model.initial_carry(1))
    found = np.concatenate([activity.carry["h"] for activity in last], 1)
    np.testing.assert_allclose(found, expected[:, 0].detach().numpy(), atol=1e-12)


def test_recorded_gates_and_candidates_satisfy_the_update_rule_of_the_gru():
    (activity,) = record(make(cell="gru"), [np.arange(9)])
    h = activity.carry["h"]
    before = np.vstack([np.zeros((1, 6)), h[:-1]])
    z, n = activity.gates["z"], activity.gates["n"]
    np.testing.assert_allclose(h, (1 - z) * n + z * before, atol=1e-12)


def test_each_sequence_is_read_from_an_empty_state():
    model = make(cell="lstm")
    (both,) = record(model, [np.arange(5), np.arange(4)])
    (alone,) = record(model, [np.arange(4)])
    np.testing.assert_array_equal(both.carry["c"][5:], alone.carry["c"])
    assert np.abs(both.state).max() <= 1


def test_a_backward_direction_stands_in_the_order_of_the_text():
    model = make(**SHAPES["both"])
    one, other = (record(model, [np.array([1, 2, last])]) for last in (3, 4))
    forwards, backwards = (
        np.abs(a.carry["h"] - b.carry["h"]).max(1) > 0
        for a, b in zip(one[:2], other[:2], strict=True)
    )
    assert forwards.tolist() == [False, False, True]
    assert backwards.tolist() == [True, True, True]


def test_recording_leaves_a_model_in_the_mode_it_was_in():
    model = make(cell="gru").train()
    record(model, [np.arange(3)])
    assert model.training


def test_a_constant_update_gate_gives_its_time_constant():
    (activity,) = record(make(cell="gru"), [np.arange(9)])
    activity.gates["z"][:] = np.exp(-1 / np.array([0.5, 1, 5, 20, 100, 400]))
    np.testing.assert_allclose(time_constants(activity), [0.5, 1, 5, 20, 100, 400], rtol=1e-6)


def test_a_switch_that_is_shut_once_in_a_line_remembers_for_a_line():
    (activity,) = record(make(cell="gru"), [np.zeros(400, dtype=int)])
    activity.gates["z"][:] = 1
    activity.gates["z"][::40] = 1e-9
    np.testing.assert_allclose(time_constants(activity), 40, rtol=0.02)


def test_a_gate_that_is_always_open_or_shut_has_a_finite_time_constant():
    (activity,) = record(make(cell="lstm"), [np.arange(9)])
    activity.gates["f"][:, :3], activity.gates["f"][:, 3:] = 1, 0
    times = time_constants(activity)
    assert np.isfinite(times).all()
    assert (times[:3] > 1e6).all()
    assert (times[3:] < 0.1).all()


def test_the_correlation_time_of_an_autoregression_is_that_of_its_coefficient():
    generator = np.random.default_rng(0)
    T, kept = 100_000, np.exp(-1 / np.array([2.0, 10.0]))
    values = np.zeros((T, 2))
    noise = generator.standard_normal((T, 2))
    for t in range(1, T):
        values[t] = kept * values[t - 1] + noise[t]
    np.testing.assert_allclose(correlation_times(values), [2, 10], rtol=0.1)


def test_units_that_never_change_and_texts_of_one_character_have_a_time():
    assert correlation_times(np.ones((50, 2))).tolist() == [0, 0]
    assert correlation_times(np.ones((1, 1))).tolist() == [0]


def test_saturation_counts_the_steps_of_each_unit():
    gate = np.array([[0.05, 0.95], [0.5, 0.99], [0.09, 0.2], [0.3, 0.91]])
    shut, opened = saturation(gate)
    assert shut.tolist() == [0.5, 0]
    assert opened.tolist() == [0, 0.75]


def test_the_gates_of_a_cell_are_those_of_its_equations():
    for name, gates in GATES.items():
        cell = make(cell=name).stack.cells[0][0]
        assert set(gates) < set(cell.gate_names)

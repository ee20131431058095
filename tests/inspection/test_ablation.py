"""Held gates and shorter contexts, against closed forms, hand computation and `evaluate`."""

import copy

import numpy as np
import pytest
import torch

from rondeau.config import ModelConfig
from rondeau.errors import CorpusError, OptionError, UnsupportedError
from rondeau.evaluation.perplexity import document_bits, evaluate
from rondeau.inspection.ablation import ablate, hold, hold_at_mean
from rondeau.inspection.context import bits_at, context_curves, sample
from rondeau.inspection.gates import record
from rondeau.inspection.reading import bits_of_pieces, read
from rondeau.network.model import Model
from rondeau.text.tokenizer import CharTokenizer

TOKENIZER = CharTokenizer("abcdef")
TEXTS = ["abc龙fed" * 3, "ffaa", "abcdef" * 8]


def make(**shape):
    torch.manual_seed(1)
    model = Model(ModelConfig(hidden=7, **shape), len(TOKENIZER)).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
    return model.eval()


def outputs(model, ids):
    features, _ = model.features(torch.tensor(ids)[:, None], model.initial_carry(1))
    return features[:, 0].detach()


def test_an_update_gate_held_at_one_leaves_the_state_at_zero_for_ever():
    for layers in (1, 2):
        assert not outputs(hold(make(layers=layers), "z", 1.0), [3, 4, 5] * 50).any()


def test_an_update_gate_held_at_zero_leaves_the_candidate_alone():
    model = make()
    held = hold(model, "z", 0.0)
    (activity,) = record(held, [np.array([3, 4, 5, 6])])
    np.testing.assert_allclose(activity.carry["h"], activity.gates["n"], atol=1e-12)


def test_a_reset_gate_held_at_one_is_the_recurrence_written_by_hand():
    model = make()
    (cell,) = model.stack.cells[0]
    W, U, b, c = (p.detach().numpy() for p in cell.parameters())
    h, expected = np.zeros(7), []
    ids = [3, 8, 4, 4, 5]
    for x in ids:
        into, back = W[x] + b, h @ U + c
        z = 1 / (1 + np.exp(-(into[7:14] + back[7:14])))
        n = np.tanh(into[14:] + back[14:])
        h = (1 - z) * n + z * h
        expected.append(h)
    np.testing.assert_allclose(outputs(hold(model, "r", 1.0), ids), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("gate", "value", "law"),
    [
        ("i", 0.0, lambda a: np.zeros_like(a.carry["c"])),
        ("f", 0.0, lambda a: a.gates["i"] * a.gates["g"]),
        ("f", 1.0, lambda a: np.cumsum(a.gates["i"] * a.gates["g"], 0)),
        ("f", 0.5, lambda a: halved(a.gates["i"] * a.gates["g"])),
        ("o", 1.0, lambda a: np.arctanh(a.carry["h"])),
    ],
)
def test_a_held_gate_of_an_lstm_obeys_its_closed_form(gate, value, law):
    (activity,) = record(hold(make(cell="lstm"), gate, value), [np.array([3, 8, 4, 4, 5])])
    np.testing.assert_allclose(activity.carry["c"], law(activity), atol=1e-9)


def halved(written):
    return [sum(w * 0.5 ** (t - s) for s, w in enumerate(written[: t + 1])) for t in range(5)]


@pytest.mark.parametrize("shape", [{}, {"reset": "before"}, {"cell": "lstm", "layers": 2}], ids=str)
def test_every_backend_reads_a_held_model_alike(shape):
    held = hold(make(**shape).float(), "r" if shape.get("cell") is None else "f", 0.25)
    found = []
    for backend in ("reference", "numba"):
        held.backend = backend
        found.append(outputs(held, [3, 4, 5] * 20))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


def test_a_gate_is_held_in_one_layer_and_at_the_mean_of_each_unit():
    model = make(layers=2)
    ids = [np.array([3, 8, 4, 4, 5])]
    activities = record(model, ids)
    first, second = record(hold(model, "r", 0.3, layer=1), ids)
    np.testing.assert_array_equal(first.gates["r"], activities[0].gates["r"])
    np.testing.assert_allclose(second.gates["r"], 0.3)
    for held, free in zip(
        record(hold_at_mean(model, "z", activities), ids), activities, strict=True
    ):
        mean = free.gates["z"].mean(0)
        np.testing.assert_allclose(held.gates["z"], np.tile(mean, (5, 1)), atol=1e-12)


def test_holding_leaves_the_model_as_it_was_and_shares_what_is_not_held():
    model = make(embedding=4)
    before = copy.deepcopy(model.state_dict())
    held = hold(model, "z", 0.0)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert held.output.weight is model.output.weight
    assert held.embedding.weight is model.embedding.weight


def test_what_cannot_be_held_is_named_with_what_can():
    with pytest.raises(UnsupportedError, match="rnn has no gates"):
        hold(make(cell="rnn"), "z", 0.0)
    with pytest.raises(OptionError, match="n: choose one of r, z"):
        hold(make(), "n", 0.0)
    with pytest.raises(OptionError, match="z = 2: must be between 0 and 1"):
        hold(make(), "z", 2)
    with pytest.raises(OptionError, match="layer 1: the layers are 0 to 0"):
        hold(make(), "z", 1, layer=1)


@pytest.mark.parametrize("whole", [True, False])
def test_pieces_cost_what_evaluate_says(whole):
    model = make()
    reading = read(TEXTS, TOKENIZER, whole=whole, most=10_000)
    bits, targets = bits_of_pieces(model, reading)
    expected = evaluate(model, TOKENIZER, TEXTS, split="x", whole=whole)
    assert bits.sum() == pytest.approx(expected.bits)
    assert targets.sum() == expected.targets == reading.targets
    assert reading.characters == expected.characters


def test_the_whole_context_costs_what_evaluate_says_target_by_target():
    model = make(layers=2)
    reading = read(TEXTS, TOKENIZER, whole=True, most=10_000)
    places = sample(reading, 10_000, seed=0)
    found = bits_at(model, reading, places, 1_000)
    expected = np.concatenate(document_bits(model, TOKENIZER, TEXTS, whole=True))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_context_of_one_character_is_the_model_after_that_character_alone():
    model = make()
    reading = read(["abcab"], TOKENIZER, whole=False, most=10_000)
    found = bits_at(model, reading, np.array([[0, 3]]), 1)
    features = outputs(model, [TOKENIZER.encode("b")[0]])
    c = TOKENIZER.encode("c")[0]
    expected = -torch.log_softmax(model.output(features[-1]), -1)[c].item() / np.log(2)
    assert found[0] == pytest.approx(expected)


def test_dropout_plays_no_part_and_the_mode_of_the_model_comes_back():
    model = make(layers=2, dropout=0.5).train()
    reading = read(TEXTS, TOKENIZER, whole=True, most=10_000)
    places = sample(reading, 30, seed=1)
    np.testing.assert_array_equal(
        bits_at(model, reading, places, 8), bits_at(model, reading, places, 8)
    )
    np.testing.assert_array_equal(bits_of_pieces(model, reading), bits_of_pieces(model, reading))
    assert model.training


def test_batches_of_contexts_do_not_change_a_cost(monkeypatch):
    model = make()
    reading = read(TEXTS, TOKENIZER, whole=True, most=10_000)
    places = sample(reading, 30, seed=1)
    assert len({tuple(place) for place in places}) == 30
    together = bits_at(model, reading, places, 8)
    monkeypatch.setattr("rondeau.inspection.reading.TOGETHER", 17)
    np.testing.assert_allclose(bits_at(model, reading, places, 8), together, rtol=1e-9)


def test_curves_stop_at_the_longest_document_and_end_at_the_held_models_cost():
    model = make()
    reading = read(TEXTS, TOKENIZER, whole=True, most=10_000)
    activities = record(model, reading.framed)
    curves = context_curves(model, reading, activities, targets=10_000)
    assert curves.lengths == (1, 2, 4, 8, 16, 32, 64)
    costs = {c.held: c.bits_per_character for c in ablate(model, reading, activities).costs}
    for curve in curves.held:
        assert curve.bits[-1].sum() / reading.characters == pytest.approx(costs[curve.held])
        near, far = curves.near(curve), curves.far(curve)
        cost = curve.bits[-1].mean() - curves.whole.bits[-1].mean()
        assert near.value + far.value == pytest.approx(cost)


def test_a_text_that_is_cut_has_no_end_to_predict():
    reading = read(["abc", "def"], TOKENIZER, whole=True, most=4)
    assert reading.texts == ("abc", "d")
    assert [len(ids) for ids in reading.framed] == [5, 2]


def test_an_empty_text_is_refused():
    with pytest.raises(CorpusError, match="empty"):
        read([""], TOKENIZER, whole=True, most=4)

"""Gradient reach: against autograd position by position, finite differences, and a closed form."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rondeau.config import ModelConfig
from rondeau.errors import CorpusError, OptionError
from rondeau.inspection.reach import Reach, ReachCurve, gradient_reach
from rondeau.network.model import Model

V, K = 11, 6
CONFIGS = {
    "tanh": ModelConfig(cell="rnn", hidden=5),
    "relu": ModelConfig(cell="rnn", hidden=5, activation="relu"),
    "after": ModelConfig(cell="gru", hidden=5),
    "before": ModelConfig(cell="gru", hidden=5, reset="before"),
    "lstm": ModelConfig(cell="lstm", hidden=5),
    "deep": ModelConfig(cell="gru", hidden=5, layers=2, dropout=0.5, embedding=4),
    "deep lstm": ModelConfig(cell="lstm", hidden=4, layers=2, embedding=3, tie_weights=True),
    "both": ModelConfig(cell="lstm", hidden=4, bidirectional=True),
    "deep both": ModelConfig(cell="gru", hidden=4, layers=2, bidirectional=True),
    "cloze": ModelConfig(cell="gru", hidden=4, bidirectional=True, objective="cloze"),
}


def make(name):
    torch.manual_seed(3)
    return Model(CONFIGS[name], V).double()


def text(length=40):
    return np.random.default_rng(1).integers(3, V, length)


def loss_at(model, ids, place, nudge=None):
    """The loss at one position, read from the start of its piece by the cells themselves.

    nudge: (layer, direction, step, field, what is added to that state).
    """
    both = model.config.bidirectional
    start, end = (place - K, place + K + 1) if both else (0, place + 1)
    read = torch.tensor(ids[start:end])
    at = place - start
    target = ids[place + 1]
    if model.config.objective == "cloze":
        target, read[at] = ids[place], 2
    x = read if model.embedding is None else model.embedding(read)
    kept = {}
    for layer, cells in enumerate(model.stack.cells):
        outputs = []
        for direction, cell in enumerate(cells):
            carry, h = cell.initial_carry(1), [None] * len(read)
            order = range(len(read))
            for t in reversed(order) if direction else order:
                gates = cell.gates(cell.project(x[t : t + 1]), carry)
                carry = cell.update(gates, carry)
                if nudge and nudge[:3] == (layer, direction, start + t):
                    carry = nudged(carry, gates, *nudge[3:])
                kept[layer, direction, start + t] = carry
                h[t] = carry.h
            outputs.append(torch.cat(h))
        x = torch.cat(outputs, -1)
    features = x[at] if model.bridge is None else model.bridge(x[at])
    return F.cross_entropy(model.output(features), torch.tensor(target)), kept


def nudged(carry, gates, field, change):
    """A carry with one of its states changed, and what follows from it: an LSTM shows its c."""
    if field == "h":
        return carry._replace(h=carry.h + change)
    c = carry.c + change
    return carry._replace(h=gates.o * torch.tanh(c), c=c)


def by_hand(model, ids, place, curve, k):
    """One gradient of one loss with respect to one state."""
    loss, kept = loss_at(model, ids, place)
    backward = curve.direction == "backward"
    state = kept[curve.layer - 1, int(backward), place + k if backward else place - k]
    (gradient,) = torch.autograd.grad(loss, getattr(state, curve.state))
    return float(gradient.norm())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_reach_is_what_one_gradient_at_a_time_gives(name):
    model, ids = make(name), text()
    reach = gradient_reach(model, ids, horizon=K, positions=4)
    assert len(reach.positions) == 4
    for curve in reach.curves:
        norms = np.array(
            [[by_hand(model, ids, int(p), curve, k) for p in reach.positions] for k in range(K + 1)]
        )
        np.testing.assert_allclose(curve.mean, norms.mean(1), rtol=1e-8)
        np.testing.assert_allclose(curve.low, np.quantile(norms, 0.1, axis=1), rtol=1e-8)
        np.testing.assert_allclose(curve.high, np.quantile(norms, 0.9, axis=1), rtol=1e-8)
        if (norms > 0).all():
            geometric = norms.prod(1) ** 0.25
            np.testing.assert_allclose(curve.geometric_mean, geometric, rtol=1e-8)


@pytest.mark.parametrize("name", ["tanh", "after", "before", "lstm", "deep", "deep both"])
def test_the_reach_is_what_finite_differences_give(name):
    model, ids = make(name).eval(), text()
    reach = gradient_reach(model, ids, horizon=K, positions=1)
    (place,) = map(int, reach.positions)
    for curve in reach.curves:
        backward = curve.direction == "backward"
        for k in (0, 1, 4):
            where = curve.layer - 1, int(backward), place + k if backward else place - k
            slopes = []
            for unit in torch.eye(model.config.hidden, dtype=torch.float64) * 1e-4:
                with torch.no_grad():
                    up, _ = loss_at(model, ids, place, (*where, curve.state, unit))
                    down, _ = loss_at(model, ids, place, (*where, curve.state, -unit))
                slopes.append(float(up - down) / 2e-4)
            assert curve.mean[k] == pytest.approx(np.linalg.norm(slopes), rel=1e-5)


def test_every_state_of_every_layer_and_direction_has_a_curve():
    found = gradient_reach(make("both"), text(), horizon=K, positions=2).curves
    assert [(c.layer, c.direction, c.state) for c in found] == [
        (1, "forward", "h"), (1, "forward", "c"), (1, "backward", "h"), (1, "backward", "c"),
    ]  # fmt: skip


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_a_linear_network_shrinks_keeps_or_explodes_as_its_weights_say(factor):
    """With positive weights relu is the identity, and k steps of U = f·I multiply by f^k."""
    model = Model(ModelConfig(cell="rnn", activation="relu", hidden=3), V).double()
    (cell,) = model.stack.cells[0]
    with torch.no_grad():
        cell.weight_x.fill_(1)
        cell.bias_x.fill_(1)
        cell.bias_h.zero_()
        cell.weight_h.copy_(factor * torch.eye(3))
    (curve,) = gradient_reach(model, text(), horizon=8, positions=5).curves
    np.testing.assert_allclose(curve.mean, curve.mean[0] * factor ** np.arange(9), rtol=1e-12)
    assert curve.explodes() == (factor == 1.5)
    assert curve.vanishing(0.1) == (4 if factor == 0.5 else None)


def test_a_reach_that_comes_back_has_not_vanished_before():
    mean = np.array([1, 0.001, 0.5, 0.009, 0.001])
    curve = ReachCurve(1, "forward", "h", mean, mean, mean, mean)
    assert curve.vanishing() == 3
    assert curve.vanishing(0.6) == 1
    assert curve.vanishing(0.0001) is None


def test_a_dead_network_reaches_nowhere():
    """A relu that is never on lets nothing through, however near."""
    zero = np.zeros(5)
    dead, alive = (
        ReachCurve(1, "forward", s, m, m, m, m) for s, m in (("h", zero), ("c", zero + 1))
    )
    assert dead.vanishing() == 0
    assert not dead.explodes()
    assert Reach((dead,), np.arange(1), 4).longest is dead
    assert Reach((dead, alive), np.arange(1), 4).longest is alive


def test_the_reach_of_a_model_is_that_of_the_state_that_lasts_longest():
    short, long = (0.3 ** np.arange(9), 0.5 ** np.arange(9))
    curves = tuple(ReachCurve(n, "forward", "h", m, m, m, m) for n, m in ((1, long), (2, short)))
    reach = Reach(curves, np.arange(1), 8)
    assert reach.longest is curves[0]
    assert reach.vanishing() == curves[0].vanishing() == 7
    assert reach.vanishing(0.001) is None
    assert not reach.explodes()


def test_blocks_of_positions_do_not_change_the_reach(monkeypatch):
    model, ids = make("deep"), text()
    whole = gradient_reach(model, ids, horizon=K, positions=20)
    monkeypatch.setattr("rondeau.inspection.reach.MEMORY", 1)
    parts = gradient_reach(model, ids, horizon=K, positions=20)
    for a, b in zip(whole.curves, parts.curves, strict=True):
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)


def test_a_model_is_left_as_it_was():
    model = make("deep").float().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient_reach(model, text(), horizon=K, positions=2)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_text_that_cannot_be_looked_at_is_refused():
    model = make("after")
    with pytest.raises(CorpusError, match="has 7 tokens; looking 6 steps back needs 8"):
        gradient_reach(model, text(K + 1), horizon=K)
    assert len(gradient_reach(model, text(K + 2), horizon=K).positions) == 1
    with pytest.raises(CorpusError, match="has 12 tokens; looking 6 steps back needs 13"):
        gradient_reach(make("cloze"), text(2 * K), horizon=K)
    assert len(gradient_reach(make("cloze"), text(2 * K + 1), horizon=K).positions) == 1
    with pytest.raises(CorpusError, match="the id 11"):
        gradient_reach(model, np.full(50, V), horizon=K)
    with pytest.raises(CorpusError, match="one row"):
        gradient_reach(model, np.full(50, -1), horizon=K)
    with pytest.raises(OptionError, match="--horizon 0"):
        gradient_reach(model, text(), horizon=0)
    with pytest.raises(OptionError, match="--positions 0"):
        gradient_reach(model, text(), horizon=K, positions=0)

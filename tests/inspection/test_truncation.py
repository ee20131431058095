"""Truncation: the cut gradient is that of a training's windows, and errs by what it leaves out."""

import numpy as np
import pytest
import torch

from rondeau.config import ModelConfig
from rondeau.errors import CorpusError, OptionError
from rondeau.inspection.truncation import truncation
from rondeau.network.cells import detach
from rondeau.network.model import Model

V = 9
CONFIGS = {
    "rnn": ModelConfig(cell="rnn", hidden=5),
    "gru": ModelConfig(cell="gru", hidden=5, layers=2, dropout=0.5, embedding=4),
    "lstm": ModelConfig(cell="lstm", hidden=5),
    "both": ModelConfig(cell="gru", hidden=4, bidirectional=True),
    "cloze": ModelConfig(cell="gru", hidden=4, bidirectional=True, objective="cloze"),
}


def make(name):
    torch.manual_seed(0)
    return Model(CONFIGS[name], V).double()


def text(length=41):
    return np.random.default_rng(0).integers(3, V, length)


def window_by_window(model, ids, T):
    """The gradient as a training sums it up: one window after the other, the carry detached."""
    model.zero_grad()
    model.eval()
    tokens = torch.tensor(ids)[:, None]
    carry = model.initial_carry(1)
    N = len(ids) - 1
    for start in range(0, N, T):
        read, wanted = tokens[start : min(start + T, N)], tokens[start + 1 : start + T + 1]
        if not model.causal:
            carry = model.initial_carry(1)
        loss, carry = model.loss(read, wanted, detach(carry))
        (loss * len(read) / N).backward()
    gradients = [c.weight_h.grad.flatten() for cells in model.stack.cells for c in cells]
    return torch.cat(gradients).clone()


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "both"])
def test_a_cut_gradient_is_that_of_windows_one_after_the_other(name):
    ids = text()
    found = truncation(make(name), ids, lengths=(2, 4, 7))
    assert [row.T for row in found] == [2, 4, 7, 40]
    whole = window_by_window(make(name), ids, 40)
    for row in found:
        cut = window_by_window(make(name), ids, row.T)
        error = float((cut - whole).norm() / whole.norm())
        cosine = float(cut @ whole / cut.norm() / whole.norm())
        assert row.relative_error == pytest.approx(error, rel=1e-9)
        assert row.cosine == pytest.approx(cosine, rel=1e-9)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_window_as_long_as_the_stretch_throws_nothing_away(name):
    *cut, last = truncation(make(name), text(), lengths=(2, 64))
    assert last == (40, 0.0, pytest.approx(1))
    assert all(row.relative_error > 1e-6 for row in cut)


def test_streams_of_a_long_text_are_averaged():
    model, ids = make("rnn"), text(100)
    found = truncation(model, ids, stretch=20, streams=3, lengths=(5,))
    starts = [0, 39, 79]
    whole, cut = (sum(window_by_window(model, ids[s : s + 21], T) for s in starts) for T in (20, 5))
    assert found[0].relative_error == pytest.approx(float((cut - whole).norm() / whole.norm()))


def test_in_single_precision_it_agrees_and_the_model_is_left_as_it_was():
    model = make("gru").float().train()
    found = truncation(model, text(), lengths=(3,))
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    (expected, _) = truncation(make("gru"), text(), lengths=(3,))
    assert found[0].relative_error == pytest.approx(expected.relative_error, rel=1e-4)


def test_impossible_requests_are_refused():
    with pytest.raises(CorpusError, match="has 2 tokens"):
        truncation(make("rnn"), text(2))
    with pytest.raises(OptionError, match="--lengths 0"):
        truncation(make("rnn"), text(), lengths=(0, 3))
    with pytest.raises(OptionError, match="--stretch 0"):
        truncation(make("rnn"), text(), stretch=0)

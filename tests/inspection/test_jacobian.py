"""The recurrent Jacobian: against autograd row by row, finite differences, and known matrices."""

import numpy as np
import pytest
import torch

from rondeau.config import ModelConfig
from rondeau.errors import CorpusError, OptionError
from rondeau.inspection.jacobian import recurrent_jacobian, recurrent_spectra
from rondeau.network.cells import GRUCell, LSTMCell, RNNCell
from rondeau.network.model import Model

CELLS = {
    "tanh": lambda: RNNCell(4, 5),
    "relu": lambda: RNNCell(4, 5, activation="relu"),
    "after": lambda: GRUCell(4, 5),
    "before": lambda: GRUCell(4, 5, reset="before", hidden_bias=False),
    "lstm": lambda: LSTMCell(4, 5),
}


def one_step(name):
    torch.manual_seed(0)
    cell = CELLS[name]().double()
    carry = cell.carry_type(*(torch.randn(5).double() for _ in cell.carry_type._fields))
    return cell, torch.randn(4).double(), carry


def stepped(cell, x, carry):
    return torch.cat(cell(x[None], cell.carry_type(*(p[None] for p in carry))), -1)[0]


@pytest.mark.parametrize("name", CELLS)
def test_its_rows_are_the_gradients_of_the_next_carrys_elements(name):
    cell, x, carry = one_step(name)
    found = recurrent_jacobian(cell, cell.project(x), carry)
    parts = torch.autograd.functional.jacobian(lambda *c: stepped(cell, x, c), tuple(carry))
    torch.testing.assert_close(found, torch.cat(parts, -1), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["tanh", "after", "before", "lstm"])
@torch.no_grad()
def test_its_columns_are_what_finite_differences_give(name):
    cell, x, carry = one_step(name)
    found = recurrent_jacobian(cell, cell.project(x), carry)
    state = torch.cat(carry)
    for column, unit in enumerate(torch.eye(len(state), dtype=torch.float64) * 1e-5):
        up, down = (stepped(cell, x, (state + sign * unit).split(5)) for sign in (1, -1))
        torch.testing.assert_close(found[:, column], (up - down) / 2e-5, rtol=1e-5, atol=1e-9)


def test_a_linear_step_has_the_spectrum_of_its_weights():
    """A rotation by a quarter, stretched: complex eigenvalues ±0.6 i, singular values 0.9, 0.4."""
    model = Model(ModelConfig(cell="rnn", activation="relu", hidden=2), 9).double()
    (cell,) = model.stack.cells[0]
    with torch.no_grad():
        cell.weight_x.fill_(5)
        cell.weight_h.copy_(torch.tensor([[0, 0.9], [-0.4, 0]], dtype=torch.float64))
    (found,) = recurrent_spectra(model, np.arange(9), positions=4)
    np.testing.assert_allclose(found.radius, 0.6, rtol=1e-12)
    np.testing.assert_allclose(found.singular_value, 0.9, rtol=1e-12)
    assert found.radius_quartiles == pytest.approx((0.6, 0.6, 0.6))
    assert "median spectral radius 0.600, such steps in a row shrink" in found.sentence


def test_every_cell_has_a_spectrum_at_the_positions():
    config = ModelConfig(cell="lstm", hidden=3, layers=2, bidirectional=True)
    ids = np.random.default_rng(0).integers(0, 9, 30)
    found = recurrent_spectra(Model(config, 9), ids, positions=3)
    assert [(s.layer, s.direction) for s in found] == [
        (1, "forward"), (1, "backward"), (2, "forward"), (2, "backward"),
    ]  # fmt: skip
    # With 14 tokens on either side of it there are two positions in 30.
    assert all(s.radius.shape == s.singular_value.shape == (2,) for s in found)
    assert all((s.radius <= s.singular_value + 1e-12).all() for s in found)


@torch.no_grad()
def test_the_jacobian_is_taken_where_the_whole_text_has_brought_the_state():
    torch.manual_seed(0)
    model = Model(ModelConfig(cell="rnn", hidden=4), 9).double()
    ids = np.random.default_rng(0).integers(0, 9, 12)
    (found,) = recurrent_spectra(model, ids, positions=11)
    (cell,) = model.stack.cells[0]
    carry = cell.initial_carry(1)
    for radius, token in zip(found.radius, ids, strict=False):
        carry = cell(torch.tensor([token]), carry)
        # h' = tanh(…): ∂h'/∂h = diag(1 − h'²) Uᵀ
        expected = (1 - carry.h[0] ** 2)[:, None] * cell.weight_h.T
        assert radius == pytest.approx(float(torch.linalg.eigvals(expected).abs().max()))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_text_of_one_token_is_refused(bidirectional):
    model = Model(ModelConfig(hidden=2, bidirectional=bidirectional), 5)
    with pytest.raises(CorpusError, match="has 1 tokens"):
        recurrent_spectra(model, np.zeros(1, dtype=int))


def test_no_positions_are_refused():
    with pytest.raises(OptionError, match="--positions 0"):
        recurrent_spectra(Model(ModelConfig(hidden=2), 5), np.arange(5), positions=0)

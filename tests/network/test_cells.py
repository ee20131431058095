"""The cells against their equations, torch.nn and finite differences."""

import numpy as np
import pytest
import torch

from rondeau.network.cells import GRUCell, LSTMCell, RNNCell, detach

torch.manual_seed(0)
CELLS = {
    "rnn-tanh": lambda d, h: RNNCell(d, h),
    "rnn-relu": lambda d, h: RNNCell(d, h, activation="relu"),
    "gru-after": lambda d, h: GRUCell(d, h),
    "gru-before": lambda d, h: GRUCell(d, h, reset="before"),
    "lstm": lambda d, h: LSTMCell(d, h, forget_bias=1.0),
    "gru-one-bias": lambda d, h: GRUCell(d, h, hidden_bias=False),
    "gru-before-one-bias": lambda d, h: GRUCell(d, h, reset="before", hidden_bias=False),
    "lstm-one-bias": lambda d, h: LSTMCell(d, h, hidden_bias=False),
}


def random_carry(cell, batch):
    return cell.carry_type(*(torch.randn_like(p) for p in cell.initial_carry(batch)))


@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_a_step_equal_finite_differences(name):
    torch.manual_seed(1)
    cell = CELLS[name](3, 5).double()
    inputs = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    carry = random_carry(cell, 2)
    names = [n for n, _ in cell.named_parameters()]

    def step(x, *rest):
        state = cell.carry_type(*rest[: len(carry)])
        weights = dict(zip(names, rest[len(carry) :], strict=True))
        return tuple(torch.func.functional_call(cell, weights, (x, state)))

    arguments = [inputs, *carry, *(p.detach().clone() for p in cell.parameters())]
    assert torch.autograd.gradcheck(step, [a.requires_grad_() for a in arguments])


@pytest.mark.parametrize("name", CELLS)
def test_a_token_id_is_the_row_that_its_one_hot_vector_selects(name):
    cell = CELLS[name](7, 4).double()
    ids = torch.tensor([[0, 6, 3]])
    vectors = torch.nn.functional.one_hot(ids, 7).double()
    torch.testing.assert_close(cell.project(ids), cell.project(vectors))


def test_the_gru_is_its_textbook_formula_in_numpy():
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    W, U = rng.normal(size=(3, 12)), rng.normal(size=(4, 12))
    b, c = rng.normal(size=12), rng.normal(size=12)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    r, z = (sigmoid((x @ W + b + h @ U + c)[:, k * 4 : k * 4 + 4]) for k in (0, 1))
    last = slice(8, 12)
    candidates = {
        "after": np.tanh((x @ W + b)[:, last] + r * (h @ U + c)[:, last]),
        "before": np.tanh((x @ W + b)[:, last] + (r * h) @ U[:, last] + c[last]),
    }
    for reset, n in candidates.items():
        cell = GRUCell(3, 4, reset=reset).double()
        with torch.no_grad():
            for parameter, value in zip(cell.parameters(), (W, U, b, c), strict=True):
                parameter.copy_(torch.from_numpy(value))
        result = cell(torch.from_numpy(x), cell.carry_type(torch.from_numpy(h)))
        np.testing.assert_allclose(result.h.detach().numpy(), (1 - z) * n + z * h, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "other"),
    [
        (RNNCell(3, 5), torch.nn.RNNCell(3, 5)),
        (GRUCell(3, 5), torch.nn.GRUCell(3, 5)),
        (LSTMCell(3, 5), torch.nn.LSTMCell(3, 5)),
    ],
)
def test_one_step_equals_the_cell_of_torch(cell, other):
    cell, other = cell.double(), other.double()
    with torch.no_grad():
        other.weight_ih.copy_(cell.weight_x.t())
        other.weight_hh.copy_(cell.weight_h.t())
        other.bias_ih.copy_(cell.bias_x)
        other.bias_hh.copy_(cell.bias_h)
    x, carry = torch.randn(2, 3, dtype=torch.double), random_carry(cell, 2)
    expected = other(x, tuple(carry) if len(carry) == 2 else carry.h)
    expected = expected if isinstance(expected, tuple) else (expected,)
    torch.testing.assert_close(tuple(cell(x, carry)), expected)


def test_gates_are_named_and_lie_where_gates_lie():
    cell = LSTMCell(3, 5)
    gates = cell.gates(cell.project(torch.randn(2, 3)), cell.initial_carry(2))
    assert gates._fields == ("i", "f", "g", "o")
    assert all(bool((gate >= 0).all() and (gate <= 1).all()) for gate in (gates.i, gates.f))


def test_the_forget_bias_opens_the_forget_gate_only():
    torch.manual_seed(3)
    plain = LSTMCell(3, 5)
    torch.manual_seed(3)
    opened = LSTMCell(3, 5, forget_bias=2.0)
    difference = (opened.bias_x - plain.bias_x).detach()
    assert difference.reshape(4, 5).mean(1).tolist() == pytest.approx([0, 2, 0, 0])


def test_parameters_start_uniform_in_one_over_the_root_of_the_hidden_size():
    cell = GRUCell(50, 64)
    for parameter in cell.parameters():
        assert parameter.abs().max() <= 1 / 8
        assert float(parameter.detach().std()) == pytest.approx(1 / 8 / 3**0.5, rel=0.15)


def test_a_detached_carry_keeps_its_values_and_its_kind():
    cell = LSTMCell(2, 3)
    carry = cell(torch.randn(1, 2), cell.initial_carry(1))
    cut = detach(((carry,),))
    assert type(cut[0][0]) is type(carry)
    assert not cut[0][0].h.requires_grad
    assert torch.equal(cut[0][0].c, carry.c)

"""Every backend against `reference`: outputs, last carry, and every gradient, at awkward shapes."""

import pytest
import torch

from rondeau.errors import OptionError, UnsupportedError
from rondeau.network.backends import choose, unroll
from rondeau.network.cells import GRUCell, LSTMCell, RNNCell

CELLS = {
    "rnn-tanh": lambda d, h, **k: RNNCell(d, h, **k),
    "rnn-relu": lambda d, h, **k: RNNCell(d, h, activation="relu", **k),
    "gru-after": lambda d, h, **k: GRUCell(d, h, **k),
    "gru-before": lambda d, h, **k: GRUCell(d, h, reset="before", **k),
    "lstm": lambda d, h, **k: LSTMCell(d, h, **k),
}
SERVED = [("library", cell) for cell in ("rnn-tanh", "rnn-relu", "gru-after", "lstm")]
SHAPES = [(1, 1, 3, 1), (1, 4, 5, 7), (6, 1, 3, 5), (9, 3, 4, 13), (5, 8, 16, 32)]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def distance(a, b):
    """max|a − b| / max|b|."""
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-30))


def everything(cell, inputs, carry, backend):
    """Outputs, last carry, and the gradients of a loss that weighs all of them."""
    cell.zero_grad()
    leaves = [p.detach().clone().requires_grad_() for p in carry]
    if inputs.is_floating_point():
        inputs = inputs.detach().clone().requires_grad_()
        leaves.append(inputs)
    outputs, last = unroll(cell, inputs, cell.carry_type(*leaves[: len(carry)]), backend=backend)
    torch.manual_seed(9)
    weights = [torch.randn(t.shape, dtype=torch.double).to(t) for t in (outputs, *last)]
    weighed = [(t * w).sum() for t, w in zip((outputs, *last), weights, strict=True)]
    sum(weighed).backward()
    grads = [leaf.grad for leaf in leaves] + [p.grad for p in cell.parameters()]
    return [outputs.detach(), *(part.detach() for part in last), *grads]


@pytest.mark.parametrize(("backend", "name"), SERVED)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_a_backend_computes_what_the_reference_computes(
    backend, name, shape, dtype, tokens, hidden_bias
):
    T, B, D, H = shape
    torch.manual_seed(sum(shape))
    truth = CELLS[name](D, H, hidden_bias=hidden_bias).double()
    inputs = torch.randint(D, (T, B)) if tokens else torch.randn(T, B, D, dtype=torch.double)
    carry = [torch.randn(B, H, dtype=torch.double) for _ in truth.carry_type._fields]
    expected = everything(truth, inputs, carry, "reference")
    cell = CELLS[name](D, H, hidden_bias=hidden_bias).to(dtype)
    cell.load_state_dict(truth.state_dict())
    inputs = inputs if tokens else inputs.to(dtype)
    actual = everything(cell, inputs, [c.to(dtype) for c in carry], backend)
    for a, b in zip(actual, expected, strict=True):
        assert distance(a, b) <= TOLERANCE[dtype]


def test_auto_takes_the_library_except_for_what_torch_lacks():
    assert choose(GRUCell(2, 2)) == "library"
    assert choose(GRUCell(2, 2, reset="before")) == "reference"


def test_a_backend_that_cannot_serve_names_one_that_can():
    cell = GRUCell(2, 2, reset="before")
    with pytest.raises(UnsupportedError, match=r'reset="before".*use reference or auto'):
        unroll(cell, torch.randn(1, 1, 2), cell.initial_carry(1), backend="library")


def test_an_unknown_backend_is_refused_by_name():
    cell = RNNCell(2, 2)
    with pytest.raises(OptionError, match="--backend abacus"):
        unroll(cell, torch.randn(1, 1, 2), cell.initial_carry(1), backend="abacus")

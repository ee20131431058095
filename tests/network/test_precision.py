"""Products in bfloat16 and float16: the errors they bring, and what stays float32."""

import pytest
import torch
from test_backends import CELLS, distance, everything

from rondeau.config import ModelConfig
from rondeau.errors import OptionError, UnsupportedError
from rondeau.network.backends import choose, refuse_unserved
from rondeau.network.cells import GRUCell, carry_parts
from rondeau.network.model import Model
from rondeau.network.precision import lowered, set_precision

CPU = torch.device("cpu")
HALVES = ["bfloat16", "float16"]


def errors(name, precision, backend, T=9):
    """Of outputs, last carry and gradients, against the loop in float64."""
    B, D, H = 3, 4, 37
    torch.manual_seed(0)
    truth = CELLS[name](D, H).double()
    inputs = torch.randn(T, B, D, dtype=torch.double)
    carry = [torch.randn(B, H, dtype=torch.double) for _ in truth.carry_type._fields]
    expected = everything(truth, inputs, carry, "reference")
    cell = CELLS[name](D, H)
    cell.load_state_dict(truth.state_dict())
    with lowered(precision, CPU):
        actual = everything(cell, inputs.float(), [c.float() for c in carry], backend)
    assert {part.dtype for part in actual} == {torch.float32}
    return [distance(a, b) for a, b in zip(actual, expected, strict=True)]


def errors_of_torch(name, precision, T=9):
    """Those of torch.nn; of its own GRU for the one that it lacks."""
    return errors("gru-after" if name == "gru-before" else name, precision, "library", T)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("precision", HALVES)
def test_the_loop_errs_no_more_than_twice_as_much_as_torch(name, precision):
    ours, theirs = errors(name, precision, "reference"), errors_of_torch(name, precision)
    assert 0 < max(ours) <= 2 * max(theirs)


@pytest.mark.parametrize("name", ["rnn-tanh", "gru-after", "gru-before", "lstm"])
def test_gradients_of_many_steps_are_added_up_in_float32(name):
    *_, weight_h, _, _ = errors(name, "bfloat16", "reference", T=200)
    assert weight_h < 0.01


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_features_states_and_losses_of_a_model_stay_float32(precision, backend):
    config = ModelConfig(hidden=12, layers=2, embedding=6, tie_weights=True, dropout=0.1)
    torch.manual_seed(0)
    model = Model(config, 17)
    ids = torch.randint(17, (5, 3))
    with torch.no_grad():
        exact, _ = model.eval().loss(ids, ids, model.initial_carry(3))
    model.precision, model.backend = precision, backend
    loss, carry = model.loss(ids, ids, model.initial_carry(3))
    features, _ = model.features(ids, carry)
    parts = [loss, features, model.last_features(carry), *carry_parts(carry)]
    assert {part.dtype for part in parts} == {torch.float32}
    assert 0 < abs(loss - exact) < 1e-2 * exact
    loss.backward()
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}


def test_our_kernels_compute_in_float32_and_leave_the_rest_to_others():
    cell = GRUCell(2, 3)
    with lowered("bfloat16", CPU):
        assert choose(cell) == "library"
        with pytest.raises(UnsupportedError, match=r"no GRUCell in torch.bfloat16 on cpu; use"):
            refuse_unserved(cell, "numba")
    assert choose(cell) == "numba"


def test_tf32_is_refused_where_there_is_none():
    with pytest.raises(OptionError, match="--precision tf32: is for NVIDIA GPUs, not for cpu"):
        set_precision("tf32", CPU)

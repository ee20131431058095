"""Every backend on an NVIDIA GPU, against the loop on the CPU in float64."""

import os
from importlib.util import find_spec

import pytest
import torch
from test_backends import CELLS, TOLERANCE, distance, everything

from rondeau.config import ModelConfig
from rondeau.network.backends import choose
from rondeau.network.cells import GRUCell
from rondeau.network.model import Model
from rondeau.network.precision import lowered, set_precision

if not torch.cuda.is_available():
    pytest.skip("there is no NVIDIA GPU here", allow_module_level=True)

GPU = torch.device("cuda")
SHAPES = [(1, 1, 3, 1), (9, 3, 4, 13), (5, 29, 16, 50), (17, 33, 20, 128)]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" or find_spec("triton") is None
BACKENDS = [
    "reference",
    "library",
    pytest.param("triton", marks=pytest.mark.skipif(INTERPRETED, reason="triton is interpreted")),
]


@pytest.fixture(autouse=True)
def exact_again():
    """What a test has set for the process."""
    yield
    set_precision("float32", GPU)


def errors(name, shape, backend, *, dtype=torch.float32, precision="float32", tokens=False):
    """Of outputs, last carry and gradients."""
    if name == "gru-before" and backend == "library":
        pytest.skip("torch.nn has none")
    T, B, D, H = shape
    torch.manual_seed(sum(shape))
    truth = CELLS[name](D, H).double()
    inputs = torch.randint(D, (T, B)) if tokens else torch.randn(T, B, D, dtype=torch.double)
    carry = [torch.randn(B, H, dtype=torch.double) for _ in truth.carry_type._fields]
    expected = everything(truth, inputs, carry, "reference")
    cell = CELLS[name](D, H).to(GPU, dtype)
    cell.load_state_dict(truth.state_dict())
    inputs = inputs.to(GPU) if tokens else inputs.to(GPU, dtype)
    set_precision(precision, GPU)
    with lowered(precision, GPU):
        actual = everything(cell, inputs, [c.to(GPU, dtype) for c in carry], backend)
    assert {part.dtype for part in actual} == {dtype}
    return [distance(a.cpu(), b) for a, b in zip(actual, expected, strict=True)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("tokens", [False, True])
def test_a_backend_computes_what_the_loop_computes(backend, name, shape, dtype, tokens):
    found = errors(name, shape, backend, dtype=dtype, tokens=tokens)
    assert max(found) <= TOLERANCE[dtype]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_lowered_products_err_no_more_than_twice_as_much_as_torch(backend, name, precision):
    nearest = "gru-after" if name == "gru-before" else name
    ours = errors(name, SHAPES[-1], backend, precision=precision)
    theirs = errors(nearest, SHAPES[-1], "library", precision=precision)
    least = 2e-3 if precision == "tf32" else 0.0  # cuDNN's kernels for small H don't use it
    assert max(ours) <= max(2 * max(theirs), least)


def test_auto_takes_cudnn_where_it_has_the_cell():
    assert choose(GRUCell(2, 2).to(GPU)) == "library"
    assert choose(GRUCell(2, 2, reset="before").to(GPU)) == "reference"


@pytest.mark.parametrize("objective", ["next", "cloze"])
def test_a_model_has_the_loss_that_it_has_on_the_cpu(objective):
    bidirectional = objective == "cloze"
    config = ModelConfig(
        hidden=20, layers=2, embedding=7, objective=objective, bidirectional=bidirectional
    )
    torch.manual_seed(0)
    model, ids = Model(config, 31), torch.randint(31, (12, 5))
    expected, _ = model.loss(ids, ids, model.initial_carry(5))
    model.to(GPU)
    set_precision("float32", GPU)
    loss, _ = model.loss(ids.to(GPU), ids.to(GPU), model.initial_carry(5))
    assert distance(loss.detach().cpu(), expected.detach()) < 1e-5

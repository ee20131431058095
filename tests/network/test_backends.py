"""Every backend against `reference`: outputs, last carry, and every gradient, at awkward shapes."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from rondeau.errors import OptionError, UnsupportedError
from rondeau.network.backends import choose, unroll
from rondeau.network.backends.kernels import KERNELS
from rondeau.network.cells import GRUCell, LSTMCell, RNNCell

CELLS = {
    "rnn-tanh": lambda d, h, **k: RNNCell(d, h, **k),
    "rnn-relu": lambda d, h, **k: RNNCell(d, h, activation="relu", **k),
    "gru-after": lambda d, h, **k: GRUCell(d, h, **k),
    "gru-before": lambda d, h, **k: GRUCell(d, h, reset="before", **k),
    "lstm": lambda d, h, **k: LSTMCell(d, h, **k),
}
SERVED = [("library", cell) for cell in ("rnn-tanh", "rnn-relu", "gru-after", "lstm")]
SERVED += [("numba", cell) for cell in CELLS]
SHAPES = [(1, 1, 3, 1), (1, 4, 5, 7), (6, 1, 3, 5), (9, 3, 4, 13), (5, 29, 16, 50)]
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


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", CELLS)
def test_the_kernels_pass_gradcheck_however_the_batch_is_shared(name, threads):
    torch.set_num_threads(threads)
    cell = CELLS[name](3, 4).double()
    names = [n for n, _ in cell.named_parameters()]

    def window(inputs, *rest):
        weights = dict(zip(names, rest[count:], strict=True))
        for key, value in weights.items():
            delattr(cell, key)
            setattr(cell, key, value)
        outputs, last = unroll(cell, inputs, cell.carry_type(*rest[:count]), backend="numba")
        return (outputs, *last)

    count = len(cell.carry_type._fields)
    torch.manual_seed(0)
    carry = [torch.randn(5, 4, dtype=torch.double) for _ in range(count)]
    arguments = [torch.randn(3, 5, 3, dtype=torch.double), *carry]
    arguments += [p.detach().clone() for p in cell.parameters()]
    assert torch.autograd.gradcheck(window, [a.requires_grad_() for a in arguments])


def test_kernels_may_be_called_from_several_threads_at_once():
    torch.manual_seed(0)
    cells = [GRUCell(9, 24), LSTMCell(9, 24), GRUCell(9, 24, reset="before"), RNNCell(9, 24)] * 2
    ids = torch.randint(9, (40, 16))

    def write(cell):
        """Outputs only, many times over: what a server does."""
        with torch.no_grad():
            carry = cell.initial_carry(16)
            return [unroll(cell, ids, carry, backend="numba")[0] for _ in range(20)]

    torch.set_num_threads(2)
    alone = [everything(cell, ids, cell.initial_carry(16), "numba")[0] for cell in cells]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(write, cells))
    for expected, results in zip(alone, together, strict=True):
        assert all(torch.equal(expected, result) for result in results)


def test_a_window_without_gradients_gives_the_same_outputs():
    for make in CELLS.values():
        cell = make(5, 9)
        ids = torch.randint(5, (7, 3))
        trained, _ = unroll(cell, ids, cell.initial_carry(3), backend="numba")
        with torch.no_grad():
            used, _ = unroll(cell, ids, cell.initial_carry(3), backend="numba")
        assert torch.equal(trained, used)


def test_a_value_that_is_no_number_stays_none():
    cell = GRUCell(3, 4)
    inputs = torch.randn(2, 1, 3)
    inputs[1, 0, 0] = torch.nan
    outputs, _ = unroll(cell, inputs, cell.initial_carry(1), backend="numba")
    assert torch.isfinite(outputs[0]).all()
    assert torch.isnan(outputs[1]).all()


def test_auto_takes_our_kernels_on_the_cpu():
    assert choose(GRUCell(2, 2)) == choose(GRUCell(2, 2, reset="before")) == "numba"
    assert choose(GRUCell(2, 2).bfloat16()) == "library"
    assert choose(GRUCell(2, 2, reset="before").bfloat16()) == "reference"


def test_a_backend_that_cannot_serve_names_one_that_can():
    cell = GRUCell(2, 2, reset="before")
    with pytest.raises(UnsupportedError, match=r'reset="before".*use reference or auto'):
        unroll(cell, torch.randn(1, 1, 2), cell.initial_carry(1), backend="library")


def test_an_unknown_backend_is_refused_by_name():
    cell = RNNCell(2, 2)
    with pytest.raises(OptionError, match="--backend abacus"):
        unroll(cell, torch.randn(1, 1, 2), cell.initial_carry(1), backend="abacus")


@pytest.mark.parametrize("ids", [[[0, 5]], [[-1, 0]]])
def test_an_id_outside_the_table_is_refused_before_a_kernel_sees_it(ids):
    cell = GRUCell(5, 4)
    with pytest.raises(IndexError, match="table of 5"):
        unroll(cell, torch.tensor(ids), cell.initial_carry(2), backend="numba")


def test_a_cell_of_ones_own_is_unrolled_by_its_own_methods():
    class Frozen(GRUCell):
        def update(self, gates, carry):
            return carry

    cell = Frozen(5, 4)
    carry = GRUCell(5, 4).carry_type(torch.randn(2, 4))
    outputs, _ = unroll(cell, torch.tensor([[0, 1]]), carry)
    assert torch.equal(outputs[0], carry.h)


def test_compiled_kernels_are_found_again_by_the_next_process(tmp_path):
    code = (
        "import torch; from rondeau.network.cells import GRUCell; "
        "from rondeau.network.backends import numba; "
        "cell = GRUCell(3, 4); "
        "numba.unroll(cell, torch.tensor([[0]]), cell.initial_carry(1))"
    )

    def compiled():
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        return sorted(tmp_path.rglob("*.nbc"))

    first = compiled()
    assert first
    assert compiled() == first


def test_a_kernel_is_compiled_for_one_type_of_arguments():
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for dtype in TOLERANCE:
            for make in CELLS.values():
                for inputs in (torch.randint(5, (3, 16)), torch.randn(3, 16, 5, dtype=dtype)):
                    cell = make(5, 60).to(dtype)
                    everything(cell, inputs, cell.initial_carry(16), "numba")
                    everything(cell, inputs.transpose(0, 1)[:, :3], cell.initial_carry(3), "numba")
    for kernels in KERNELS.values():
        for run in vars(kernels).values():
            assert len(run.kernel.signatures) <= 1, run.kernel
            assert len(run.fork.signatures) <= 1, run.fork

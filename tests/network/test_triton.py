"""The GPU's kernels, run by Triton's interpreter on the CPU, against `reference`."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported
pytest.importorskip("triton", reason="the extra test has triton, where there is one")

import numpy as np
import torch
from test_backends import CELLS, TOLERANCE, distance, everything
from test_precision import errors, errors_of_torch
from triton.language import bfloat16, float32
from triton.runtime import interpreter

import rondeau
from rondeau.errors import UnsupportedError
from rondeau.network.backends import unroll
from rondeau.network.cells import GRUCell

KERNELS = 10
SHAPES = [(1, 1, 3, 1), (4, 3, 5, 7), (3, 19, 4, 37)]


@pytest.fixture(autouse=True)
def memory_that_is_no_number():
    """What a kernel reads and nobody has written is found in its results."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("tokens", [False, True])
def test_a_step_in_a_kernel_is_what_the_reference_computes(name, shape, dtype, tokens):
    T, B, D, H = shape
    torch.manual_seed(sum(shape))
    truth = CELLS[name](D, H, hidden_bias=tokens).double()
    inputs = torch.randint(D, (T, B)) if tokens else torch.randn(T, B, D, dtype=torch.double)
    carry = [torch.randn(B, H, dtype=torch.double) for _ in truth.carry_type._fields]
    expected = everything(truth, inputs, carry, "reference")
    cell = CELLS[name](D, H, hidden_bias=tokens).to(dtype)
    cell.load_state_dict(truth.state_dict())
    inputs = inputs if tokens else inputs.to(dtype)
    actual = everything(cell, inputs, [c.to(dtype) for c in carry], "triton")
    for a, b in zip(actual, expected, strict=True):
        assert distance(a, b) <= TOLERANCE[dtype]


@pytest.fixture
def products_of_bfloat16(monkeypatch):
    """The interpreter has bfloat16 as integers of 16 bits, and multiplies these.

    And where float32 becomes bfloat16 it cuts off instead of rounding.
    """

    def widened(tensor):
        data = tensor.data
        if tensor.dtype == bfloat16:
            data = (data.astype(np.uint32) << 16).view(np.float32)
        return SimpleNamespace(data=data, dtype=tensor.dtype)

    def dot(self, a, b, *rest):
        return multiply(self, widened(a), widened(b), *rest)

    def converted(data, kind, wanted, rounding):
        if (kind, wanted) != (float32, bfloat16):
            return convert(data, kind, wanted, rounding)
        bits = data.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)

    convert = interpreter._convert_float
    monkeypatch.setattr(interpreter, "_convert_float", converted)
    multiply = interpreter.InterpreterBuilder.create_dot
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", dot)


@pytest.mark.usefixtures("products_of_bfloat16")
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lowered_products_err_no_more_than_those_of_torch(name, precision):
    # Of 6 steps one unit of the rnn-relu is 0.0003 instead of 0: there its gradient jumps.
    ours, theirs = errors(name, precision, "triton", 5), errors_of_torch(name, precision, 5)
    assert 0 < max(ours) <= 2 * max(theirs)


def test_without_a_gpu_it_is_refused_before_a_training_begins(tmp_path, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET")
    config = rondeau.TrainConfig(backend="triton", device="cpu")
    with pytest.raises(UnsupportedError, match="for NVIDIA GPUs, not for cpu; use --device cuda"):
        rondeau.train((), config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_cell_of_ones_own_is_refused():
    class Own(GRUCell):
        pass

    cell = Own(3, 4)
    with pytest.raises(UnsupportedError, match="has no Own"):
        unroll(cell, torch.tensor([[0]]), cell.initial_carry(1), backend="triton")


def test_a_window_without_gradients_gives_the_same_outputs():
    for make in CELLS.values():
        cell, ids = make(5, 9), torch.randint(5, (4, 3))
        trained, _ = unroll(cell, ids, cell.initial_carry(3), backend="triton")
        with torch.no_grad():
            used, _ = unroll(cell, ids, cell.initial_carry(3), backend="triton")
        assert torch.equal(trained, used)


def test_a_training_on_it_is_the_training_on_the_loop(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("小猫白大来了狗\n" * 20, encoding="utf-8")
    settings = {"hidden": 8, "batch": 4, "seq_len": 6, "steps": 4, "layers": 2, "device": "cpu"}
    losses = [
        [
            event.loss
            for event in rondeau.train(
                text,
                rondeau.TrainConfig(**settings, split="none", backend=backend),
                out=tmp_path / backend,
            )
        ]
        for backend in ("triton", "reference")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_every_kernel_compiles_for_a_gpu_that_is_not_here(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1"}
    command = [sys.executable, Path(__file__).with_name("compile_kernels.py"), "90", "bf16"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == KERNELS

"""Matrix products by our kernels, and the loss that is made of them, held to PyTorch's."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from rondeau.config import ModelConfig
from rondeau.network import loss
from rondeau.network.backends import products, softmax
from rondeau.network.loss import linear_cross_entropy
from rondeau.network.model import Model

SHAPES = [(1, 1, 1), (3, 5, 7), (8, 16, 48), (9, 130, 49), (33, 257, 100), (260, 300, 65)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def assert_close(found, wanted):
    error = (found - wanted).abs().max() / wanted.abs().max()
    assert error <= TOLERANCE[found.dtype], error


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("M", "K", "N"), SHAPES)
def test_a_product_is_torchs_whatever_its_shape(M, K, N, threads, dtype):
    torch.set_num_threads(threads)
    A, W = torch.randn(M, K, dtype=dtype), torch.randn(K, N, dtype=dtype)
    assert_close(products.multiply(A, products.pack(W), N), A @ W)
    assert_close(products.multiply(A, products.pack(W.t(), transposed=True), N), A @ W)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("M", "K", "N"), SHAPES)
def test_a_product_with_the_transpose_is_torchs_too(M, K, N, threads, dtype):
    torch.set_num_threads(threads)
    A, B = torch.randn(K, M + 4, dtype=dtype), torch.randn(K, N + 3, dtype=dtype)
    a, b = slice(1, M + 1), slice(2, N + 2)
    assert_close(products.multiply_transposed(A, B), A.t() @ B)
    assert_close(products.multiply_transposed(A, B, a=a, b=b), A[:, a].t() @ B[:, b])


def test_a_projection_passes_gradcheck():
    vectors = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    W = torch.randn(3, 20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(products.Project.apply, (vectors, W))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block", [2**21, 500, 1])
@pytest.mark.parametrize(("N", "H", "V"), [(1, 1, 2), (70, 19, 33), (130, 32, 500)])
def test_the_loss_and_its_gradients_are_torchs_in_blocks_of_any_size(
    N, H, V, block, threads, monkeypatch
):
    torch.set_num_threads(threads)
    monkeypatch.setattr(loss, "BLOCK", block)
    inputs = [3 * torch.randn(N, H), torch.randn(V, H), torch.randn(V)]
    targets = torch.randint(V, (N,))
    results = []
    for function in (linear_cross_entropy, plain):
        leaves = [part.clone().requires_grad_() for part in inputs]
        value = function(*leaves, targets)
        (2 * value).backward()
        results.append([value.detach(), *(leaf.grad for leaf in leaves)])
    for found, wanted in zip(*results, strict=True):
        assert (found - wanted).abs().max() <= 2e-5 * wanted.abs().max() + 2e-7


def plain(features, weight, bias, targets):
    return F.cross_entropy(F.linear(features, weight, bias), targets)


def test_every_backend_of_a_model_has_the_same_loss():
    torch.manual_seed(0)
    model = Model(ModelConfig(hidden=24, layers=2, embedding=10, tie_weights=True), 50)
    ids, targets = torch.randint(50, (2, 7, 4))
    found = []
    for backend in ("auto", "library", "reference"):
        model.backend = backend
        found.append(float(model.loss(ids, targets, model.initial_carry(4))[0].detach()))
    assert found == pytest.approx([found[0]] * 3, rel=1e-6)


PRODUCT = """
A, W = torch.randn(9, 40), torch.randn(40, 50)
assert torch.allclose(products.multiply(A, products.pack(W), 50), A @ W, atol=1e-4)
assert torch.allclose(products.multiply_transposed(A, A), A.t() @ A, atol=1e-4)
"""
LOSS = """
weight = torch.randn(50, 40, requires_grad=True)
loss = linear_cross_entropy(torch.randn(9, 40), weight, torch.zeros(50), torch.arange(9))
loss.backward()
assert torch.allclose(weight.grad.sum(0), torch.zeros(40), atol=1e-4)
"""


def test_processes_that_compile_in_different_orders_can_share_a_cache(tmp_path):
    head = (
        "import numba, torch\n"
        "from rondeau.network.backends import products\n"
        "from rondeau.network.loss import linear_cross_entropy\n"
        "torch.set_num_threads(1)\n"
    )
    before = "numba.njit(lambda x: x + 1)(1)\n"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for code in (PRODUCT, before + LOSS, PRODUCT + LOSS, LOSS + PRODUCT):
        subprocess.run([sys.executable, "-c", head + code], check=True, env=environment)


def test_each_kernel_is_compiled_for_one_type_of_arguments():
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for dtype in TOLERANCE:
            W = torch.randn(40, 90, dtype=dtype)
            for A in (torch.randn(50, 40, dtype=dtype), torch.randn(40, 50, dtype=dtype).t()):
                products.multiply(A, products.pack(W), 90)
                products.multiply(A, products.pack(W.t(), transposed=True), 90)
                products.multiply_transposed(A.t(), W, b=slice(3, 50))
        for rows in (3, 100):
            features = torch.randn(rows, 8, requires_grad=True)
            targets = torch.zeros(rows, dtype=torch.long)
            linear_cross_entropy(features, torch.randn(30, 8), torch.randn(30), targets)
    kernels = [softmax.cross_entropy, softmax.output_gradient]
    for compiled in products._KERNELS.values():
        kernels += [compiled.product_rows, compiled.transposed_rows, compiled.pack_panels]
    for run in kernels:
        assert len(run.kernel.signatures) <= 1, run.kernel
        assert len(run.fork.signatures) <= 1, run.fork

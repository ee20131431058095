"""The same bits, whatever a process has compiled or loaded before."""

import gc

from numba.core.registry import CPUDispatcher

import rondeau.generation.writing
import rondeau.network.loss
from rondeau.network.backends import softmax


def test_no_kernel_leaves_the_order_of_its_sums_to_the_compiler():
    """It would choose one for each caller that a kernel is linked into."""
    assert rondeau.generation.writing.WRITE
    assert rondeau.network.loss.linear_cross_entropy
    kernels = [found for found in gc.get_objects() if issubclass(type(found), CPUDispatcher)]
    ours = [kernel for kernel in kernels if kernel.py_func.__module__.startswith("rondeau")]
    assert softmax.exponentials in ours
    for kernel in ours:
        allowed = kernel.targetoptions.get("fastmath", False)
        assert allowed is False or "reassoc" not in allowed, kernel.py_func

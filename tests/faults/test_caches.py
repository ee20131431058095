"""The same bits in a process that compiles kernels and in one that finds them in its cache."""

import os
import subprocess
import sys

import pytest

GRADIENTS = """
import hashlib, torch
from rondeau.network.loss import linear_cross_entropy

torch.manual_seed(0)
shapes = (96, 20), (68, 20), (68,)
parts = [torch.randn(shape).requires_grad_() for shape in shapes]
linear_cross_entropy(*parts, torch.randint(68, (96,))).backward()
for part in parts:
    print(hashlib.sha256(part.grad.numpy().tobytes()).hexdigest())
"""


def test_a_kernel_that_is_loaded_has_the_bits_of_one_that_was_just_compiled(tmp_path, long):
    if not long:
        pytest.skip("compiles for 8 s: in the long form")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    compiled, loaded = (
        subprocess.run(
            [sys.executable, "-c", GRADIENTS],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout
        for _ in range(2)
    )
    assert any(tmp_path.rglob("*.nbc"))
    assert len(compiled.split()) == 3
    assert loaded == compiled

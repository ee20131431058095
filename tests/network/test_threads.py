"""Kernels whose range is shared out among threads."""

import numpy as np
import pytest
import torch
from numba import njit

from rondeau.network.backends.threads import shared


@njit(nogil=True)
def count_up(first, last, array):
    for i in range(first, last):
        array[i] += i


def test_every_part_of_the_range_is_computed_once_and_only_for_the_types_it_is_compiled_for():
    torch.set_num_threads(2)
    run = shared(count_up)
    for length in (16, 17, 1000):
        array = np.zeros(length)
        run(length, array)
        assert array.tolist() == list(range(length))
    other = np.zeros(16, dtype=np.float32)
    with pytest.raises(TypeError, match="No matching definition"):
        run(16, other)
    assert not other.any()

"""CUDA graphs: what a GPU does in a step, recorded once and then replayed.

A recorded function works on tensors that stay where they are, and waits for nothing. It knows no
model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

from rondeau.errors import OptionError

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Records what a function does on the device, and gives what repeats it."""


_recording = threading.Lock()


def capture_on_gpu(
    function: Callable[[], None], *, generator: torch.Generator | None = None
) -> Callable[[], None]:
    """A CUDA graph of what a function does: each replay draws anew, from a generator's seed."""
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    # Other threads, of a server say, may use the GPU meanwhile, but not record.
    with _recording, torch.cuda.graph(graph, capture_error_mode="thread_local"):
        function()
    return graph.replay


def refuse_graphs(asked: bool, device: torch.device) -> None:
    """OptionError where CUDA graphs are asked for on another device."""
    if asked and device.type != "cuda":
        raise OptionError(f"--cuda-graphs: is for NVIDIA GPUs, not for {device.type}; leave it out")

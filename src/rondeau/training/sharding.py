"""Weights, gradients and the optimiser's slots shared out among processes: `--shard`.

At rest each of n processes has an n-th of them; for a step, and for a look, it has the whole
weights for a while. PyTorch's FSDP2 shares them out, its distributed checkpoints keep them: files
of safetensors, which any number of processes reads again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from rondeau.errors import RunError
from rondeau.formats import shown
from rondeau.network.model import Model


def share_out(module: nn.Module, *, device: str, size: int) -> FSDPModule:
    """Keep an n-th of a module's parameters, and the whole of them while it computes."""
    shared: FSDPModule = fully_shard(module, mesh=init_device_mesh(device, (size,)))
    return shared


def whole(model: Model) -> Model:
    """A model of its own with all of the weights, for each process; all call it together."""
    with torch.random.fork_rng(devices=[]):
        copy = Model(model.config, model.vocabulary)
    copy.backend, copy.precision = model.backend, model.precision
    weights = {name: _full(tensor) for name, tensor in model.state_dict().items()}
    copy.load_state_dict(weights)
    return copy.to(next(iter(weights.values())).device)


def set_weights(model: Model, other: Model) -> None:
    """Give a shared model the weights of another one, which each process has whole."""
    weights = dict(other.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            assert isinstance(parameter, DTensor)
            mesh, placements = parameter.device_mesh, parameter.placements
            parameter.copy_(
                distribute_tensor(weights[name].detach(), mesh, placements, src_data_rank=None)
            )


def write_shards(path: Path, model: Model, optimizer: torch.optim.Optimizer) -> None:
    """Write weights and slots into a folder, each process its own; all call it together."""
    with _quietly():
        writer = HuggingFaceStorageWriter(str(path), save_distributed=True)
        save(_tensors(model, optimizer), storage_writer=writer)


def read_shards(path: Path, model: Model, optimizer: torch.optim.Optimizer) -> None:
    """Set weights and slots, shared out in any way or not at all, to what a folder holds.

    Raises RunError for one that isn't of this model. Several processes call it together.
    """
    together = any(isinstance(parameter, DTensor) for parameter in model.parameters())
    for group in optimizer.param_groups:
        for parameter in group["params"] if isinstance(optimizer, torch.optim.Adam) else ():
            slots = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": torch.zeros(()), **slots}
    try:
        with _quietly():
            load(
                _tensors(model, optimizer),
                storage_reader=HuggingFaceStorageReader(str(path)),
                no_dist=not together,
            )
    except (RuntimeError, ValueError, KeyError, CheckpointException) as error:
        reason = shown(str(error).strip().splitlines()[-1])
        raise RunError(f"{path}: isn't a checkpoint of this model: {reason}") from error


def _tensors(model: Model, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What a checkpoint holds, by name."""
    found = {}
    for name, parameter in model.named_parameters():
        found[f"model.{name}"] = parameter.detach()
        for slot, tensor in optimizer.state.get(parameter, {}).items():
            found[f"optimizer.{name}.{slot}"] = tensor
    return found


def _full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's word that one process reads alone, which is meant, or of what we tell."""
    logger = logging.getLogger("torch.distributed.checkpoint")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            yield
    finally:
        logger.setLevel(level)

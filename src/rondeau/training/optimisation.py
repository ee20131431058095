"""One step of learning: optimiser, learning-rate schedule, clipping. It knows no text."""

from __future__ import annotations

import inspect
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from rondeau.config import TrainConfig

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def eager(kind: type[Kind]) -> type[Kind]:
    """A kind of optimiser that leaves PyTorch's compiler alone.

    PyTorch loads it to keep it off these methods, which we never compile: 1.8 s of each start.
    """
    methods = {
        name: inspect.unwrap(getattr(kind, name))
        for name in ("add_param_group", "load_state_dict", "state_dict", "step")
    }
    methods["step"] = torch.no_grad()(methods["step"])
    return type(kind.__name__, (kind,), methods)


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser of the settings; only matrices decay, biases don't."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return eager(torch.optim.SGD)(groups, lr=config.peak_lr, fused=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return eager(kind)(groups, lr=config.peak_lr, betas=(0.9, 0.99), fused=True)


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """The learning rate of a step, 0 ≤ step < steps.

    A linear rise over `warmup` steps (at most a tenth of all); then constant, or a cosine down to a
    fiftieth (Loshchilov & Hutter 2017), or a tenth after half and a hundredth after three quarters.
    """
    warmup = min(config.warmup, steps // 10)
    rate = config.peak_lr
    if step < warmup:
        return rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    if config.schedule == "cosine":
        return rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
    if config.schedule == "step":
        return rate * (1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01)
    return rate


def clip_gradient(model: nn.Module, largest: float) -> Tensor:
    """Scale the gradient to a global norm of at most `largest` (0: leave it); the norm before."""
    gradients, norm = _gradients(model)
    if largest and norm > largest:
        torch._foreach_mul_(gradients, largest / float(norm))
    return norm


def clip_unseen(model: nn.Module, largest: float) -> Tensor:
    """The same without looking at the norm, for which a GPU would have to be waited for."""
    gradients, norm = _gradients(model)
    if largest:
        torch._foreach_mul_(gradients, (largest / norm).clamp(max=1))
    return norm


def unscale_gradient(model: nn.Module, scale: float) -> bool:
    """Divide the gradient by what the loss was multiplied by, if it is finite; whether it is."""
    gradients, norm = _gradients(model)
    if not torch.isfinite(norm):
        return False
    torch._foreach_mul_(gradients, 1 / scale)
    return True


def _gradients(model: nn.Module) -> tuple[list[Tensor], Tensor]:
    """All gradients, and their global norm."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients, foreach=True)
    if hasattr(norm, "full_tensor"):  # of gradients that are shared out
        norm = norm.full_tensor()
    return gradients, norm

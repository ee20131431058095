"""Output layer and cross-entropy in one pass, without keeping the logits of a window.

Logits are made in blocks of rows; each block is turned in place into its gradient and used up by
the products that need it, so that memory doesn't grow with T·B·V. It knows no cells.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, autograd
from torch.autograd.function import once_differentiable

from rondeau.network.backends.numba import check_ids

BLOCK = 2**21
"""Most logits at once (8 MiB in float32)."""


def linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean of −ln softmax(features weightᵀ + bias)[target] in nats.

    features (N, W), weight (V, W), bias (V), targets (N) -> a scalar. On the CPU in float32 by our
    kernel, elsewhere by torch.
    """
    if features.device.type == "cpu" and features.dtype == torch.float32:
        loss: Tensor = _LinearCrossEntropy.apply(features, weight, bias, targets)  # type: ignore[no-untyped-call]
        return loss
    return F.cross_entropy(F.linear(features, weight, bias), targets)


class _LinearCrossEntropy(autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
    ) -> Tensor:
        from rondeau.network.backends.softmax import cross_entropy

        N, V = features.shape[0], weight.shape[0]
        check_ids(targets, V)
        features, bias = features.contiguous(), bias.detach()
        losses = features.new_empty(N)
        d_features, d_weight, d_bias = (torch.empty_like(p) for p in (features, weight, bias))
        rows = max(1, min(N, BLOCK // V))
        buffer = features.new_empty(rows, V)
        for start in range(0, N, rows):
            block = slice(start, min(start + rows, N))
            logits = buffer[: block.stop - start]
            torch.mm(features[block], weight.t(), out=logits)
            arrays = logits.numpy(), bias.numpy(), targets[block].numpy(), losses[block].numpy()
            cross_entropy(len(logits), *arrays, 1 / N)
            torch.mm(logits, weight, out=d_features[block])
            if start == 0:
                torch.mm(logits.t(), features[block], out=d_weight)
                torch.sum(logits, 0, out=d_bias)
            else:
                d_weight.addmm_(logits.t(), features[block])
                d_bias += logits.sum(0)
        ctx.gradients = d_features, d_weight, d_bias
        return losses.double().mean().to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> Any:
        gradients = ctx.gradients
        if d_loss.item() != 1.0:
            gradients = [gradient * d_loss for gradient in gradients]
        return *gradients, None

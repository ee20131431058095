"""Output layer and cross-entropy in one pass, without keeping the logits of a window.

Logits are made in blocks of rows; each block is turned in place into its gradient and used up by
the products that need it, so that memory doesn't grow with T·B·V. It knows no cells.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, autograd, nn
from torch.autograd.function import once_differentiable

from rondeau.network.backends.numba import check_ids
from rondeau.network.precision import product_type

BLOCK = 2**21
"""Most logits at once (8 MiB in float32)."""
LOGITS = 2**23
"""The same where no gradient is wanted (32 MiB in float32)."""


def linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean of −ln softmax(features weightᵀ + bias)[target] in nats.

    features (N, W), weight (V, W), bias (V), targets (N) -> a scalar. On the CPU in float32 by our
    kernel, elsewhere by torch.
    """
    ours = product_type(weight) == features.dtype == torch.float32
    if ours and features.device.type == "cpu":
        loss: Tensor = _LinearCrossEntropy.apply(features, weight, bias, targets)  # type: ignore[no-untyped-call]
        return loss
    return F.cross_entropy(F.linear(features, weight, bias).to(features.dtype), targets)


def each_cross_entropy(features: Tensor, output: nn.Linear, targets: Tensor) -> Tensor:
    """−ln P of each target in nats, (N): features (N, W), targets (N); needs no gradient."""
    step = max(1, LOGITS // output.out_features)
    parts = zip(torch.split(features, step), torch.split(targets, step), strict=True)
    return torch.cat([F.cross_entropy(output(f), t, reduction="none") for f, t in parts])


class _LinearCrossEntropy(autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
    ) -> Tensor:
        from rondeau.network.backends.products import as_array, empty_result, pack, trim
        from rondeau.network.backends.softmax import cross_entropy, output_gradient

        (N, H), V = features.shape, len(weight)
        check_ids(targets, V)
        features, bias = features.detach().contiguous(), bias.detach()
        W_T, W = pack(weight, transposed=True), pack(weight)
        losses, d_bias = features.new_empty(N), torch.empty_like(bias)
        d_features, d_weight = (empty_result(features, rows, H) for rows in (N, V))
        size = max(1, min(N, BLOCK // V))
        buffer = empty_result(features, size, V)
        for start in range(0, N, size):
            block = slice(start, min(start + size, N))
            read, logits = features[block].numpy(), buffer[: block.stop - start].numpy()
            cross_entropy(
                *(len(logits), read, W_T, W, as_array(bias), targets[block].numpy(), 1 / N),
                *(losses[block].numpy(), logits, d_features[block].numpy()),
            )
            packed = pack(features[block])
            output_gradient(V, logits, packed, start > 0, d_weight.numpy(), d_bias.numpy())
        d_features, d_weight = (trim(d, H) for d in (d_features, d_weight))
        ctx.gradients = d_features, d_weight, d_bias
        return losses.double().mean().to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> Any:
        gradients = ctx.gradients
        if d_loss.item() != 1.0:
            gradients = [gradient * d_loss for gradient in gradients]
        return *gradients, None

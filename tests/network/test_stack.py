"""Stacks against torch.nn at every depth and direction, and the lossless mapping of weights."""

import pytest
import torch
from torch import nn

from rondeau.config import ModelConfig
from rondeau.errors import UnsupportedError
from rondeau.network.stack import Masks, Stack, drop

MODULES = [nn.RNN, nn.GRU, nn.LSTM]


def torch_carry(module, carry):
    """Our carry as torch.nn takes it."""
    flat = [state for layer in carry for state in layer]
    parts = [torch.stack(list(part)) for part in zip(*flat, strict=True)]
    return tuple(parts) if isinstance(module, nn.LSTM) else parts[0]


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("backend", ["auto", "reference", "library"])
def test_a_stack_computes_what_torch_computes_with_its_weights(kind, layers, both, backend):
    torch.manual_seed(layers)
    module = kind(4, 7, num_layers=layers, bidirectional=both).double()
    stack = Stack.from_torch(module)
    carry = tuple(
        tuple(type(s)(*(torch.randn_like(p) for p in s)) for s in layer)
        for layer in stack.initial_carry(3)
    )
    inputs = torch.randn(5, 3, 4, dtype=torch.double)
    outputs, last = stack(inputs, carry, backend=backend)
    expected, state = module(inputs, torch_carry(module, carry))
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch_carry(module, last), state, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [*MODULES, lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)])
@pytest.mark.parametrize("both", [False, True])
def test_weights_go_to_torch_and_back_without_loss(kind, both):
    module = kind(4, 7, num_layers=2, bidirectional=both)
    again = Stack.from_torch(module).to_torch()
    for (name, a), (_, b) in zip(module.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(a, b), name


def test_what_has_no_counterpart_is_refused():
    with pytest.raises(UnsupportedError, match="proj_size"):
        Stack.from_torch(nn.LSTM(3, 4, proj_size=2))
    config = ModelConfig(cell="gru", reset="before", hidden=4)
    with pytest.raises(UnsupportedError, match="reset"):
        Stack.from_config(config, 3).to_torch()


def test_two_windows_with_the_carry_between_them_are_one_long_window():
    stack = Stack.from_config(ModelConfig(cell="lstm", hidden=6, layers=2), 3).double()
    inputs = torch.randn(9, 2, 3, dtype=torch.double)
    whole, end = stack(inputs, stack.initial_carry(2))
    first, carry = stack(inputs[:4], stack.initial_carry(2))
    second, last = stack(inputs[4:], carry)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(last[1][0].c, end[1][0].c)


def test_dropout_acts_between_layers_in_training_only_with_one_mask_a_window():
    vectors = torch.ones(5, 2, 40)
    dropped = drop(vectors, 0.5, Masks(torch.Generator().manual_seed(0), slice(None), 2))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped[0], dropped[4])
    stack = Stack.from_config(ModelConfig(hidden=8, layers=2, dropout=0.5), 3)
    inputs, carry = torch.randn(4, 2, 3), stack.initial_carry(2)
    stack.eval()
    assert torch.equal(stack(inputs, carry)[0], stack(inputs, carry)[0])
    stack.train()
    assert not torch.equal(stack(inputs, carry)[0], stack(inputs, carry)[0])

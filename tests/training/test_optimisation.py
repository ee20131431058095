"""Schedules and budgets."""

import copy
import subprocess
import sys
from functools import partial

import pytest
import torch

from rondeau.config import TrainConfig
from rondeau.errors import OptionError
from rondeau.training.budget import fixed_steps, steps_in_time
from rondeau.training.optimisation import clip_gradient, learning_rate, make_optimizer


def rates(schedule, **settings):
    config = TrainConfig(schedule=schedule, lr=1.0, **settings)
    return [learning_rate(step, 1000, config) for step in range(1000)]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_the_rate_rises_over_the_warm_up_to_its_peak(schedule):
    rising = rates(schedule, warmup=50)
    assert rising[0] == pytest.approx(1 / 50)
    assert rising[49] == 1.0
    assert max(rising) == 1.0


def test_schedules_end_where_they_should():
    assert rates("constant", warmup=0)[-1] == 1.0
    assert rates("cosine", warmup=0)[-1] == pytest.approx(0.02, abs=1e-3)
    assert [rates("step", warmup=0)[i] for i in (499, 500, 750)] == [1.0, 0.1, 0.01]


def test_a_short_training_warms_up_for_a_tenth():
    assert learning_rate(2, 20, TrainConfig(lr=1.0, warmup=50, schedule="constant")) == 1.0


def test_clipping_scales_the_whole_gradient_and_reports_its_norm():
    module = torch.nn.Linear(2, 1)
    for clip, expected in ((1.0, 1.0), (0.0, 5.0)):
        module.weight.grad = torch.tensor([[3.0, 0.0]])
        module.bias.grad = torch.tensor([4.0])
        assert float(clip_gradient(module, clip)) == pytest.approx(5.0)
        total = torch.cat([module.weight.grad.ravel(), module.bias.grad]).norm()
        assert float(total) == pytest.approx(expected, rel=1e-4)


def test_only_matrices_decay():
    groups = make_optimizer(torch.nn.Linear(2, 3), TrainConfig(weight_decay=0.1)).param_groups
    assert [(g["weight_decay"], g["params"][0].ndim) for g in groups] == [(0.1, 2), (0.0, 1)]


def stepped(module, optimizer):
    """A module's weights after three steps, the last two of what had been saved."""
    torch.manual_seed(0)
    for _ in range(3):
        module(torch.randn(4, 2)).square().sum().backward()
        optimizer.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return [parameter.tolist() for parameter in module.parameters()]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("sgd", torch.optim.SGD),
        ("adam", partial(torch.optim.Adam, betas=(0.9, 0.99))),
        ("adamw", partial(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=0.1)),
    ],
)
def test_optimisers_are_pytorch_s_own(name, theirs):
    module = torch.nn.Linear(2, 3, bias=False)
    twin = copy.deepcopy(module)
    decay = 0.1 if name == "adamw" else 0.0
    ours = make_optimizer(module, TrainConfig(optimizer=name, lr=0.5, weight_decay=decay))
    assert stepped(module, ours) == stepped(twin, theirs(twin.parameters(), lr=0.5, fused=True))


def test_they_do_not_load_pytorch_s_compiler():
    script = (
        "import sys, torch\n"
        "from rondeau.config import TrainConfig\n"
        "from rondeau.training.optimisation import make_optimizer\n"
        "module = torch.nn.Linear(2, 3)\n"
        "module(torch.ones(2)).sum().backward()\n"
        "optimizer = make_optimizer(module, TrainConfig())\n"
        "optimizer.step()\n"
        "optimizer.load_state_dict(optimizer.state_dict())\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_budget_becomes_steps():
    assert fixed_steps(TrainConfig(steps=7), 10) == 7
    assert fixed_steps(TrainConfig(epochs=3), 10.5) == 32
    assert fixed_steps(TrainConfig(minutes=1), 10) is None
    assert steps_in_time(TrainConfig(minutes=1), 10, 0.1, 0.0) == 600
    assert steps_in_time(TrainConfig(), 1e6, 0.1, 0.0) == 6000
    assert steps_in_time(TrainConfig(), 100, 0.001, 0.0) == 3000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 1, "steps": 1}, "--epochs and --steps: give only one budget"),
        ({"steps": 1, "minutes": 1.0}, "--steps and --minutes"),
        ({"hidden": 0}, "--hidden 0: must be at least 1"),
        ({"hidden": 2.5}, "--hidden 2.5: must be a whole number"),
        ({"cell": "transformer"}, "--cell transformer: choose one of rnn, gru, lstm"),
        ({"documents": "page"}, "--documents page: choose one of file, blank-line, line"),
        ({"dropout": 1.0}, "--dropout 1.0"),
        ({"lr": -1.0}, "--lr -1.0: must be above 0"),
        ({"minutes": float("inf")}, "--minutes inf: must be a finite number"),
        ({"tie_weights": "yes"}, "--tie-weights yes: is true or false"),
    ],
)
def test_impossible_settings_are_refused_at_birth_by_name(settings, message):
    with pytest.raises(OptionError, match=message):
        TrainConfig(**settings)


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**400, float("inf"), float("nan"), True, "1"])
@pytest.mark.parametrize("name", ["batch", "lr", "steps", "clip"])
def test_numbers_that_no_machine_counts_with_are_refused(name, value):
    with pytest.raises(OptionError, match=f"--{name} "):
        TrainConfig(**{name: value})

"""Steps that are recorded and replayed, by a recorder on the CPU in the place of CUDA graphs."""

from functools import partial

import numpy as np
import pytest
import torch
from recording import record

import rondeau
from rondeau.config import ModelConfig, TrainConfig
from rondeau.errors import OptionError, TrainingError
from rondeau.network.model import Model
from rondeau.text.batches import Windows
from rondeau.training import loop, train
from rondeau.training.captured import CapturedStep
from rondeau.training.group import ALONE
from rondeau.training.learning import Learner
from rondeau.training.optimisation import make_optimizer

CPU = torch.device("cpu")
SETTINGS = {
    "hidden": 9,
    "layers": 2,
    "batch": 4,
    "seq_len": 6,
    "dropout": 0.3,
    "seed": 3,
    "bidirectional": False,
}
TEXT = "小猫白大来了狗\n" * 20


def unrecorded(function, generator):
    """A step as it is, each time."""
    return function


@pytest.fixture
def graphs(monkeypatch):
    """The recorder, where a training would record on a GPU."""
    recorded = partial(CapturedStep, capture=record)
    monkeypatch.setattr(loop, "CapturedStep", recorded)
    monkeypatch.setattr(train, "refuse_uncaptured", lambda *_: None)


def trained(tmp_path, name, **settings):
    """The events of a training, and its folder."""
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    settings = SETTINGS | {"split": "none", "backend": "reference", "device": "cpu"} | settings
    return rondeau.train(text, TrainConfig(**settings), out=tmp_path / name)


def weights(run):
    """The bytes of a run's model."""
    return (run / "model.safetensors").read_bytes()


def curve(capture, steps=12, **settings):
    """Losses, norms and the last weights of some steps, carried from each to the next."""
    config = TrainConfig(**SETTINGS | {"backend": "reference", "clip": 0.5} | settings)
    torch.manual_seed(0)
    model = Model(ModelConfig.of(config), 11).train()
    model.backend, model.precision = config.backend, config.precision
    ring = np.random.default_rng(0).integers(3, 11, 200)
    windows = Windows(ring, np.zeros(11, bool), config.batch, config.seq_len, seed=1)
    learner = Learner(model, windows, config, group=ALONE, device=CPU)
    optimizer = make_optimizer(model, config)
    captured = CapturedStep(learner, optimizer, clip=config.clip, capture=capture)
    carry, told = learner.initial_carry, []
    for step in range(steps):
        loss, norm, carry = captured(step, 0.01 / (step + 1), carry)
        told += [float(loss), float(norm)]
    assert captured.failure() is None
    return told, [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("cell", [{"cell": "lstm"}, {"reset": "before"}, {"embedding": 5}])
def test_a_replayed_step_is_the_step_to_the_bit(cell, optimizer):
    replayed, expected = (curve(c, optimizer=optimizer, **cell) for c in (record, unrecorded))
    assert replayed[0] == expected[0]
    assert len(set(expected[0])) == len(expected[0])
    assert all(map(torch.equal, replayed[1], expected[1]))


def test_a_replayed_step_in_lowered_precision_is_the_step_to_the_bit():
    replayed, expected = (curve(c, precision="bfloat16") for c in (record, unrecorded))
    assert replayed[0] == expected[0] != curve(unrecorded)[0]


def test_what_would_have_to_be_waited_for_cannot_be_recorded():
    number = torch.ones(())
    with pytest.raises(AssertionError, match="waited for"):
        record(lambda: float(number), torch.Generator())


@pytest.mark.parametrize("sampling", ["consecutive", "random"])
@pytest.mark.usefixtures("graphs")
def test_a_recorded_training_is_the_training(tmp_path, sampling):
    settings = {"steps": 25, "sampling": sampling, "clip": 0.3, "eval_every": 9}
    asked, plain = (
        list(trained(tmp_path, str(graphs), cuda_graphs=graphs, **settings))
        for graphs in (True, False)
    )
    for name in ("loss", "gradient_norm"):
        told = [[getattr(event, name) for event in events] for events in (asked, plain)]
        assert told[0] == pytest.approx(told[1], rel=1e-5)
    assert [event.step for event in asked] == [event.step for event in plain]


@pytest.mark.usefixtures("graphs")
def test_a_recorded_training_goes_on_to_the_same_bits(tmp_path):
    settings = {"steps": 20, "cuda_graphs": True, "checkpoint_every": 8}
    trained(tmp_path, "whole", **settings).finish()
    cut = trained(tmp_path, "cut", **settings)
    for event in cut:
        if event.step == 10:
            break
    rondeau.resume(tmp_path / "cut").finish()
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@pytest.mark.usefixtures("graphs")
def test_after_a_loss_that_is_not_finite_nothing_more_is_learned(tmp_path):
    settings = {"cell": "rnn", "activation": "relu", "lr": 1e18, "optimizer": "sgd", "warmup": 0}
    settings |= {"steps": 30, "clip": 0.0, "checkpoint_every": 2, "dropout": 0.0}
    messages = []
    for graphs in (True, False):
        training = trained(tmp_path, str(graphs), cuda_graphs=graphs, **settings)
        with pytest.raises(TrainingError) as failed:
            list(training)
        messages.append(str(failed.value))
    assert messages[0] == messages[1]


def test_steps_that_have_to_be_waited_for_are_refused(tmp_path):
    for other in ({"accumulate": 2}, {"precision": "float16"}, {"detect_anomaly": True}):
        with pytest.raises(OptionError, match="--cuda-graphs: can't be had with"):
            TrainConfig(cuda_graphs=True, **other)
    with pytest.raises(OptionError, match="--cuda-graphs: is for NVIDIA GPUs, not for cpu"):
        trained(tmp_path, "run", cuda_graphs=True)
    assert not (tmp_path / "run").exists()

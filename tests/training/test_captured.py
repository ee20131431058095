"""Steps that are recorded and replayed, by a recorder on the CPU in the place of CUDA graphs."""

import math
from functools import partial

import pytest
import torch
from small import SIZES, small_learner

import rondeau
from recording import record
from rondeau.config import TrainConfig
from rondeau.errors import OptionError, TrainingError
from rondeau.network.cells import map_carry
from rondeau.training import loop, train
from rondeau.training.captured import CapturedStep
from rondeau.training.optimisation import make_optimizer

SETTINGS = SIZES | {"dropout": 0.3, "seed": 3}
TEXT = "小猫白大来了狗\n" * 20


def unrecorded(function):
    """A step as it is, each time."""
    return function


@pytest.fixture
def graphs(monkeypatch):
    """The recorder, where a training would record on a GPU."""
    recorded = partial(CapturedStep, capture=record)
    monkeypatch.setattr(loop, "CapturedStep", recorded)
    monkeypatch.setattr(train, "_as_can_be", lambda config, _: (config, []))
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


def captured_step(capture, **settings):
    """The steps of a small model, and the state before the first."""
    learner = small_learner(dropout=0.3, **settings)
    optimizer = make_optimizer(learner.model, learner.config)
    step = CapturedStep(learner, optimizer, clip=0.5, capture=capture)
    return step, learner.initial_carry


def curve(capture, **settings):
    """Losses, norms and the last weights of 12 steps, carried from each to the next."""
    (step, carry), told = captured_step(capture, **settings), []
    for number in range(12):
        loss, norm, carry = step(number, 0.01 / (number + 1), carry)
        told += [float(loss), float(norm)]
    assert step.failure() is None
    return told, [p.detach().clone() for p in step.learner.model.parameters()]


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
        record(lambda: float(number))


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


def test_a_run_goes_on_where_there_is_no_gpu_and_says_what_it_goes_without(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(train, "refuse_uncaptured", lambda *_: None)
        patched.setattr(train, "set_precision", lambda *_: None)
        patched.setattr(loop, "CapturedStep", partial(CapturedStep, capture=record))
        settings = {"steps": 9, "cuda_graphs": True, "precision": "tf32", "checkpoint_every": 4}
        next(iter(trained(tmp_path, "run", **settings)))
    training = rondeau.resume(tmp_path / "run")
    said = [note.split(",")[0] for note in training.notes]
    assert {"without --cuda-graphs", "in float32"} <= set(said)
    assert [event.step for event in training][-1] == 9


@pytest.mark.usefixtures("graphs")
def test_who_interrupts_after_trouble_that_nobody_has_seen_keeps_what_was_learned(tmp_path):
    training = trained(tmp_path, "run", steps=30, cuda_graphs=True, checkpoint_every=8)
    at = training.captured.__class__.__call__

    def interrupted(self, step, rate, carry):
        if step == 12:
            carry = broken(carry)
        if step == 13:
            training.interrupt()
        return at(self, step, rate, carry)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CapturedStep, "__call__", interrupted)
        list(training)
    assert training.step == 8
    assert rondeau.resume(tmp_path / "run").step == 8


def broken(carry):
    """A state that isn't a number."""
    return map_carry(lambda part: part * math.nan, carry)


@pytest.mark.usefixtures("graphs")
def test_after_trouble_it_goes_back_and_on_from_what_was_saved(tmp_path):
    settings, told = {"steps": 30, "checkpoint_every": 8, "clip": 0.3}, []
    for graphs in (True, False):
        training = trained(tmp_path, str(graphs), cuda_graphs=graphs, **settings)
        events = []
        for event in training:
            events.append(event)
            if event.step == 10 and len(events) == 2:
                training.carry = broken(training.carry)
        told.append([(event.step, event.note, pytest.approx(event.loss)) for event in events])
    assert told[0] == [(step, note, loss.expected) for step, note, loss in told[1]]
    assert [note for _, note, _ in told[0] if note] == [
        "step 11: the loss is not finite; going on after step 8 at a third of the learning rate"
    ]


def test_from_the_first_loss_that_is_not_finite_the_weights_stay_as_they_are():
    step, carry = captured_step(record)
    for number in range(9):
        _, _, carry = step(number, 0.01, broken(carry) if number == 6 else carry)
        if number == 5:
            before = [p.detach().clone() for p in step.learner.model.parameters()]
        carry = step.learner.initial_carry
    assert all(map(torch.equal, before, step.learner.model.parameters()))
    assert step.failure() == (2, "loss")


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

"""Curves for TensorBoard, read back by TensorBoard's own reader."""

import builtins

import pytest
import torch

import rondeau
from conftest import SMALL
from rondeau.errors import TrainingError, UnsupportedError
from rondeau.training.tensorboard import FOLDER, to_tensorboard

SETTINGS = rondeau.TrainConfig(**SMALL, documents="blank-line", steps=40, eval_every=20, gates=True)
CURVES = {
    "loss/training", "loss/held out", "learning rate", "gradient norm", "tokens per second",
}  # fmt: skip


def written(run):
    """What TensorBoard would show of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run / FOLDER)).Reload()


def curve(board, tag):
    return [(point.step, pytest.approx(point.value)) for point in board.Scalars(tag)]


def test_curves_samples_and_gates_are_those_of_the_events(rhymes, tmp_path):
    events = list(to_tensorboard(rondeau.train(rhymes, SETTINGS, out=tmp_path / "run")))
    looks = [event for event in events if event.held_out]
    board = written(tmp_path / "run")
    tags = board.Tags()
    assert set(tags["scalars"]) >= CURVES
    assert curve(board, "loss/training") == [(e.step, e.loss) for e in events]
    assert curve(board, "gradient norm") == [(e.step, e.gradient_norm) for e in events]
    assert curve(board, "loss/held out") == [(e.step, e.held_out.loss) for e in looks]
    assert len(board.Tensors("sample/text_summary")) == len(looks)
    gate = "gates/layer 1 forward z"
    assert curve(board, f"{gate} open") == [(e.step, e.gates[1].open) for e in looks]
    histogram = board.Histograms(gate)[-1].histogram_value
    assert histogram.bucket == pytest.approx(looks[-1].gates[1].tenths)


def test_a_resumed_training_goes_on_with_the_same_curves(rhymes, tmp_path):
    training = rondeau.train(rhymes, SETTINGS, out=tmp_path / "run")
    seen = []
    for event in to_tensorboard(training):
        seen.append(event)
        if event.step == 30:  # as if cut off: what was trained since the look at 20 is lost
            break
    again = rondeau.resume(tmp_path / "run")
    assert again.step == 20
    seen = [event for event in seen if event.step <= 20] + list(to_tensorboard(again))
    assert curve(written(tmp_path / "run"), "loss/training") == [(e.step, e.loss) for e in seen]


def test_steps_that_are_trained_again_after_a_step_back_stand_there_once(rhymes, tmp_path):
    training = rondeau.train(rhymes, SETTINGS, out=tmp_path / "run")
    plain, calls = training.model.loss, []

    def poisoned(*arguments, **settings):
        loss, carry = plain(*arguments, **settings)
        calls.append(loss)
        return (loss * torch.nan if len(calls) == 35 else loss), carry

    training.model.loss = poisoned
    events = {event.step: event for event in to_tensorboard(training)}  # the last of each step
    assert len(calls) > 40
    shown = curve(written(tmp_path / "run"), "loss/training")
    assert shown == [(step, event.loss) for step, event in sorted(events.items())]


def test_a_leaked_loss_is_never_shown_as_a_held_out_one(rhymes, tmp_path):
    settings = rondeau.TrainConfig(**SMALL, documents="blank-line", steps=10, bidirectional=True)
    list(to_tensorboard(rondeau.train(rhymes, settings, out=tmp_path / "run")))
    tags = written(tmp_path / "run").Tags()["scalars"]
    assert "loss/leaked" in tags
    assert "loss/held out" not in tags


def test_curves_that_cannot_be_written_end_the_training_with_advice(rhymes, tmp_path):
    training = rondeau.train(rhymes, SETTINGS, out=tmp_path / "run")
    (tmp_path / "run" / FOLDER).write_text("in the way")
    with pytest.raises(TrainingError, match="--resume, without --tensorboard"):
        next(to_tensorboard(training))


def test_without_the_package_the_extra_is_named_before_anything_is_written(
    rondeau, rhymes, tmp_path, monkeypatch
):
    plain = builtins.__import__

    def missing(name, *rest):
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    out = tmp_path / "run"
    code, _, stderr = rondeau("train", rhymes, "--out", out, "--tensorboard")
    assert code == 2
    assert "pip install 'rondeau[tensorboard]'" in stderr
    assert not out.exists()
    with pytest.raises(UnsupportedError):
        next(to_tensorboard(None))

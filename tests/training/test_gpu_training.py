"""Trainings on an NVIDIA GPU, and what is done with their models, beside the CPU."""

import pytest
import torch
from small import SIZES

import rondeau
from rondeau.config import DecodingConfig, TrainConfig

if not torch.cuda.is_available():
    pytest.skip("there is no NVIDIA GPU here", allow_module_level=True)

SETTINGS = SIZES | {"hidden": 40, "steps": 30, "checkpoint_every": 15, "eval_every": 15}


def trained(tmp_path, name, **settings):
    """A training that hasn't begun."""
    text = tmp_path / "text.txt"
    text.write_text("小猫白大来了狗\n\n" * 80, encoding="utf-8")
    settings = SETTINGS | {"dropout": 0.0, "documents": "blank-line"} | settings
    return rondeau.train(text, TrainConfig(**settings), out=tmp_path / name)


def losses(tmp_path, name, **settings):
    """The losses of a training."""
    return [event.loss for event in trained(tmp_path, name, **settings)]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_the_curve_is_that_of_the_cpu(tmp_path, cell, backend):
    expected = losses(tmp_path, "cpu", cell=cell, device="cpu")
    training = trained(tmp_path, "gpu", cell=cell, backend=backend)
    assert training.device.type == "cuda"
    assert [event.loss for event in training] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_in_lowered_precision_it_learns_as_much(tmp_path, precision):
    expected = losses(tmp_path, "exact", device="cuda")
    lowered = losses(tmp_path, "lowered", device="cuda", precision=precision)
    assert lowered == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3}, {"precision": "bfloat16"}])
@pytest.mark.parametrize("cell", [{}, {"reset": "before"}, {"cell": "lstm", "embedding": 8}])
def test_a_recorded_training_is_the_training(tmp_path, settings, cell):
    settings = settings | cell | {"device": "cuda", "clip": 0.3}
    expected = losses(tmp_path, "plain", **settings)
    assert losses(tmp_path, "recorded", cuda_graphs=True, **settings) == pytest.approx(
        expected, rel=0.02 if "precision" in settings else 1e-3
    )


@pytest.mark.parametrize("graphs", [False, True])
def test_a_training_goes_on_where_it_was(tmp_path, graphs):
    settings = {"device": "cuda", "cuda_graphs": graphs, "dropout": 0.3}
    whole = {event.step: event.loss for event in trained(tmp_path, "whole", **settings)}
    for event in trained(tmp_path, "cut", **settings):
        if event.step == 20:
            break
    rest = {event.step: event.loss for event in rondeau.resume(tmp_path / "cut")}
    assert min(rest) == 20
    assert rest == {step: pytest.approx(whole[step], rel=1e-3) for step in rest}


def test_a_model_is_used_as_on_the_cpu(tmp_path):
    trained(tmp_path, "run", device="cuda", embedding=8).finish()
    gpu, cpu = (rondeau.load(tmp_path / "run", device=device) for device in ("cuda", "cpu"))
    for own, expected in zip(gpu.evaluate(), cpu.evaluate(), strict=True):
        assert own.bits == pytest.approx(expected.bits, rel=1e-4)
    assert gpu.score("小猫白大").bits == pytest.approx(cpu.score("小猫白大").bits, rel=1e-4)
    greedy = DecodingConfig(greedy=True)
    (own,), (expected,) = (m.generate("小", length=30, decoding=greedy) for m in (gpu, cpu))
    assert own.text == expected.text
    recorded = rondeau.load(tmp_path / "run", device="cuda", cuda_graphs=True)
    texts = [model.generate("小", length=30, num_samples=7, seed=1) for model in (gpu, recorded)]
    assert texts[0] == texts[1]
    assert gpu.inspect("小猫白大来了狗")


def test_a_cloze_model_is_used_as_on_the_cpu(tmp_path):
    trained(tmp_path, "run", device="cuda", objective="cloze", bidirectional=True).finish()
    gpu, cpu = (rondeau.load(tmp_path / "run", device=device) for device in ("cuda", "cpu"))
    for own, expected in zip(gpu.evaluate_cloze(), cpu.evaluate_cloze(), strict=True):
        assert own.bits == pytest.approx(expected.bits, rel=1e-4)
    own, expected = (model.infill("小＿白") for model in (gpu, cpu))
    assert own[0].text == expected[0].text

"""Trainings whose products are computed in bfloat16 or float16."""

import pytest
from small import SIZES, small_learner

import rondeau
from rondeau.config import TrainConfig
from rondeau.errors import OptionError


def gradients(precision, factor, **settings):
    """The gradient of so many times a small model's loss, divided by it again."""
    learner = small_learner(precision=precision, dropout=0.0, **settings)
    plain = learner.model.loss

    def loss(*arguments, **named):
        value, carry = plain(*arguments, **named)
        return value * factor, carry

    learner.model.loss = loss
    learner.gradient(0, learner.initial_carry)
    return [p.grad / factor for p in learner.model.parameters()]


@pytest.mark.parametrize("factor", [1e-5, 1.0, 1e4])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_in_float16_neither_vanish_nor_overflow(factor, accumulate):
    exact = gradients("float32", 1.0)
    for own, truth in zip(gradients("float16", factor, accumulate=accumulate), exact, strict=True):
        assert float((own - truth).norm() / truth.norm()) < 1e-2


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_training_in_lowered_precision_learns_as_much_and_goes_on_to_the_same_bits(
    tmp_path, precision
):
    text = tmp_path / "text.txt"
    text.write_text("小猫白大来了狗\n" * 40, encoding="utf-8")
    settings = SIZES | {"steps": 40, "checkpoint_every": 20, "split": "none", "device": "cpu"}
    losses, weights = {}, []
    for name in ("float32", precision):
        config = TrainConfig(**settings, precision=name)
        losses[name] = [e.loss for e in rondeau.train(text, config, out=tmp_path / name)]
    assert losses[precision] == pytest.approx(losses["float32"], rel=0.02)
    assert losses[precision] != losses["float32"]
    for event in rondeau.train(
        text, TrainConfig(**settings, precision=precision), out=tmp_path / "cut"
    ):
        if event.step == 30:
            break
    for run in (tmp_path / precision, tmp_path / "cut"):
        rondeau.resume(run).finish()
        weights.append((run / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    used = [
        rondeau.load(tmp_path / "cut", precision=p).score("小猫白") for p in ("float32", precision)
    ]
    assert used[0] != used[1]
    assert used[1].bits == pytest.approx(used[0].bits, rel=0.02)


def test_tf32_is_refused_before_a_training_begins(tmp_path):
    with pytest.raises(OptionError, match="--precision tf32: is for NVIDIA GPUs, not for cpu"):
        rondeau.train((), TrainConfig(precision="tf32", device="cpu"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()

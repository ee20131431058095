"""`--gates`: how far the gates are open while a model is trained."""

import numpy as np
import pytest
import torch

import rondeau
from conftest import SMALL
from rondeau.errors import OptionError
from rondeau.run.folder import RunFolder
from rondeau.run.metrics import read_events
from rondeau.training.saturation import gate_shares


def train(corpus, out, **settings):
    settings = SMALL | {"documents": "blank-line", "steps": 20, "eval_every": 10} | settings
    return rondeau.train(corpus, rondeau.TrainConfig(**settings, gates=True), out=out)


def test_gates_of_every_layer_are_told_at_looks_and_kept(rhymes, tmp_path):
    events = list(train(rhymes, tmp_path / "run", cell="lstm", layers=2))
    assert [e.gates is not None for e in events] == [False, True, True]
    told = events[-1].gates
    assert [(g.layer, g.gate) for g in told] == [(k, g) for k in (1, 2) for g in "ifo"]
    for gate in told:
        assert sum(gate.tenths) == pytest.approx(1)
        assert gate.shut == pytest.approx(gate.tenths[0], abs=1e-6)
        assert gate.open == pytest.approx(gate.tenths[-1], abs=1e-6)
    stored = read_events(RunFolder(tmp_path / "run"))[-1]["gates"]
    assert [(g["gate"], g["shut"], g["open"]) for g in stored] == [
        (g.gate, g.shut, g.open) for g in told
    ]


def test_a_gate_forced_open_or_shut_is_told_so(rhymes, tmp_path):
    training = train(rhymes, tmp_path / "run")
    hidden = SMALL["hidden"]
    with torch.no_grad():
        cell = training.model.stack.cells[0][0]
        cell.weight_x.zero_()
        cell.weight_h.zero_()
        # r: half of the units at σ(3) = 0.95, half at σ(−3) = 0.05; z: all at σ(0) = 0.5.
        cell.bias_h.zero_()
        cell.bias_x.zero_()
        cell.bias_x[: hidden // 2] = 3
        cell.bias_x[hidden // 2 : hidden] = -3
    r, z = gate_shares(training.model, training.corpus)
    assert (r.shut, r.open) == (0.5, 0.5)
    np.testing.assert_allclose(r.tenths, [0.5, *[0] * 8, 0.5])
    assert (z.shut, z.open) == (0, 0)
    assert sum(z.tenths[4:6]) == 1


def test_both_directions_are_told_and_the_training_text_serves_without_a_validation_split(
    rhymes, tmp_path
):
    training = train(rhymes, tmp_path / "run", split="none", objective="cloze")
    told = [event.gates for event in training][-1]
    assert [(g.direction, g.gate) for g in told] == [
        ("forward", "r"), ("forward", "z"), ("backward", "r"), ("backward", "z"),
    ]  # fmt: skip


def test_looking_at_gates_changes_no_bit_of_the_training(rhymes, tmp_path):
    seen = train(rhymes, tmp_path / "seen", dropout=0.3)
    settings = SMALL | {"documents": "blank-line", "steps": 20, "eval_every": 10, "dropout": 0.3}
    unseen = rondeau.train(rhymes, rondeau.TrainConfig(**settings), out=tmp_path / "unseen")
    for training in (seen, unseen):
        training.finish()
    assert seen.folder.read("model.safetensors") == unseen.folder.read("model.safetensors")


def test_a_cell_without_gates_is_refused():
    with pytest.raises(OptionError, match="--gates: the rnn cell has none"):
        rondeau.TrainConfig(cell="rnn", gates=True)


def test_the_progress_names_each_layer_and_gate(rondeau, rhymes, tmp_path):
    code, _, stderr = rondeau(
        "train", rhymes, "--documents", "blank-line", "--out", tmp_path / "run", "--hidden", 8,
        "--batch", 4, "--seq-len", 16, "--steps", 10, "--threads", 1, "--layers", 2, "--gates",
    )  # fmt: skip
    assert code == 0, stderr
    assert "gates of layer 2: r " in stderr
    assert "% shut, " in stderr

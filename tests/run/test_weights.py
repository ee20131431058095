"""Models and checkpoints on disk: they come back to the bit, or not at all."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rondeau
from rondeau.config import ModelConfig
from rondeau.errors import RunError
from rondeau.network.model import Model
from rondeau.run.checkpoints import (
    Checkpoint,
    latest_checkpoint,
    name_checkpoint,
    write_checkpoint,
)
from rondeau.run.folder import RunFolder, to_json
from rondeau.run.weights import config_to_dict, load_weights, weights_to_bytes

shapes = st.builds(
    ModelConfig,
    cell=st.sampled_from(["rnn", "gru", "lstm"]),
    hidden=st.integers(1, 9),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    embedding=st.integers(1, 5),
    tie_weights=st.booleans(),
)


@given(shapes, st.integers(2, 20))
@settings(max_examples=40)
def test_weights_come_back_to_the_bit(config, vocabulary):
    model, other = Model(config, vocabulary), Model(config, vocabulary)
    load_weights(other, weights_to_bytes(model), "weights")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))  # noqa: B905


def test_weights_of_another_shape_are_refused():
    small, large = Model(ModelConfig(hidden=3), 9), Model(ModelConfig(hidden=4), 9)
    with pytest.raises(RunError, match=r"doesn't fit the run's config\.json"):
        load_weights(large, weights_to_bytes(small), "weights")
    with pytest.raises(RunError, match="weights: is not a file of tensors"):
        load_weights(small, b"no weights at all", "weights")


def test_only_the_latest_and_the_best_checkpoint_are_kept(tmp_path):
    folder = RunFolder.create(tmp_path)
    model = Model(ModelConfig(hidden=2), 5)
    folder.change({"config.json": to_json(config_to_dict(model, whole_documents=True))})
    for step, best in ((10, 10), (20, 10), (30, 10), (40, 40)):
        checkpoint = Checkpoint(step, weights_to_bytes(model), {"step": step})
        write_checkpoint(folder, checkpoint)
        name_checkpoint(folder, step, best=best, keep=1, others={})
    assert latest_checkpoint(folder)[0].state == {"format_version": 1, "step": 40}
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert kept == ["index.json", "step-00000040"]


def test_a_checkpoint_that_a_damaged_manifest_does_not_name_is_missed(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    name = "checkpoints/step-00000060/training_state.pt"
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(manifest.replace(name, name.replace("60", "6O")))
    checkpoint, damage = latest_checkpoint(RunFolder(copy))
    assert checkpoint.step < 60
    assert ["step-00000060: is not in the manifest" in said for said in damage] == [True]


def test_a_loaded_run_is_the_model_that_was_trained(run):
    model = rondeau.load(run)
    assert not model.model.training
    assert model.model.vocabulary == len(model.tokenizer)
    torch.random.manual_seed(5)
    state = torch.random.get_rng_state()
    rondeau.load(run)
    assert torch.equal(state, torch.random.get_rng_state()), "loading draws no random numbers"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_run_is_refused(run, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(RunError, match=f"{name}: is damaged"):
        rondeau.load(copy)

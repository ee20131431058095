"""Weights shared out among processes, kept by one number of them and read by another."""

import json
import shutil

import pytest
import torch
from launching import SMALL, flags, launch
from runs import image

import rondeau
from rondeau.cli import main
from rondeau.config import TrainConfig
from rondeau.errors import OptionError, RunError
from rondeau.files import sha256
from rondeau.run.checkpoints import latest_checkpoint
from rondeau.run.folder import RunFolder
from rondeau.training.gather import gather

SETTINGS = {"cell": "lstm", "steps": 40, "eval_every": 20, "checkpoint_every": 15, "keep": 1}


def told(folder):
    """The numbers of a finished run."""
    return json.loads((folder / "results.json").read_text())["held_out"]


def test_a_training_of_two_goes_on_in_three_processes_and_becomes_an_ordinary_run(
    rhymes, tmp_path, capfd
):
    whole, run, gathered = (tmp_path / name for name in ("whole", "run", "gathered"))
    rondeau.train(rhymes, TrainConfig(**SMALL, **SETTINGS), out=whole).finish()
    ended = launch(
        2, "train", rhymes, *flags(**SETTINGS), "--shard", "--out", run, terminate=[18, 1]
    )
    assert "interrupted after step 20, which is saved" in ended.said
    assert not (run / "model.safetensors").exists()
    with pytest.raises(OptionError, match="--shard: there is one process only"):
        rondeau.resume(run)

    (_, shard) = sorted(run.rglob("*.safetensors"))
    for forged in (False, True):
        spoiled = shutil.copytree(run, tmp_path / f"spoiled, {forged}")
        path = spoiled / shard.relative_to(run)
        path.write_bytes(path.read_bytes()[:-1])
        if forged:
            manifest = json.loads((spoiled / "manifest.json").read_bytes())
            manifest["files"][str(shard.relative_to(run))] = [sha256(path.read_bytes())]
            (spoiled / "manifest.json").write_text(json.dumps(manifest))
        before = image(spoiled / "checkpoints")
        with pytest.raises(RunError, match="shards: isn't a checkpoint" if forged else shard.name):
            gather(spoiled)
        assert image(spoiled / "checkpoints") == before
    assert capfd.readouterr().err == ""

    shutil.copytree(run, gathered)
    assert gather(gathered) == [20]
    checkpoint, _ = latest_checkpoint(RunFolder.open(gathered))
    slots = checkpoint.state["optimizer"]["state"].values()
    assert {slot["exp_avg"].shape for slot in slots} >= {torch.Size([12, 48])}
    assert {float(slot["step"]) for slot in slots} == {20}
    rondeau.resume(gathered).finish()

    ended = launch(3, "train", "--resume", run)
    assert ended.code == 0, ended.said
    for folder in (run, gathered):
        for row, wanted in zip(told(folder), told(whole), strict=True):
            torch.testing.assert_close(row["perplexity"], wanted["perplexity"], rtol=1e-4, atol=0)

    with pytest.raises(SystemExit, match="0"):
        main(["gather", str(run)])
    assert "is an ordinary run now, its checkpoints after 40 steps whole" in capfd.readouterr().out
    assert rondeau.load(run).generate("猫", length=5)
    before = image(run)
    with pytest.raises(SystemExit, match="2"):
        main(["gather", str(run)])
    assert "is a run for one process already" in capfd.readouterr().err
    assert image(run) == before

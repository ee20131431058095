"""Going on from the command line, and being ended from outside where nothing was saved yet."""

import os
import signal

import pytest

import rondeau as package
from conftest import SMALL


@pytest.fixture
def cut(tmp_path, rhymes):
    """A run without a checkpoint."""
    config = package.TrainConfig(**SMALL, documents="blank-line", steps=20)
    return package.train(rhymes, config, out=tmp_path / "run").folder.path


def test_a_run_goes_on_with_its_own_settings_whatever_the_environment_says(
    rondeau, cut, monkeypatch
):
    monkeypatch.setenv("RONDEAU_HIDDEN", "99")
    monkeypatch.setenv("RONDEAU_THREADS", "2")
    monkeypatch.setenv("RONDEAU_QUIET", "true")
    code, stdout, stderr = rondeau("train", "--resume", cut)
    assert (code, stderr) == (0, ""), stderr  # what isn't a setting is heard
    assert "after step 20" in stdout
    assert package.load(cut).info()["settings"]["hidden"] == SMALL["hidden"]


def test_settings_that_are_given_for_a_run_that_goes_on_are_refused(rondeau, cut, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("hidden = 16\n")
    for given in (["--config", recipe], ["--hidden", 16], ["--threads", 2]):
        code, _, stderr = rondeau("train", "--resume", cut, *given)
        assert code == 2
        assert "its own settings" in stderr


@pytest.mark.parametrize(("number", "left"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "where",
    [
        "text.loading.read_documents",
        "training.loop.seconds_per_step",
        "training.loop.final_numbers",
    ],
)
def test_a_signal_while_it_reads_measures_or_evaluates_leaves_with_its_code(
    rondeau, rhymes, tmp_path, monkeypatch, number, left, where
):
    monkeypatch.setattr(f"rondeau.{where}", lambda *_, **__: os.kill(os.getpid(), number))
    out = tmp_path / "run"
    settings = ["--hidden", 8, "--documents", "blank-line", "--threads", 1, "--out", out, "--quiet"]
    budget = ["--minutes", 1] if "seconds" in where else ["--steps", 2]
    code, stdout, stderr = rondeau("train", rhymes, *settings, *budget)
    assert (code, stdout) == (left, "")
    assert out.exists() == ("final" in where)
    assert stderr == (
        f"rondeau: interrupted after step 2, which is saved; rondeau train --resume {out} goes on\n"
        if out.exists()
        else ""
    )

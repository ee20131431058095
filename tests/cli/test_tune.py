"""`rondeau tune`: what it prints, what it leaves, how it is left, and what it refuses."""

import json
import os
import signal

import pytest

from rondeau.studies import tune as study
from rondeau.studies.worker import Worker

TINY = [
    "--hidden", 8, "--batch", 4, "--seq-len", 8, "--steps", 20, "--documents", "blank-line",
    "--threads", 2, "--backend", "reference",
]  # fmt: skip


def test_trials_in_two_processes_leave_a_recipe_that_trains(rondeau, rhymes, tmp_path):
    out = tmp_path / "tuned"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('dropout = 0.1\n[search]\nlr = "0.001..0.1"\ncell = ["rnn", "gru"]\n')
    code, stdout, stderr = rondeau(
        "tune", rhymes, "--config", recipe, "--trials", 3, "--workers", 2, "--out", out, *TINY
    )
    assert code == 0, stderr
    assert "searched: lr=0.001..0.1 cell=rnn,gru" in stderr
    assert "by 2 workers, 1 thread each" in stderr
    assert stderr.count("\ntrial ") == 3
    assert "it takes 12" in stdout  # too few trials to say what mattered
    assert {path.name for path in out.iterdir()} == {
        "best.toml", "journal.log", "looks.png", "private", "report.html", "settings.png",
        "trials", "tune.json", "workers.log",
    }  # fmt: skip
    assert (out / "workers.log").read_text() == ""
    code, stdout, stderr = rondeau("tune", "--resume", out, "--json", "--quiet")
    assert (code, stderr) == (0, "")
    document = json.loads(stdout)
    assert document == json.loads((out / "tune.json").read_text())
    best = document["trials"][document["best"]]
    code, stdout, stderr = rondeau(
        "train", rhymes, "--config", out / "best.toml", "--out", tmp_path / "run", "--json",
        "--quiet", "--threads", 1, "--backend", "reference",
    )  # fmt: skip
    settings = json.loads(stdout)["settings"]
    assert (code, stderr) == (0, "")
    assert settings["dropout"] == 0.1
    assert {name: settings[name] for name in best["settings"]} == best["settings"]
    event = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert event["held_out"]["loss"] == best["looks"][-1][1]  # to the bit


def test_a_search_on_the_command_line_replaces_the_recipes(rondeau, rhymes, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(study, "tune", lambda *_, **given: seen.append(given["search"]) or 1 / 0)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[search]\nhidden = [8, 16]\ntie_weights = [true, false]\n")
    for given in ([], ["--search", "lr=1..2", "--search", "layers=1..2"]):
        with pytest.raises(ZeroDivisionError):
            rondeau("tune", rhymes, "--config", recipe, *given)
    assert seen == [("hidden=8,16", "tie_weights=true,false"), ("lr=1..2", "layers=1..2")]


def test_a_recipe_with_a_search_trains_as_it_stands(rondeau, rhymes, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('lr = 0.01\n[search]\nlr = "0.001..0.1"\n')
    words = ["--config", recipe, "--out", tmp_path / "run", *TINY, "--quiet", "--json"]
    code, stdout, _ = rondeau("train", rhymes, *words)
    assert (code, json.loads(stdout)["settings"]["lr"]) == (0, 0.01)


@pytest.mark.parametrize(("number", "left"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_its_code_and_resume_goes_on(
    rondeau, rhymes, tmp_path, monkeypatch, number, left
):
    out = tmp_path / "tuned"
    stopped = []
    stop = Worker.stop
    monkeypatch.setattr(Worker, "stop", lambda self: stopped.append(self) or stop(self))
    began = study.Journal.begin

    def begin(journal):
        trial = began(journal)
        if trial.number == 1:
            os.kill(os.getpid(), number)
        return trial

    monkeypatch.setattr(study.Journal, "begin", begin)
    words = ["--search", "lr=0.001..0.1", "--trials", 2, "--workers", 1, "--out", out, *TINY]
    code, stdout, stderr = rondeau("tune", rhymes, *words)
    assert (code, stdout, len(stopped)) == (left, "", 1)
    assert stderr.endswith(
        f"rondeau: interrupted; 1 of 2 trials have ended and are kept in {out}; "
        f"rondeau tune --resume {out} goes on\n"
    )
    assert (out / "report.html").exists()
    monkeypatch.undo()
    assert len(study.resume(out).finish().trials) == 2


def test_mistakes_are_named_in_one_line_and_leave_nothing(rondeau, rhymes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.toml").write_text('[search]\nhiden = "1..2"\n')
    (tmp_path / "flat.toml").write_text('search = "lr=1..2"\n')
    (tmp_path / "empty").mkdir()
    cases = [
        (["tune", rhymes, "--search", "hiden=1,2"], "did you mean hidden?"),
        (["tune", rhymes, "--config", "wrong.toml"], "did you mean hidden?"),
        (["tune", rhymes, "--config", "flat.toml"], "is a table"),
        (["evaluate", rhymes, "--config", "wrong.toml"], "is a table for rondeau tune"),
        (["tune", rhymes, "--minutes", 2], "--minutes 2"),
        (["tune", rhymes, "--trials", 0], "--trials 0"),
        (["tune", "nowhere.txt"], "no such file"),
        (["tune", "-"], "every trial reads the text"),
        (["tune", "--resume", "empty"], "is not the folder of a search"),
        (["tune", "--resume", "empty", "--hidden", 9], "its own settings"),
        (["tune", rhymes, "--resume", "empty"], "its own settings"),
    ]
    before = sorted(path.name for path in tmp_path.rglob("*"))
    for arguments, part in cases:
        code, stdout, stderr = rondeau(*arguments, "--quiet")
        assert (code, stdout, stderr.count("\n")) == (2, "", 1), (arguments, stderr)
        assert part in stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == before

"""A search: what it finds, what it prunes, and how little is lost by whatever ends it."""

import json
import math
import os
import signal
import subprocess
import sys
import tomllib
from contextlib import closing, suppress
from pathlib import Path

import pytest

import rondeau
from rondeau.config import TrainConfig
from rondeau.errors import CorpusError, OptionError, RunError, TrainingError, UnsupportedError
from rondeau.studies import tune as study
from rondeau.studies import tune_page
from rondeau.studies.importance import ENOUGH, importance
from rondeau.studies.search_space import parse_space
from rondeau.studies.trials import Trial
from rondeau.studies.tune_plan import PLAN

TINY = TrainConfig(
    hidden=8, batch=4, seq_len=8, steps=40, documents="blank-line", threads=1, backend="reference"
)
SPACE = ["lr=0.0001..1", "dropout=0..0.9"]
LOOKS = 10
BEST_LR = 0.01


def loss_of(settings):
    """The known objective: the learning rate matters, dropout doesn't."""
    return 1 + abs(math.log(settings["lr"] / BEST_LR))


class Pretended:
    """A worker that trains nothing: its losses come down to the known objective."""

    ends = ()
    """(trial, how it ends): death without a word, a failure, a halt."""

    def __init__(self, log, hear):
        self.trial, self._hear, self.end = None, hear, "was killed by SIGKILL"

    def begin(self, trial, order):
        self.trial = trial
        Path(order["out"]).mkdir(parents=True)
        self._words = self._training(order["settings"], dict(self.ends).get(trial))
        self._hear(self, next(self._words))

    def tell(self, words):
        if not words["go_on"]:
            self._words = iter([{"end": "pruned", "seconds": 1.0}])
        self._hear(self, next(self._words))

    def stop(self):
        pass

    def _training(self, settings, end):
        for look in range(1, LOOKS + 1):
            yield {"look": 4 * look, "loss": loss_of(settings) + 1 - look / LOOKS}
            if end == "dies" and look == 2:
                yield None
            elif end and look == 2:
                yield {"end": end, "error": "the loss is not finite", "seconds": 1.0}
        yield {"end": "complete", "seconds": 1.0}


@pytest.fixture
def pretended(monkeypatch):
    """Searches train nothing; returned: the worker, to say how trials end."""
    monkeypatch.setattr(study, "Worker", Pretended)
    monkeypatch.setattr(Pretended, "ends", ())
    return Pretended


def search(rhymes, out, *, trials=12, workers=1, space=SPACE, config=TINY):
    return study.tune(rhymes, config, search=space, trials=trials, workers=workers, out=out)


def told(trials):
    """Trials without what a clock says."""
    return [(t.number, t.settings, t.state, t.looks) for t in trials]


def test_two_workers_come_closer_to_the_best_than_chance_did(pretended, rhymes, tmp_path):
    found = search(rhymes, tmp_path / "tuned", trials=30, workers=2).finish()
    drawn = min(loss_of(trial.settings) for trial in found.trials[:8])
    assert found.best.loss == pytest.approx(loss_of(found.best.settings))
    assert found.best.loss < drawn
    assert len(found.trials) == 30


def test_trials_that_fall_behind_are_pruned_and_none_before_a_fifth(pretended, rhymes, tmp_path):
    found = search(rhymes, tmp_path / "tuned", trials=20).finish()
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert 8 <= trial.looks[-1][0] < 40
        assert loss_of(trial.settings) > found.best.loss
    assert all(len(t.looks) == LOOKS for t in found.trials if t.state == "complete")


def test_one_worker_and_one_seed_give_the_same_trials_whatever_interrupts(
    pretended, rhymes, tmp_path
):
    whole = search(rhymes, tmp_path / "whole").finish()
    with closing(iter(search(rhymes, tmp_path / "cut"))) as trials:
        for trial in trials:
            if trial.number == 5 and len(trial.looks) == 2:
                break
    document = json.loads((tmp_path / "cut" / "tune.json").read_text())
    assert [trial["state"] for trial in document["trials"]].count("running") == 0
    assert len(document["trials"]) == 5
    again = study.resume(tmp_path / "cut").finish()
    assert told(again.trials) == told(whole.trials)
    other = search(rhymes, tmp_path / "other", config=rondeau.TrainConfig(**{
        **TINY.as_dict(), "seed": 1,
    })).finish()  # fmt: skip
    assert told(other.trials) != told(whole.trials)


def test_a_torn_last_line_and_a_lock_left_behind_cost_nothing(pretended, rhymes, tmp_path):
    whole = search(rhymes, tmp_path / "tuned").finish()
    journal = tmp_path / "tuned" / study.JOURNAL
    journal.with_name(f"{journal.name}.lock").symlink_to(journal)
    with journal.open("a") as file:
        file.write('{"op_code":4,"worker_id":"torn')
    again = study.resume(tmp_path / "tuned", trials=14).finish()
    assert told(again.trials)[:12] == told(whole.trials)
    assert len(again.trials) == 14


def test_a_journal_cut_anywhere_is_gone_on_with_or_refused_by_name(pretended, rhymes, tmp_path):
    found = search(rhymes, tmp_path / "tuned").finish()
    journal = tmp_path / "tuned" / study.JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    for count in range(0, len(lines), 17):
        journal.write_bytes(b"".join(lines[:count]) + lines[count][:20])
        again = study.resume(tmp_path / "tuned").finish()
        assert told(again.trials) == told(found.trials), count
    journal.write_bytes(b"".join([*lines[:9], b"nonsense\n", *lines[9:]]))
    with pytest.raises(RunError, match=r"journal\.log: is damaged"):
        study.resume(tmp_path / "tuned").finish()


def test_a_finished_search_goes_on_with_nothing_and_says_the_same(pretended, rhymes, tmp_path):
    found = search(rhymes, tmp_path / "tuned").finish()
    before = (tmp_path / "tuned" / "tune.json").read_bytes()
    assert study.resume(tmp_path / "tuned").finish().as_dict() == found.as_dict()
    assert (tmp_path / "tuned" / "tune.json").read_bytes() == before


def test_one_trial_fails_alone_and_is_told(pretended, rhymes, tmp_path):
    pretended.ends = ((1, "failed"), (3, "dies"))
    search_ = search(rhymes, tmp_path / "tuned")
    begun_again = [t for t in search_ if t.state == "running" and t.error]
    found = search_.findings
    assert {trial.number for trial in begun_again} == {3}
    assert [trial.number for trial in found.trials if trial.state == "failed"] == [1, 3]
    assert found.trials[1].error == "the loss is not finite"
    assert "was killed by SIGKILL" in found.trials[3].error
    assert len(found.trials) == 12
    assert found.best.state == "complete"
    assert "2 were given up" in " ".join(found.sentences)


def test_a_worker_that_dies_between_trials_is_replaced(pretended, rhymes, tmp_path, monkeypatch):
    ended, made = study.Journal.end, []

    class Mortal(pretended):
        dead = False

        def __init__(self, *given):
            made.append(self)
            super().__init__(*given)

        def begin(self, trial, order):
            if self.dead:
                self.trial = trial
            else:
                super().begin(trial, order)

    def end(journal, number, state):
        if number == 2:
            made[0].dead = True
            made[0]._hear(made[0], None)
        return ended(journal, number, state)

    monkeypatch.setattr(study, "Worker", Mortal)
    monkeypatch.setattr(study.Journal, "end", end)
    found = search(rhymes, tmp_path / "tuned", trials=5).finish()
    assert len(made) == 2
    assert [trial.number for trial in found.trials if trial.error] == [3]
    assert not found.count("failed")


def test_what_is_not_the_settings_fault_halts_the_search_and_keeps_the_trial(
    pretended, rhymes, tmp_path
):
    pretended.ends = ((2, "halt"),)
    with pytest.raises(TrainingError, match=r"trial 2: the loss .*tune --resume"):
        search(rhymes, tmp_path / "tuned").finish()
    pretended.ends = ()
    assert len(study.resume(tmp_path / "tuned").finish().trials) == 12


def test_a_search_in_which_every_trial_fails_says_why(pretended, rhymes, tmp_path):
    pretended.ends = ((0, "failed"), (1, "failed"))
    with pytest.raises(TrainingError, match=r"no trial came to its end .*the loss is not finite"):
        search(rhymes, tmp_path / "tuned", trials=2).finish()


def test_only_the_best_run_is_kept_and_the_recipe_is_its_settings(pretended, rhymes, tmp_path):
    found = search(rhymes, tmp_path / "tuned").finish()
    runs = [path.name for path in (tmp_path / "tuned" / "trials").iterdir()]
    assert runs == [f"{found.best.number:04d}"]
    recipe = tomllib.loads((tmp_path / "tuned" / "best.toml").read_text())
    assert recipe == {
        "hidden": 8, "batch": 4, "seq_len": 8, "steps": 40, "documents": "blank-line", "layers": 1,
        **found.best.settings,
    }  # fmt: skip


def test_what_mattered_is_told_from_what_did_not_and_only_with_enough_trials():
    def trials(count, loss):
        drawn = [{"lr": 10 ** (-4 * (i * 7 % count) / count), "dropout": i / count / 2}
                 for i in range(count)]  # fmt: skip
        return [Trial(i, given, "complete", ((1, loss(given)),)) for i, given in enumerate(drawn)]

    space = parse_space(SPACE)
    found = importance(trials(24, loss_of), space, seed=0)
    assert found.mattered == ["lr"]
    assert importance(trials(24, lambda given: 1.0), space, seed=0).mattered == []
    assert importance(trials(ENOUGH - 1, loss_of), space, seed=0) is None


def test_the_page_shows_every_trial_and_escapes_what_others_wrote(pretended, rhymes, tmp_path):
    from rondeau.report.illustrated import to_html

    pretended.ends = ((1, "failed"),)
    text = tmp_path / "<b>.txt"
    text.write_text(rhymes.read_text())
    found = search(text, tmp_path / "tuned", trials=16).finish()
    html = to_html(tune_page.page(found))
    assert "<b>" not in html
    assert [picture.name for picture in tune_page.page(found).pictures] == [
        "importance", "settings", "looks",
    ]  # fmt: skip
    headings, rows = tune_page.table(found)
    assert headings[:3] == ["trial", "lr", "dropout"]
    assert sorted(int(row[0]) for row in rows) == list(range(16))
    assert rows[0][-1] == "best"
    assert rows[-1][-1] == "failed"
    assert "a little too good; the test split has not been read" in html


def test_mistakes_are_named_before_anything_is_written(rhymes, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()
    good = {"search": ["lr=0.1..1"], "out": tmp_path / "tuned"}
    for config, given, error, part in (
        (TrainConfig(minutes=1), {}, OptionError, "--minutes 1.*--steps"),
        (TrainConfig(epochs=1), {}, OptionError, "--epochs 1.*--steps"),
        (TrainConfig(bidirectional=True), {}, OptionError, "--bidirectional"),
        (TrainConfig(split="none"), {}, OptionError, "--split none: leaves no validation"),
        (TINY, {"trials": 0}, OptionError, "--trials 0"),
        (TINY, {"workers": 0}, OptionError, "--workers 0"),
        (TINY, {"workers": 10**6}, OptionError, "--workers 1000000.*take --workers"),
        (TINY, {"out": tmp_path / "mine"}, RunError, "already exists"),
    ):
        with pytest.raises(error, match=part):
            study.tune(rhymes, config, **good | given)
    with pytest.raises(CorpusError, match="every trial reads the text"):
        study.tune("-", TINY, **good)
    with pytest.raises(RunError, match="is not the folder of a search"):
        study.resume(tmp_path / "mine")
    with pytest.raises(RunError, match="no such folder"):
        study.resume(tmp_path / "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_another_text_or_a_damaged_plan_is_refused(pretended, rhymes, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(rhymes.read_text())
    search(text, tmp_path / "tuned", trials=1).finish()
    text.write_text(rhymes.read_text() + "\n\nmore")
    with pytest.raises(RunError, match="no longer the text"):
        study.resume(tmp_path / "tuned")
    text.unlink()
    with pytest.raises(RunError, match="put it back"):
        study.resume(tmp_path / "tuned")
    plan = tmp_path / "tuned" / PLAN
    for data, part in (
        (b"{}", "is not the plan of a search"),
        (b"nonsense", "is damaged"),
        (plan.read_bytes().replace(b'"lr=', b'"rl='), "impossible settings"),
        (plan.read_bytes().replace(b'"format_version": 1', b'"format_version": 2'), "format 2"),
    ):
        plan.write_bytes(data)
        with pytest.raises(RunError, match=part):
            study.resume(tmp_path / "tuned")


def test_a_folder_made_by_others_leads_nowhere_and_waits_for_nothing(pretended, rhymes, tmp_path):
    tuned, elsewhere = tmp_path / "tuned", tmp_path / "elsewhere"
    search(rhymes, tuned, trials=1).finish()
    (elsewhere / "precious").mkdir(parents=True)
    (tuned / "trials").rename(tmp_path / "runs")
    (tuned / "trials").symlink_to(elsewhere)
    with pytest.raises(RunError, match="leads out of"):
        study.resume(tuned).finish()
    assert (elsewhere / "precious").is_dir()
    (tuned / study.JOURNAL).unlink()
    os.mkfifo(tuned / study.JOURNAL)
    with pytest.raises(RunError, match="is not a file"):
        study.resume(tuned).finish()


def test_beneath_torchrun_it_is_refused(rhymes, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="leave out torchrun"):
        search(rhymes, tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


def test_without_optuna_the_extra_is_named(rhymes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UnsupportedError, match=r"rondeau\[tune\]"):
        search(rhymes, tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


def children(process):
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(number) for number in path.read_text().split()]


def test_a_worker_killed_costs_its_trial_a_new_beginning_and_the_best_run_can_be_finished(
    rhymes, tmp_path
):
    search_ = search(rhymes, tmp_path / "tuned", trials=2, space=["lr=0.001..0.1"])
    before = set(children(os.getpid()))
    killed = False
    for trial in search_:
        if trial.number == 1 and trial.looks and not killed:
            (worker,) = set(children(os.getpid())) - before
            os.kill(worker, signal.SIGKILL)
            killed = True
    found = search_.findings
    assert [trial.state for trial in found.trials] == ["complete", "complete"]
    assert "was killed by SIGKILL" in found.trials[1].error
    assert set(children(os.getpid())) == before
    run = tmp_path / "tuned" / "trials" / f"{found.best.number:04d}"
    assert not json.loads((run / "results.json").read_text())["held_out"]  # nobody has read test
    model = rondeau.resume(run).finish()
    assert [row["split"] for row in model.info()["held_out"]] == ["train", "validation", "test"]


def test_a_search_killed_takes_its_workers_with_it_and_goes_on(rhymes, tmp_path):
    out = tmp_path / "tuned"
    command = [
        sys.executable, "-m", "rondeau", "tune", str(rhymes), "--documents", "blank-line",
        "--hidden", "8", "--batch", "4", "--seq-len", "8", "--steps", "40", "--backend",
        "reference", "--search", "lr=0.001..0.1", "--trials", "3", "--workers", "1",
        "--out", str(out),
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("trial 0"):
                break
        (worker,) = children(process.pid)
        handle = os.pidfd_open(worker)
        process.kill()
    with closing(os.fdopen(handle)), suppress(ProcessLookupError):
        import select

        assert select.select([handle], [], [], 60)[0], "the worker has outlived its search"
    found = study.resume(out).finish()
    assert [trial.state for trial in found.trials] == ["complete"] * 3
    assert len({trial.settings["lr"] for trial in found.trials}) == 3


def test_a_text_at_a_url_stays_one(memory, rhymes, tmp_path):
    memory.pipe("/texts/rhymes.txt", rhymes.read_bytes())
    config = TrainConfig(hidden=8, documents="blank-line", steps=20)
    made = study.tune("memory://texts/rhymes.txt", config, out=tmp_path / "tuned")
    assert made.plan.sources == ("memory://texts/rhymes.txt",)
    assert study.resume(tmp_path / "tuned").plan == made.plan

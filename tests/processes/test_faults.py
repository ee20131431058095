"""Processes that are killed, stopped, or fail: nothing is lost, and one line says what happened."""

import random

from launching import flags, launch
from runs import differences, fresh

import rondeau
from rondeau.config import TextConfig
from rondeau.text.preparing import prepare

SETTINGS = {"layers": 2, "dropout": 0.2, "steps": 60, "eval_every": 20, "checkpoint_every": 7}


def training(text, run, **settings):
    """The command line of a training."""
    return ["train", text, "--out", run, *flags(**SETTINGS | settings)]


def test_killed_and_started_again_they_end_with_the_bits_of_an_undisturbed_training(
    rhymes, tmp_path, long, record_property
):
    kills, processes = (20, 4) if long else (2, 2)
    draw = random.Random(0)
    places = [[draw.randrange(60), draw.randrange(processes)] for _ in range(kills)]
    places.sort()
    run = fresh(tmp_path / "whole")
    ended = launch(processes, *training(rhymes, run))
    assert ended.code == 0, ended.said
    assert "threads at the end" not in ended.said
    killed = fresh(tmp_path / "killed")
    ended = launch(processes, *training(rhymes, killed), restarts=kills, kills=places)
    assert ended.code == 0, ended.said
    assert ended.said.count("this training was cut off") == kills
    assert differences(run, killed) == []
    record_property("figures", f"{kills} kills of {processes} processes, at {places}")


def test_an_interruption_of_one_saves_and_stops_all_and_one_process_goes_on(rhymes, tmp_path):
    run = tmp_path / "run"
    ended = launch(2, *training(rhymes, run), terminate=[30, 1])
    assert "interrupted after step 32, which is saved" in ended.said
    assert ended.errors == []
    assert rondeau.resume(run).finish().generate("猫", length=5)


def test_a_process_that_hangs_is_given_up_after_the_timeout(rhymes, tmp_path):
    ended = launch(2, *training(rhymes, tmp_path / "run", timeout=3), hang=[30, 1])
    assert ended.code == 1
    (error,) = ended.errors
    assert "after step 30: another process of this training" in error
    assert "3 s (--timeout)" in error


def test_a_damaged_shard_stops_all_with_its_name(rhymes, tmp_path):
    corpus = tmp_path / "corpus"
    prepare([rhymes], TextConfig(documents="blank-line"), out=corpus)
    shard = corpus / "train-00000.ids"
    shard.write_bytes(shard.read_bytes()[::-1])
    ended = launch(2, *training(corpus, tmp_path / "run"))
    assert ended.code == 1
    (error,) = ended.errors
    assert f"{shard}: is damaged" in error


def test_a_mistake_is_told_once(rhymes, tmp_path):
    mistakes = {
        "--hidden 0: must be at least 1": {"hidden": 0},
        "--batch 1: is less than a stream for each of 2 processes": {"batch": 1},
    }
    run = tmp_path / "run"
    jobs = [
        {"arguments": list(map(str, training(rhymes, run, **settings)))}
        for settings in mistakes.values()
    ]
    ended = launch(2, jobs=jobs)
    assert ended.code == 1  # torchrun's
    for said, error in zip(mistakes, ended.errors, strict=True):
        assert said in error
    assert not run.exists()

"""Memory is known before it is taken, and where it ends the last good state stays."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import rondeau
from conftest import SMALL
from rondeau.errors import CorpusError, OptionError, TrainingError
from rondeau.machine import Limit
from rondeau.run import states
from rondeau.text.loading import load_corpus
from rondeau.training import memory
from rondeau.training.defaults import fill_defaults
from rondeau.training.memory import TextSize, check_memory, check_reading, needed

GB = 10**9
LARGE = TextSize(vocabulary=6000, characters=10**7, train=8 * 10**6, longest=500, in_memory=True)


def config(**settings):
    return rondeau.TrainConfig(**SMALL | {"documents": "blank-line", "steps": 40} | settings)


def size(text=LARGE, **settings):
    return needed(fill_defaults(rondeau.TrainConfig(**settings), text.train)[0], text)


@pytest.mark.parametrize(
    "more",
    [
        {"hidden": 512},
        {"batch": 512},
        {"seq_len": 1024},
        {"layers": 4},
        {"cell": "lstm"},
        {"bidirectional": True, "batch": 256},
        {"backend": "reference"},
        {"detect_anomaly": True},
    ],
)
def test_more_of_anything_needs_more(more):
    assert size(**more) > size()


def test_one_of_several_processes_needs_more(monkeypatch):
    alone = size()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert size() > alone


def test_adam_s_model_needs_its_weights_six_times_more():
    small, large = (size(hidden=h, optimizer="adamw", batch=1, seq_len=1) for h in (256, 2048))
    parameters = [
        rondeau.network.model.parameter_count(
            rondeau.config.ModelConfig(hidden=h, layers=2, dropout=0.1), LARGE.vocabulary
        )
        for h in (256, 2048)
    ]
    assert large - small > 6 * 4 * (parameters[1] - parameters[0])
    assert size(hidden=2048, optimizer="sgd") < size(hidden=2048, optimizer="adam")


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"hidden": 8192}, "hidden"),
        ({"batch": 4096}, "batch"),
        ({"batch": 1, "seq_len": 300_000}, "seq_len"),
    ],
)
def test_what_is_too_large_is_refused_with_the_setting_that_mends_it(
    rhymes, settings, setting, monkeypatch
):
    monkeypatch.setattr(TextSize, "of", lambda corpus: LARGE)
    limit = Limit("the limit of this test", 3 * GB)
    asked = config(**{"hidden": 256, "batch": 32, "seq_len": 64} | settings)
    corpus = load_corpus([rhymes], rondeau.config.TextConfig())
    with pytest.raises(OptionError) as caught:
        check_memory(asked, corpus, limits=[Limit("another", 10**15), limit])
    message = str(caught.value)
    assert "more than the limit of this test, 3.0 GB" in message
    flag, before, after = re.search(r"(--\S+) (\d+) -> (\d+) needs \S+ [GM]B$", message).groups()
    assert flag == "--" + setting.replace("_", "-")
    assert int(before) == getattr(asked, setting)
    filled, _ = fill_defaults(asked, LARGE.train)
    assert needed(rondeau.TrainConfig(**filled.as_dict() | {setting: int(after)}), LARGE) <= 3 * GB


def test_nothing_is_written_of_a_training_that_cannot_fit(tmp_path, rhymes, monkeypatch):
    monkeypatch.setattr(memory, "memory_limits", lambda: [Limit("it", GB // 4)])
    with pytest.raises(
        OptionError, match=r"more than it, 250 MB: a smaller setting .*isn't enough"
    ):
        rondeau.train(rhymes, config(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_others_leave_too_little_of_is_a_note(tmp_path, rhymes, monkeypatch):
    monkeypatch.setattr(memory, "memory_limits", lambda: [Limit("it", 9 * GB, GB // 4)])
    training = rondeau.train(rhymes, config(), out=tmp_path / "run")
    assert any("of it 250 MB are free now" in note for note in training.notes)
    next(iter(training))
    with pytest.raises(OptionError, match="a new training with "):
        check_memory(config(hidden=9999), training.corpus, fixed=True, limits=[Limit("x", 2 * GB)])


def test_a_text_that_memory_can_t_hold_is_sent_to_prepare(rhymes):
    limits = [Limit("it", rhymes.stat().st_size)]
    settings = rondeau.config.TextConfig()
    with pytest.raises(CorpusError, match=r"rhymes.txt: takes .*rondeau prepare keeps it"):
        check_reading([rhymes], settings, limits=limits)
    with pytest.raises(CorpusError, match="rondeau prepare"):
        check_reading([rhymes.parent], settings, limits=limits)
    check_reading([rhymes], rondeau.config.TextConfig(limit=10), limits=limits)
    check_reading(["-"], settings, limits=limits)


def test_of_a_folder_only_what_is_read_counts(tmp_path):
    for name in ("picture.png", "records.jsonl", "song.txt"):
        (tmp_path / name).write_bytes(b"x" * 1000)
    settings = rondeau.config.TextConfig()
    check_reading([tmp_path], settings, limits=[Limit("it", 5000)])
    with pytest.raises(CorpusError):
        check_reading([tmp_path], settings, limits=[Limit("it", 3000)])


@pytest.mark.parametrize("allocate", [lambda: torch.empty(2**50), lambda: np.empty(2**50)])
def test_an_allocation_that_fails_ends_in_one_sentence_and_resume_goes_on(
    tmp_path, rhymes, allocate
):
    whole = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "whole")
    whole.finish()
    training = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "run")
    plain = training.model.loss

    def greedy(*arguments, **settings):
        if training.step == 25:
            allocate()
        return plain(*arguments, **settings)

    training.model.loss = greedy
    with pytest.raises(
        TrainingError, match=r"no memory left after step 25; the last good.*--resume.*smaller --"
    ):
        list(training)
    assert rondeau.load(tmp_path / "run").generate("猫", length=3)
    resumed = rondeau.resume(tmp_path / "run")
    assert resumed.step == 20
    resumed.finish()
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name])


def test_an_error_that_is_not_about_memory_stays_what_it_is(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(), out=tmp_path / "run")
    training.model.loss = lambda *arguments, **settings: torch.zeros(2, 3) @ torch.zeros(2, 3)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        list(training)


def test_a_checkpoint_that_memory_can_t_hold_is_not_called_damaged(monkeypatch):
    data = states.state_to_bytes({"best": None})

    def load(*arguments, **settings):
        raise MemoryError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(MemoryError):
        states.state_from_bytes(data, "it")


def test_a_model_of_above_64_mib_comes_to_its_end(tmp_path, rhymes):
    settings = config(
        cell="rnn", hidden=4200, layers=1, steps=1, batch=1, seq_len=1, optimizer="sgd"
    )
    model = rondeau.train(rhymes, settings, out=tmp_path / "run").finish()
    assert (tmp_path / "run/model.safetensors").stat().st_size > 2**26
    assert model.model.parameter_count == 4200 * (4200 + 2 * len(model.tokenizer) + 2) + len(
        model.tokenizer
    )


def test_a_process_of_limited_size_is_told_which_limit_and_what_fits(tmp_path, rhymes):
    script = (
        "import resource, torch; from rondeau.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 10**9, 3 * 10**9))\n"
        f"main(['train', {str(rhymes)!r}, '--hidden', '8000', '--out', {str(tmp_path / 'run')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(
        r"rondeau: error: this training needs about \S+ GB of memory, more than this process's "
        r"address space \(ulimit -v\), \S+ GB: --hidden 8000 -> \d+ needs \S+ [GM]B\n",
        done.stderr,
    )
    assert not (tmp_path / "run").exists()

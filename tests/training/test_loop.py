"""Training as a whole: it learns, repeats itself, resumes, stops, and keeps what it has."""

import errno
import json
import math
import os
from pathlib import Path

import pytest
import torch

import rondeau
from conftest import RHYMES, SMALL
from rondeau.errors import RunError, TrainingError
from rondeau.run import start
from rondeau.run.checkpoints import saved_steps
from rondeau.run.folder import RunFolder
from rondeau.run.metrics import read_events
from rondeau.training import keeping, train
from rondeau.training.loop import Training
from rondeau.training.optimisation import learning_rate


def config(**settings):
    return rondeau.TrainConfig(**SMALL | {"documents": "blank-line", "steps": 40} | settings)


def weights(model):
    return {name: p.clone() for name, p in model.model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_trivially_learnable_text_is_learned_to_a_perplexity_of_one(tmp_path):
    path = tmp_path / "cycle.txt"
    path.write_text("abcdefgh" * 200)
    settings = config(documents=None, split="tail", steps=250, lr=0.02)
    model = rondeau.train(path, settings, out=tmp_path / "run").finish()
    (validation,) = model.evaluate(splits=["validation"])
    assert validation.perplexity < 1.05
    greedy = rondeau.DecodingConfig(greedy=True)
    assert model.generate("abc", length=8, decoding=greedy)[0].text == "defghabc"


@pytest.mark.parametrize("sampling", ["consecutive", "random"])
def test_the_same_seed_gives_the_same_bits_and_another_one_others(tmp_path, rhymes, sampling):
    trained = [
        weights(
            rondeau.train(
                rhymes,
                config(seed=seed, dropout=0.2, sampling=sampling, layers=2),
                out=tmp_path / f"{i}",
            ).finish()
        )
        for i, seed in enumerate((0, 0, 1))
    ]
    assert same(trained[0], trained[1])
    recurrent = "stack.layers.1.0.weight_h"
    assert not torch.equal(trained[1][recurrent], trained[2][recurrent])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_resumed_training_repeats_the_uninterrupted_one_to_the_bit(tmp_path, rhymes, cell):
    settings = config(cell=cell, dropout=0.1, eval_every=10)
    whole = rondeau.train(rhymes, settings, out=tmp_path / "whole")
    whole.finish()
    cut = rondeau.train(rhymes, settings, out=tmp_path / "cut")
    for event in cut:
        if event.step == 20:
            cut.interrupt()
    assert cut.step == 20
    resumed = rondeau.resume(tmp_path / "cut")
    resumed.finish()
    assert same(whole.model.state_dict(), resumed.model.state_dict())

    def figures(run):
        lines = (run / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if "second" not in k} for line in lines]

    assert figures(tmp_path / "whole") == figures(tmp_path / "cut")


def test_events_carry_what_a_progress_display_needs(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(eval_every=20), out=tmp_path / "run")
    events = list(training)
    assert [e.step for e in events] == [1, 10, 20, 30, 40]
    assert [e.held_out is not None for e in events] == [False, False, True, False, True]
    last = events[-1]
    assert last.tokens == 40 * 4 * 16
    assert last.loss < events[0].loss
    assert last.tokens_per_second > 0
    assert last.gradient_norm > 0
    assert last.held_out.targets > 0
    assert len(last.held_out.samples) == 1
    stored = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in stored] == [1, 10, 20, 30, 40]


def test_the_best_model_is_kept_not_the_last(tmp_path, rhymes):
    settings = config(steps=60, eval_every=10, lr=0.02, schedule="constant", patience=0)
    training = rondeau.train(rhymes, settings, out=tmp_path / "run")
    looks = {e.step: e.held_out.loss for e in training if e.held_out}
    model = training.finish()
    assert training.best_step == min(looks, key=looks.get)
    (validation,) = model.evaluate(splits=["validation"])
    assert validation.nats == pytest.approx(min(looks.values()))


def test_training_stops_when_the_held_out_text_gets_no_better(tmp_path, rhymes):
    settings = config(steps=2000, eval_every=10, lr=0.05, schedule="constant", patience=2)
    training = rondeau.train(rhymes, settings, out=tmp_path / "run")
    training.finish()
    assert training.step < 2000
    assert training.step == training.best_step + 20


def test_interrupted_before_its_first_step_it_keeps_no_model_and_goes_on(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(steps=2), out=tmp_path / "run")
    training.interrupt()
    assert list(training) == []
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert rondeau.resume(tmp_path / "run").finish().info()["training"]["step"] == 2


def test_the_step_that_stops_early_is_saved_too(tmp_path, rhymes):
    settings = {"steps": 2000, "eval_every": 10, "lr": 0.05, "schedule": "constant", "patience": 2}
    training = rondeau.train(rhymes, config(**settings, checkpoint_every=7), out=tmp_path / "run")
    list(training)
    assert training.step % 7
    assert rondeau.resume(tmp_path / "run").step == training.step


def test_a_loss_that_is_not_finite_stops_with_advice_and_the_checkpoint_stays(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "run")
    plain = training.model.loss

    def poisoned(*arguments, **settings):
        loss, carry = plain(*arguments, **settings)
        return loss * (math.nan if training.step == 15 else 1), carry

    training.model.loss = poisoned
    with pytest.raises(TrainingError, match=r"step 16: the loss is not finite.*try --lr.*check"):
        list(training)
    assert rondeau.load(tmp_path / "run").generate("猫", length=3)


@pytest.mark.parametrize(("step", "back"), [(15, 10), (5, 0)])
def test_after_the_first_trouble_it_goes_back_and_on_at_a_third_of_the_rate(
    tmp_path, rhymes, step, back
):
    training = rondeau.train(rhymes, config(eval_every=10, keep=9), out=tmp_path / "run")
    plain = training.model.loss
    poison = [math.nan]

    def poisoned(*arguments, **settings):
        loss, carry = plain(*arguments, **settings)
        return loss * (poison.pop() if poison and training.step == step else 1), carry

    training.model.loss = poisoned
    events = list(training)
    (note,) = [event.note for event in events if event.note]
    assert note == (
        f"step {step + 1}: the loss is not finite; going on after step {back} at a third of the "
        "learning rate"
    )
    rates = {event.step: event.learning_rate for event in events}
    steady = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "steady")
    for event in steady:
        share = 1 / 3 if event.step > back else 1
        assert rates[event.step] == pytest.approx(event.learning_rate * share)
    assert [event["step"] for event in read_events(training.folder)] == [1, 10, 20, 30, 40]


def test_a_training_that_went_back_resumes_at_its_lower_rate(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "run")
    training.rate = 0.25
    for event in training:
        if event.step == 20:
            training.interrupt()
    (event, *_) = rondeau.resume(tmp_path / "run")
    assert event.learning_rate == pytest.approx(
        0.25 * learning_rate(event.step - 1, 40, training.config)
    )


def test_an_anomaly_is_named_by_its_operation(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(detect_anomaly=True), out=tmp_path / "run")
    with torch.no_grad():
        training.model.output.weight.fill_(3e38)
    with pytest.raises(TrainingError, match=r"step 1: aten\.addmm.* first operation whose result"):
        list(training)


def test_a_sound_training_has_no_anomaly(tmp_path, rhymes):
    settings = config(detect_anomaly=True, steps=5, layers=2, dropout=0.5)
    assert list(rondeau.train(rhymes, settings, out=tmp_path / "run"))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_checkpoint_between_two_events_changes_nothing(tmp_path, rhymes, cell):
    settings = {"cell": cell, "dropout": 0.1, "eval_every": 20}
    whole = rondeau.train(rhymes, config(**settings), out=tmp_path / "whole")
    whole.finish()
    cut = rondeau.train(rhymes, config(**settings, checkpoint_every=7), out=tmp_path / "cut")
    for event in cut:
        if event.step == 30:
            break
    resumed = rondeau.resume(tmp_path / "cut")
    assert resumed.step == 28
    resumed.finish()
    first, second = (read_events(training.folder) for training in (whole, resumed))
    timed = {"seconds", "tokens_per_second"}
    assert [{k: v for k, v in e.items() if k not in timed} for e in first] == [
        {k: v for k, v in e.items() if k not in timed} for e in second
    ]
    assert same(weights(rondeau.load(whole.folder.path)), weights(rondeau.load(tmp_path / "cut")))


def test_the_newest_good_checkpoint_is_taken_and_damage_is_told(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "run")
    for event in training:
        if event.step == 30:
            training.interrupt()
    damaged = tmp_path / "run/checkpoints/step-00000030/training_state.pt"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    resumed = rondeau.resume(tmp_path / "run")
    assert resumed.step == 20
    assert any("passed over" in note and "step-00000030" in note for note in resumed.notes)


def test_checkpoints_by_the_clock_are_written_too(tmp_path, rhymes):
    settings = config(eval_every=40, checkpoint_minutes=1e-9, keep=50)
    training = rondeau.train(rhymes, settings, out=tmp_path / "run")
    list(training)
    assert saved_steps(training.folder) == list(range(1, 41))


def test_two_trainings_in_one_folder_are_one_too_many(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "run")
    events = iter(training)
    for _ in range(3):
        next(events)
    with pytest.raises(RunError, match=r"is being trained by process \d+"):
        rondeau.resume(tmp_path / "run")
    events.close()
    assert rondeau.resume(tmp_path / "run").step == 20


def test_a_training_without_a_checkpoint_goes_on_from_its_start_to_the_same_bits(tmp_path, rhymes):
    whole = rondeau.train(rhymes, config(), out=tmp_path / "whole").finish()
    for _ in rondeau.train(rhymes, config(), out=tmp_path / "cut"):
        break
    training = rondeau.resume(tmp_path / "cut")
    assert (training.step, read_events(training.folder)) == (0, [])
    assert same(weights(whole), weights(training.finish()))


def test_a_start_that_was_cut_off_is_begun_again_and_nothing_else_is_touched(
    tmp_path, rhymes, monkeypatch
):
    out, put = tmp_path / "run", RunFolder.put

    def killed(self, name, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        rondeau.train(rhymes, config(layers=2), out=out)
    monkeypatch.setattr(RunFolder, "put", put)
    assert (out / "config.json").exists()
    with pytest.raises(RunError, match=r"its start was cut off.*begin again with --out"):
        rondeau.resume(out)
    (out / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="already exists"):
        rondeau.train(rhymes, config(), out=out)
    (out / "mine.txt").unlink()
    (out / ".config.json-12345678.part").write_text("{")
    rondeau.train(rhymes, config(layers=1), out=out)
    assert rondeau.resume(out).config.layers == 1
    assert not list(out.rglob("*.part"))


def test_of_two_trainings_that_begin_at_once_in_a_folder_the_second_is_refused(
    tmp_path, rhymes, monkeypatch
):
    out = tmp_path / "run"

    def look_beside_another(folder):
        monkeypatch.setattr(train, "beginning", start.beginning)
        rondeau.train(rhymes, config(layers=1), out=out)
        return start.beginning(folder)

    monkeypatch.setattr(train, "beginning", look_beside_another)
    with pytest.raises(RunError, match="another training has begun there"):
        rondeau.train(rhymes, config(layers=2), out=out)
    assert rondeau.resume(out).config.layers == 1
    with start.beginning(start.new_run(tmp_path / "other")):
        with pytest.raises(RunError, match="is being trained"):
            rondeau.train(rhymes, config(), out=tmp_path / "other")
        assert [p.name for p in (tmp_path / "other").iterdir()] == ["private"]


def test_a_checkpoint_that_was_written_but_not_named_is_named_when_it_goes_on(
    tmp_path, rhymes, monkeypatch
):
    settings = config(eval_every=10, steps=20)
    whole = rondeau.train(rhymes, settings, out=tmp_path / "whole").finish()
    name = keeping.name_checkpoint

    def killed(folder, step, **others):
        if step == 20:
            raise KeyboardInterrupt
        name(folder, step, **others)

    monkeypatch.setattr(keeping, "name_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        list(rondeau.train(rhymes, settings, out=tmp_path / "cut"))
    monkeypatch.undo()
    assert rondeau.resume(tmp_path / "cut").step == 20
    assert same(weights(whole), weights(rondeau.load(tmp_path / "cut")))


def test_events_are_durable_before_a_checkpoint_counts_on_them(tmp_path, rhymes, monkeypatch):
    training = rondeau.train(rhymes, config(steps=10), out=tmp_path / "run")
    order, fsync = [], os.fsync

    def seen(descriptor):
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    list(training)
    metrics = order.index(tmp_path / "run/metrics.jsonl")
    assert metrics < order.index(tmp_path / "run/checkpoints/step-00000010")
    # Folders that were made for it are entered durably where they lie.
    assert tmp_path / "run/checkpoints" in order


def test_a_training_that_was_cut_off_says_so_when_it_goes_on(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "run")
    for event in training:
        if event.step == 20:
            break
    (tmp_path / "run/private/lock").write_text('{"process": 1}')
    resumed = rondeau.resume(tmp_path / "run")
    assert any("was cut off; going on after step 20" in note for note in resumed.notes)
    resumed.finish()
    assert not (tmp_path / "run/private/lock").read_text()


def test_what_the_system_has_done_since_is_told_where_it_is_known(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "run")
    next(event for event in training if event.step == 20)
    lock = tmp_path / "run/private/lock"
    kept = json.loads(lock.read_text())
    assert kept["kills"].keys() == {"boot", "machine", "group"}
    content = kept | {"kills": {"boot": "another", "machine": 0, "group": None}}
    for made_up, note in (
        (content, "this training was cut off (the machine was restarted since); going on after"),
        (content | {"kills": {"boot": [1]}}, "this training was cut off; going on after step 20"),
    ):
        lock.write_text(json.dumps(made_up))
        assert any(note in said for said in rondeau.resume(tmp_path / "run").notes)


def test_a_full_disk_ends_in_one_sentence_and_the_last_good_state_stays(
    tmp_path, rhymes, monkeypatch
):
    training = rondeau.train(rhymes, config(eval_every=10), out=tmp_path / "run")
    plain = os.fsync

    def full(descriptor):
        if training.step >= 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        TrainingError, match=r"cannot be written after step 30: No space left.*room"
    ):
        list(training)
    monkeypatch.undo()
    assert not list((tmp_path / "run").rglob(".*"))
    assert rondeau.resume(tmp_path / "run").step == 20


def test_steps_fit_the_minutes_and_are_recorded(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(steps=None, minutes=0.05), out=tmp_path / "run")
    assert training.steps > 1
    assert f"steps = {training.steps}\n" in (tmp_path / "run/train_config.toml").read_text()


def test_epochs_become_steps(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(steps=None, epochs=3), out=tmp_path / "run")
    tokens = len(training.windows.ring)
    assert training.steps == round(3 * tokens / (4 * 16))


def test_a_text_of_fifty_characters_is_no_error(tmp_path):
    path = tmp_path / "tiny.txt"
    path.write_text("to be or not to be that is the question to be or n")
    training = rondeau.train(path, rondeau.TrainConfig(steps=5), out=tmp_path / "run")
    assert any("shrink to" in note for note in training.notes)
    assert any("one document" in note for note in training.notes)
    assert training.finish().generate("to", length=5)


def test_a_text_of_copies_alone_is_trained_on_with_nothing_held_out(tmp_path):
    text = tmp_path / "copies.txt"
    text.write_text("the same song again\n\n" * 20)
    training = rondeau.train(text, config(steps=3, documents="blank-line"), out=tmp_path / "run")
    training.finish()
    assert any("nothing can be held out" in note for note in training.notes)
    assert "nothing was held out to choose by" in (tmp_path / "run" / "README.md").read_text()


def test_a_resumed_run_refuses_another_text(tmp_path, rhymes):
    rondeau.train(rhymes, config(steps=10), out=tmp_path / "run").finish()
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(document + "虎" for document in RHYMES), encoding="utf-8")
    with pytest.raises(RunError, match=r"other\.txt: no longer the text"):
        rondeau.resume(tmp_path / "run", [other])


def test_a_finished_run_holds_its_numbers_and_its_card(run):
    info = rondeau.load(run).info()
    assert [split["split"] for split in info["held_out"]] == ["train", "validation", "test"]
    assert info["settings"]["documents"] == "blank-line"
    assert sum(info["data"]["documents"].values()) == len(RHYMES)
    card = (run / "README.md").read_text()
    assert "1-layer GRU" in card
    for split in info["held_out"]:
        assert f"| {split['split']} | {split['targets']:,} | {split['perplexity']:.3f} |" in card


def test_a_run_keeps_no_path_where_others_look(run, rhymes):
    for path in run.iterdir():
        if path.is_file():
            assert str(rhymes.parent).encode() not in path.read_bytes(), path.name


def test_evaluating_a_changed_corpus_is_refused(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(RHYMES), encoding="utf-8")
    rondeau.train(path, config(steps=5), out=tmp_path / "run").finish()
    path.write_text("\n\n".join(RHYMES[1:]), encoding="utf-8")
    with pytest.raises(RunError, match="no longer the text"):
        rondeau.load(tmp_path / "run").evaluate()


def test_a_training_is_iterated_once_and_then_done(tmp_path, rhymes):
    training = rondeau.train(rhymes, config(steps=10), out=tmp_path / "run")
    assert isinstance(training, Training)
    assert list(training)
    assert training.done
    assert list(training) == []

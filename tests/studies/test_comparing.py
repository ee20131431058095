"""Runs side by side: the same figures as `evaluate`, and what is said where there are none."""

import math
import shutil

import pytest

import rondeau
from conftest import SMALL
from rondeau.errors import OptionError
from rondeau.studies.compare import ComparedRun, compare
from rondeau.studies.compare_picture import draw_curves


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def larger(folder, rhymes):
    """A better run on the text of `run`."""
    config = rondeau.TrainConfig(**SMALL | {"hidden": 24}, documents="blank-line", steps=90)
    return rondeau.train(rhymes, config, out=folder / "larger").finish()


@pytest.fixture(scope="module")
def tails(folder):
    """Two runs on one text of 20,000 characters, with 2,000 of them held out."""
    path = folder / "tail.txt"
    path.write_text("".join(f"{n} is not {n * n % 97}\n" for n in range(2000))[:20_000])
    config = rondeau.TrainConfig(**SMALL, steps=8)
    return [rondeau.train(path, config, out=folder / name).finish() for name in "ab"]


def test_a_figure_is_that_of_evaluate_inside_its_interval(run, larger):
    models = [rondeau.load(run), larger]
    for split in ("validation", "test"):
        found = compare(models, split)
        for compared, model in zip(found.runs, models, strict=True):
            (evaluation,) = model.evaluate(splits=[split])
            assert compared.bits.value == pytest.approx(evaluation.bits_per_character)
        assert found.drawn == f"{len(larger.corpus().parts[split])} documents"


def test_the_better_run_is_named_and_by_how_much(run, larger):
    found = compare([rondeau.load(run), larger])
    mine, theirs = (compared.bits.value for compared in found.runs)
    (difference,) = found.differences
    assert theirs < mine
    assert (difference.run, difference.best) == ("run", "larger")
    assert difference.more.value == pytest.approx(mine - theirs)
    assert found.sentences[0].startswith("larger needs ")


def test_a_run_beside_its_copy_is_within_noise_and_both_are_told_apart(larger, folder):
    shutil.copytree(larger.run.path, folder / "again" / "larger")
    copy = rondeau.load(folder / "again" / "larger")
    (difference,) = compare([copy, larger]).differences
    assert (difference.more.value, difference.more.within_noise) == (0, True)
    assert {difference.run, difference.best} == {str(copy.run.path), str(larger.run.path)}


def test_one_text_is_cut_into_pieces_after_it_was_read_through(tails):
    found = compare(tails)
    (evaluation,) = tails[0].evaluate(splits=["validation"])
    assert found.drawn == "2 pieces of 1,000 characters"
    assert found.runs[0].bits.value == pytest.approx(evaluation.bits_per_character)
    assert math.isnan(found.runs[0].bits.low)
    assert "too few documents" in compare([tails[0], tails[1]]).sentences[0]


def test_a_whole_document_alone_is_cut_too_and_its_end_is_no_character(folder):
    path = folder / "three.txt"
    path.write_text("\n\n".join(f"{n} of three, " * 150 for n in ("one", "two", "all")))
    config = rondeau.TrainConfig(**SMALL, steps=2, documents="blank-line")
    model = rondeau.train(path, config, out=folder / "three").finish()
    shutil.copytree(model.run.path, folder / "three again")
    found = compare([model, rondeau.load(folder / "three again")])
    (evaluation,) = model.evaluate(splits=["validation"])
    assert found.drawn.startswith("3 pieces")
    assert found.runs[0].bits.value == pytest.approx(evaluation.bits_per_character)


def test_models_without_a_perplexity_get_no_figure_and_no_curve(run, backwards_run, cloze_run):
    found = compare([rondeau.load(path) for path in (backwards_run, run, cloze_run)])
    leaking, compared, restoring = found.runs
    assert compared.bits
    assert compared.looks
    assert (leaking.bits, leaking.looks, restoring.bits, restoring.looks) == (None, (), None, ())
    assert "both: no figure; it reads its own answer" in found.notes[0]
    assert "cloze: no figure; it restores hidden characters" in found.notes[1]


def test_runs_on_other_texts_keep_their_sizes_and_curves(run, tails):
    found = compare([rondeau.load(run), tails[0]])
    assert found.runs[1].bits is None
    assert found.runs[1].looks
    assert found.notes == ("a: no figure; it was trained on another text, or split in "
                           "another way.",)  # fmt: skip


def test_without_the_text_or_the_split_sizes_are_left_and_the_reason(tails, run, folder):
    assert "no test split" in compare(tails, "test").sentences[0]
    text = folder / "gone.txt"
    text.write_text("a text that will be gone. " * 90)
    config = rondeau.TrainConfig(**SMALL, steps=2)
    rondeau.train(text, config, out=folder / "gone").finish()
    text.unlink()
    shutil.copytree(folder / "gone", folder / "gone too")
    model = rondeau.load(folder / "gone")
    found = compare([model, rondeau.load(folder / "gone too")])
    assert [compared.bits for compared in found.runs] == [None, None]
    assert found.runs[0].parameters == model.model.parameter_count
    assert "gone.txt: no such file" in found.sentences[0]


def test_a_torn_line_of_the_metrics_costs_no_curve(larger, folder):
    shutil.copytree(larger.run.path, folder / "torn")
    with (folder / "torn" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 91, "ste')
    whole, torn = compare([larger, rondeau.load(folder / "torn")]).runs
    assert whole.looks == torn.looks
    assert [look[0] for look in whole.looks] == sorted(look[0] for look in whole.looks)


def test_one_run_is_nothing_to_compare(run):
    with pytest.raises(OptionError, match="at least two"):
        compare([rondeau.load(run)])
    with pytest.raises(OptionError, match="names a run twice"):
        compare([rondeau.load(run), rondeau.load(run)])


@pytest.mark.parametrize("fonts", [[], None], ids=["without", "with what is there"])
def test_a_picture_is_drawn_whatever_the_names_and_however_few_the_looks(
    tmp_path, monkeypatch, fonts
):
    if fonts is not None:
        monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: fonts)
    looks = (((1, 0.5, 64, 4.0), (2, 1.0, 128, 3.5)), ((1, 0.5, 64, float("nan")),), ())
    runs = [ComparedRun(f"词 {n}", "gru 1×8", 9, 2, 1.0, each) for n, each in enumerate(looks)]
    for suffix, begin in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        draw_curves(runs, tmp_path / "new" / f"curves{suffix}")
        assert (tmp_path / "new" / f"curves{suffix}").read_bytes().startswith(begin)
    draw_curves(runs[2:], tmp_path / "empty.png")

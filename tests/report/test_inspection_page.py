"""The page of an inspection: every kind of model, texts of any length, and what it says."""

import random
import re
import shutil

import numpy as np
import pytest

import rondeau
from rondeau.errors import CorpusError, RunError
from rondeau.report.illustrated import to_html
from rondeau.report.inspection_page import SHADES, _shade, page, write_inspection

DRAW = random.Random(0)
LINES = ["".join(DRAW.choices("猫狗鸟鱼白黑大小好来走了", k=DRAW.randint(2, 9))) for _ in range(60)]
TEXT = "\n".join(LINES)
"""Lines of any length: what comes at equal distances can't be told from a clock."""


@pytest.fixture(scope="module")
def model(run):
    return rondeau.load(run)


@pytest.fixture(scope="module")
def found(model):
    return model.inspect(TEXT)


def shown(found):
    html = to_html(page(found, name="run"))
    return html, re.sub(r"<[^>]+>", "", html)


def test_the_page_says_what_its_numbers_say(found):
    html, words = shown(found)
    assert [s.title for s in page(found, name="run").sections] == [
        "How far back a loss is heard",
        "What one step does",
        "What windows throw away",
        "The reset gate, character by character",
        "The update gate, character by character",
        "How long units remember",
        "Switches and mixers",
        "Units that track something readable",
        "What holding a gate costs",
        "How far back it matters, and which gate carries it",
    ]
    for cost in found.ablation.costs:
        assert f"{cost.bits_per_character:,.3f}" in words
    assert f"{found.context.whole.mean[-1]:,.3f}" in words
    assert "↵\n" in words
    assert not re.search(r'(src|href)="(?!data:)', html)


def test_the_costs_are_those_beside_the_evaluated_model(model, found):
    evaluation = model.evaluate_documents([TEXT], split="x")
    assert found.ablation.bits_per_character == pytest.approx(evaluation.bits_per_character)


def test_the_same_text_and_seed_give_the_same_numbers(model, found):
    assert repr(model.inspect(TEXT).as_dict()) == repr(found.as_dict())


def test_a_model_that_reads_both_ways_shows_each_direction_and_no_bits(cloze_run):
    found = rondeau.load(cloze_run).inspect(TEXT)
    assert (found.ablation, found.context) == (None, None)
    assert [layer.name for layer in found.layers] == ["layer 1", "layer 1, backwards"]
    _, words = shown(found)
    assert "has no bits a character" in words


@pytest.mark.parametrize("text", ["\n", "龙😀\u202e<b>\x00"])
def test_short_and_strange_texts_have_a_page(model, text):
    html, words = shown(model.inspect(text))
    assert "No unit tracks" in words
    assert "\u202e" not in html
    assert "<b>" not in html


@pytest.mark.parametrize("shape", [{"cell": "rnn"}, {"cell": "lstm", "layers": 2}], ids=str)
def test_every_cell_has_a_page(shape, rhymes, tmp_path):
    settings = {"hidden": 8, "batch": 4, "seq_len": 16, "threads": 1, "documents": "blank-line"}
    config = rondeau.TrainConfig(**settings, **shape, steps=4)
    found = rondeau.train(rhymes, config, out=tmp_path / "run").finish().inspect()
    assert found.source == "validation"
    _, words = shown(found)
    if shape["cell"] == "rnn":
        assert found.ablation is None
        assert "has no gates" in words
    else:
        assert {cost.held.gate for cost in found.ablation.costs} == set("ifo")


def test_an_empty_text_is_refused(model):
    with pytest.raises(CorpusError, match="empty"):
        model.inspect("")


def test_page_and_pictures_are_written_where_they_are_wanted(model, found, tmp_path):
    paths = write_inspection(model, found, out=tmp_path / "out")
    assert paths[0] == tmp_path / "out" / "inspection.html"
    assert {path.name for path in paths[1:]} >= {"gate-reset.png", "gate-update.png", "context.png"}
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())


def test_a_run_whose_folder_leads_elsewhere_is_refused(run, found, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    (other / "inspection").symlink_to(tmp_path)
    with pytest.raises(RunError, match="leads out of the run"):
        write_inspection(rondeau.load(other), found)


def test_shades_go_from_two_deviations_below_to_two_above():
    shades = [SHADES[_shade(z)] for z in (-9, -2, -0.4, 0, 0.1, 0.4, 2, 9)]
    assert shades == [
        "below5", "below5", "below1", "mean", "mean", "above1", "above5", "above5",
    ]  # fmt: skip
    assert np.all(np.diff([_shade(z) for z in np.linspace(-3, 3, 50)]) >= 0)

"""The notebook's recipes: its windows, its cells, its start; short forms of its experiments."""

import json

import numpy as np
import pytest
import torch

from conftest import SHARED_DATA
from rondeau.errors import CorpusError, OptionError
from rondeau.studies import notebook
from rondeau.studies.notebook import EXPERIMENTS, NotebookText, Report
from rondeau.studies.notebook_report import explanation, table, write_reproduction
from rondeau.text.tokenizer import CharTokenizer

TEXT = "".join(f"分开不分开{chr(0x4E00 + i % 60)}" for i in range(900))


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> NotebookText:
    path = tmp_path_factory.mktemp("notebook") / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return notebook.read_notebook_text(path)


def reports(name, text, epochs=4):
    return [r for r in notebook.run_experiment(name, text, epochs=epochs) if isinstance(r, Report)]


def test_windows_are_those_of_the_notebook():
    inputs, targets = notebook.windows(np.arange(10_000))
    assert inputs.shape == targets.shape == (8, 35, 32)
    assert inputs[0, 0].tolist() == [312 * b for b in range(32)]
    assert torch.equal(targets, inputs + 1)
    assert torch.equal(inputs[1, 0], inputs[0, -1] + 1)


def test_scratch_models_have_one_zero_bias_a_gate_and_small_weights():
    model = notebook.make_model(EXPERIMENTS["gru-scratch"], 100, seed=0)
    (cell,) = model.stack.cells[0]
    assert cell.bias_h is None
    assert not cell.bias_x.any()
    assert float(cell.weight_h.detach().std()) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_learns_and_continues_both_beginnings(name, text):
    torch.set_num_threads(1)
    result = reports(name, text)
    assert [r.epoch for r in result] == [1, 2, 3, 4]
    assert result[-1].perplexity < result[0].perplexity
    assert [len(c) for c in result[-1].continuations.values()] == [50, 50]
    assert set(result[-1].continuations) == {"分开", "不分开"}
    assert result[-1].leaks == (name == "bidirectional")


def test_the_same_seed_gives_the_same_curve(text):
    first, second = (reports("rnn", text, epochs=2)[-1].curve for _ in range(2))
    assert first == second


def test_the_report_shows_published_figures_and_explains_itself(text, tmp_path):
    result = reports("gru", text) + reports("bidirectional", text)
    _, rows = table(result)
    assert [row[0] for row in rows] == [EXPERIMENTS[n].title for n in ("gru", "bidirectional")]
    words = " ".join(explanation(text, result))
    assert "leak" in words
    assert "4-gram" in words
    write_reproduction(tmp_path, text, result, "rondeau reproduce")
    stored = json.loads((tmp_path / "reproduction.json").read_text())
    assert [entry["experiment"] for entry in stored] == ["gru", "bidirectional"]
    assert stored[0]["published"]["40"] == pytest.approx(1.037126)
    assert set(stored[0]["epochs"]["4"]) == {
        "perplexity", "seconds_per_epoch", "held_out_perplexity", "continuations",
    }  # fmt: skip
    assert "leaked_loss" in stored[1]["epochs"]["4"]
    assert (tmp_path / "reproduction.png").read_bytes().startswith(b"\x89PNG")
    assert "published" not in (tmp_path / "reproduction.md").read_text().split("\n")[9]


def test_published_rows_stand_under_their_experiment():
    curve = tuple(float(e) for e in range(160))
    result = [Report("gru", e, 1.0, 0.1, 5.0, False, {}, curve) for e in (40, 80, 120, 160)]
    _, rows = table(result)
    assert rows[1][:5] == ["  published", "1.0371", "1.0152", "1.0146", "1.0191"]


def test_unknown_experiments_and_tiny_texts_are_refused(tmp_path):
    assert notebook.select([]) == list(EXPERIMENTS)
    with pytest.raises(OptionError, match="--experiments transformer"):
        notebook.select(["gru", "transformer"])
    path = tmp_path / "tiny.txt"
    path.write_text("tiny")
    with pytest.raises(CorpusError, match="32 streams of 35 steps"):
        notebook.read_notebook_text(path)


def test_the_corpus_of_the_notebook_has_its_1027_characters():
    path = SHARED_DATA / "jaychou_lyrics.txt.zip"
    if not path.exists():
        pytest.skip("the notebook's corpus is not here: it is under copyright and not shipped")
    text = notebook.read_notebook_text(path)
    assert isinstance(text.tokenizer, CharTokenizer)
    assert (len(text.trained), len(text.tokenizer)) == (10_000, 1_027)
    assert text.unknown_share == pytest.approx(0.065, abs=0.001)
    first = next(iter(notebook.run_experiment("gru-scratch", text, epochs=1)))
    assert 500 < first < 800

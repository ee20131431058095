"""`compare`: runs in a table, a picture, and words."""

import json
import re

import pytest

from rondeau import TrainConfig, train

SMALL = ["--hidden", 16, "--batch", 4, "--seq-len", 16, "--threads", 1, "--quiet"]


@pytest.fixture(scope="module")
def longer_run(tmp_path_factory, rhymes):
    """The same text, learned for longer."""
    out = tmp_path_factory.mktemp("runs") / "longer"
    small = {"hidden": 16, "batch": 4, "seq_len": 16, "threads": 1}
    train(
        rhymes, TrainConfig(**small, documents="blank-line", steps=200, lr=0.01), out=out
    ).finish()
    return out


def test_runs_stand_in_a_table_and_the_better_one_is_named(rondeau, run, longer_run, tmp_path):
    picture = tmp_path / "curves.png"
    code, stdout, stderr = rondeau("compare", run, longer_run, "--out", picture)
    assert (code, stderr) == (0, "")
    assert "gru 1×16" in stdout
    assert "on the validation split; for intervals there are too few: 2 documents" in stdout
    assert re.search(r"longer needs .* too few documents to tell", stdout)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_figures_are_those_of_evaluate(rondeau, run, longer_run):
    compared = json.loads(rondeau("compare", run, longer_run, "--split", "test", "--json")[1])
    for path, entry in zip((run, longer_run), compared["runs"], strict=True):
        (wanted,) = json.loads(rondeau("evaluate", path, "--split", "test", "--json")[1])["splits"]
        value, *interval = entry["bits_per_character"]
        assert value == pytest.approx(wanted["bits_per_character"])
        assert interval == [None, None]
    (difference,) = compared["differences"]
    (longer, *_), (short, *_) = sorted(entry["bits_per_character"] for entry in compared["runs"])
    assert difference["more_bits_per_character"][0] == pytest.approx(short - longer)
    assert (difference["run"], difference["best"]) == ("run", "longer")
    assert difference["within_noise"] is True


def test_intervals_stand_in_the_table_where_there_are_documents_enough(rondeau, tmp_path):
    text = tmp_path / "many.txt"
    text.write_text("\n\n".join(f"song {n}, of {n * n % 89}" for n in range(80)))
    settings = ["--documents", "blank-line", "--steps", 4, "--threads", 1, "--quiet"]
    for hidden in (8, 9):
        rondeau("train", text, "--hidden", hidden, "--out", tmp_path / f"h{hidden}", *settings)
    code, stdout, _ = rondeau("compare", tmp_path / "h8", tmp_path / "h9", "--split", "test")
    assert code == 0
    assert "bits/char on the test split; intervals are over 8 documents." in stdout
    assert "95 % interval" in stdout.splitlines()[-1]


def test_what_has_no_figure_is_named_with_the_reason(
    rondeau, run, backwards_run, cloze_run, tmp_path
):
    other = tmp_path / "other.txt"
    other.write_text("一二三四五六七八九十" * 30, encoding="utf-8")
    assert rondeau("train", other, *SMALL, "--steps", 2, "--out", tmp_path / "other")[0] == 0
    code, stdout, _ = rondeau("compare", run, backwards_run, cloze_run, tmp_path / "other")
    assert code == 0
    for part in ("both: no figure", "its loss is a leak", "restores hidden", "another text"):
        assert part in stdout


def test_a_text_of_one_document_is_drawn_in_pieces(rondeau, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("abcdefgh" * 4000)
    for name in "ab":
        words = ["train", text, "--split", "tail", *SMALL, "--steps", 5, "--out", tmp_path / name]
        assert rondeau(*words)[0] == 0
    code, stdout, _ = rondeau("compare", tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert "4 pieces of 1,000 characters" in stdout


def test_mistakes_are_told_before_anything_is_read(rondeau, run, tmp_path):
    for words, said in (
        (["compare", run], "at least two runs"),
        (["compare", run, run, "--out", tmp_path / "x.doc"], "must end in .png"),
    ):
        code, _, stderr = rondeau(*words)
        assert code == 2
        assert said in stderr

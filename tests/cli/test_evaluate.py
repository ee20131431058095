"""`evaluate`: a model beside what needs no training, on its splits and on files."""

import io
import json
import shutil

import pytest


@pytest.fixture
def copied(run, tmp_path):
    """A run that a test may write to."""
    return shutil.copytree(run, tmp_path / "run")


def test_each_split_is_followed_by_its_baselines_and_a_verdict(rondeau, run):
    code, stdout, stderr = rondeau("evaluate", run)
    names = [line.split()[0] for line in stdout.splitlines()]
    grams = [f"{n}-gram" for n in range(1, 7)]
    assert code == 0
    assert "no baselines" not in stderr
    assert names[1:11] == ["train", "uniform", *grams, "xz", "validation"]
    assert "-gram" in stdout.splitlines()[-1] or "xz" in stdout.splitlines()[-1]


def test_baselines_are_kept_in_the_run_and_not_computed_again(rondeau, copied, monkeypatch):
    (copied / "baselines.json").unlink(missing_ok=True)
    first = json.loads(rondeau("evaluate", copied, "--json")[1])
    assert set(first["baselines"]) == {"train", "validation", "test"}
    monkeypatch.setattr("rondeau.language_model.baselines", None)
    again = json.loads(rondeau("evaluate", copied, "--split", "test", "--json")[1])
    assert again["baselines"]["test"] == first["baselines"]["test"]


def test_a_file_stands_beside_baselines_learned_from_the_run_s_text(rondeau, copied, tmp_path):
    text = tmp_path / "more.txt"
    text.write_text("猫白大来了\n\n龙来了", encoding="utf-8")
    numbers = json.loads(rondeau("evaluate", copied, text, "--json")[1])
    (model,) = numbers["splits"]
    (others,) = numbers["baselines"].values()
    assert {b["targets"] for b in others} == {model["targets"]} == {10}
    assert {b["unknown_share"] for b in others} == {model["unknown_share"]} == {1 / 8}


def test_without_the_training_text_there_is_the_model_alone_and_a_note(rondeau, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("abcdefgh" * 40)
    small = ["--steps", 2, "--hidden", 4, "--batch", 2, "--seq-len", 4, "--threads", 1]
    assert rondeau("train", text, *small, "--out", tmp_path / "run", "--quiet")[0] == 0
    other = text.rename(tmp_path / "moved.txt")
    code, stdout, stderr = rondeau("evaluate", tmp_path / "run", other)
    assert code == 0
    assert "-gram" not in stdout
    assert stderr.startswith("note: no baselines, which are learned from the training text")
    code, stdout, stderr = rondeau("evaluate", tmp_path / "run")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert "text.txt: no such file" in stderr
    assert "was trained on it: put it back" in stderr


def test_a_file_has_no_splits(rondeau, run, rhymes):
    code, _, stderr = rondeau("evaluate", run, rhymes, "--split", "test")
    assert (code, "--split test: a FILE has no splits" in stderr) == (2, True)


def test_of_documents_too_short_for_an_overlap_nothing_is_said_of_it(rondeau, tmp_path):
    text = tmp_path / "names.txt"
    text.write_text("\n".join("abcdefghijklmnopqrstuvwxyz"))
    small = ["--steps", 2, "--hidden", 4, "--batch", 2, "--seq-len", 4, "--threads", 1]
    out = tmp_path / "run"
    assert rondeau("train", text, "--documents", "line", *small, "--out", out, "--quiet")[0] == 0
    code, stdout, _ = rondeau("evaluate", out)
    assert code == 0
    assert "" not in stdout.splitlines()


def test_damaged_baselines_are_measured_again(rondeau, copied):
    kept = copied / "baselines.json"
    first = rondeau("evaluate", copied)
    before = kept.read_bytes()
    for damaged in (b"", b"[]", before[:-9]):
        kept.write_bytes(damaged)
        assert rondeau("evaluate", copied) == first
        assert kept.read_bytes() == before


def test_standard_input_is_read_once_for_the_model_and_for_the_baselines(rondeau, run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("猫白大来了".encode())))
    code, stdout, stderr = rondeau("evaluate", run, "-")
    assert code == 0
    assert "no baselines" not in stderr
    assert [line.split()[0] for line in stdout.splitlines()][1:3] == ["standard", "uniform"]

"""`infill` and `evaluate` of a model that restores hidden characters."""

import json

import pytest

from conftest import RHYMES

CLOZE = "猫白大＿了\n大白猫走了"


def test_infill_prints_the_text_with_its_gaps_filled(rondeau, cloze_run):
    assert rondeau("infill", cloze_run, CLOZE)[:2] == (0, "猫白大来了\n大白猫走了\n")


@pytest.mark.parametrize("kind", ["cloze_run", "run"])
def test_infill_gives_several_fillings_likeliest_first(rondeau, kind, request):
    path = request.getfixturevalue(kind)
    words = ["infill", path, "猫白_来了", "--gap", "_", "--num-samples", 3]
    code, stdout, _ = rondeau(*words, "--json")
    fillings = json.loads(stdout)["fillings"]
    assert code == 0
    assert len(fillings) == 3
    assert [f["bits"] for f in fillings] == sorted(f["bits"] for f in fillings)
    for filling in fillings:
        assert filling["text"] == f"猫白{filling['filled'][0]}来了"
    stdout = rondeau(*words)[1].splitlines()
    assert stdout[1::2] == [filling["text"] for filling in fillings]
    assert stdout[0] == f"--- 1: {fillings[0]['bits']:.2f} bits ---"


def test_a_cloze_run_is_evaluated_by_what_it_restores(rondeau, cloze_run):
    code, stdout, _ = rondeau("evaluate", cloze_run, "--split", "test")
    assert code == 0
    assert "pseudo-perplexity" in stdout
    assert "bits" not in stdout


def test_a_left_to_right_run_stands_beside_it_on_the_same_gaps(rondeau, cloze_run, run):
    code, stdout, _ = rondeau("evaluate", cloze_run, "--beside", run, "--split", "test", "--json")
    (both,), (left,) = json.loads(stdout)["cloze"].values()
    assert code == 0
    assert both["gaps"] == left["gaps"]
    assert "pseudo_perplexity" not in left
    assert rondeau("evaluate", cloze_run, "--beside", run)[1].count("restored") == 2


def test_runs_on_other_texts_are_not_laid_side_by_side(rondeau, cloze_run, run, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("一二三四五六七八九十" * 30, encoding="utf-8")
    small = ["--steps", 2, "--hidden", 4, "--batch", 2, "--seq-len", 4, "--threads", 1]
    assert rondeau("train", other, *small, "--out", tmp_path / "run", "--quiet")[0] == 0
    code, _, stderr = rondeau("evaluate", cloze_run, "--beside", tmp_path / "run")
    assert code == 2
    assert "was trained on another text" in stderr
    assert rondeau("evaluate", cloze_run, other, "--beside", tmp_path / "run")[0] == 0


def test_a_file_is_read_alike_by_runs_that_tell_documents_apart_otherwise(
    rondeau, cloze_run, rhymes, tmp_path
):
    small = ["--steps", 2, "--hidden", 4, "--batch", 2, "--seq-len", 4, "--threads", 1]
    lines = tmp_path / "lines"
    assert rondeau("train", rhymes, "--documents", "line", *small, "--out", lines)[0] == 0
    code, stdout, _ = rondeau("evaluate", cloze_run, rhymes, "--beside", lines, "--json")
    (both,), (left,) = json.loads(stdout)["cloze"].values()
    assert code == 0
    assert both["gaps"] == left["gaps"] == sum(map(len, RHYMES))


def test_a_run_does_not_stand_beside_itself(rondeau, cloze_run):
    code, _, stderr = rondeau("evaluate", cloze_run, "--beside", cloze_run)
    assert (code, "is the same run" in stderr) == (2, True)


def test_what_a_cloze_cannot_do_is_told_with_what_can(rondeau, cloze_run):
    for words, said in (
        (["generate", cloze_run], "use infill"),
        (["score", cloze_run, "猫"], "with infill"),
        (["infill", cloze_run, "猫"], "no gap"),
    ):
        code, stdout, stderr = rondeau(*words)
        assert (code, stdout) == (2, "")
        assert said in stderr
        assert stderr.count("\n") == 1

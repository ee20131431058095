"""`rondeau study`: what it prints, what it leaves, and what it refuses."""

import json

TINY = ["--hidden", 4, "--steps", 2, "--batch", 4, "--threads", 1]


def test_the_study_of_reach_prints_a_table_and_leaves_a_page(rondeau, rhymes, tmp_path):
    out = tmp_path / "study"
    code, stdout, stderr = rondeau(
        "study", rhymes, "--documents", "blank-line", "--out", out, *TINY, "--seq-len", 16
    )
    assert code == 0, stderr
    assert "GRU (reset before)" in stdout
    assert "On this text" in stdout
    assert stderr.count("held out: perplexity") == 4
    names = {path.name for path in out.iterdir()}
    assert {"study.html", "study.json", "reach.png", "jacobians.png", "gru", "lstm"} <= names
    assert json.loads((out / "study.json").read_text())["task"] == "reach"


def test_a_memory_task_needs_no_text_and_leaves_a_page(rondeau, tmp_path):
    out = tmp_path / "study"
    code, stdout, stderr = rondeau(
        "study", "--task", "add", "--out", out, *TINY, "--quiet", "--json"
    )
    document = json.loads(stdout)
    assert (code, stderr) == (0, "")
    assert document == json.loads((out / "memory-add.json").read_text())
    assert document["settings"]["hidden"] == 4
    assert {path.name for path in out.iterdir()} == {
        "memory-add.html", "memory-add.png", "memory-add.json",
    }  # fmt: skip
    code, stdout, stderr = rondeau("study", "--task", "recall", "--out", out, *TINY)
    assert code == 0
    assert "longest lag learned" in stdout
    assert "gru lag 10: not learned in 2 steps" in stderr


def test_mistakes_are_named_and_leave_nothing(rondeau, rhymes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    cases = [
        (["study", rhymes, "--task", "copy"], "needs no text"),
        (["study", "--task", "copy", "--cell", "lstm"], "--cell: a memory task has no such"),
        (["study", "--task", "copy", "--hidden", "0"], "--hidden 0"),
        (["study", "--task", "sing"], "sing"),
        (["study", rhymes, "--cell", "lstm"], "--cell: a study has all cells"),
        (["study", tmp_path / "nowhere.txt"], "no such file"),
        (["study", "--task", "copy", "--out", tmp_path / "file", *TINY], "cannot be made"),
    ]
    for arguments, part in cases:
        code, stdout, stderr = rondeau(*arguments, "--quiet")
        assert (code, stdout, stderr.count("\n")) == (2, "", 1), (arguments, stderr)
        assert part in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

"""`rondeau inspect` as a user types it."""

import json
import shutil

import pytest

from rondeau.cli.inspect import file_or_text


@pytest.fixture
def own(run, tmp_path):
    """A copy of the run, which a command may write into."""
    return shutil.copytree(run, tmp_path / "run")


def test_a_page_is_written_into_the_run_and_named(rondeau, own):
    code, stdout, _ = rondeau("inspect", own)
    assert (code, stdout) == (0, f"{own}/inspection/inspection.html\n")
    assert (own / "inspection" / "context.png").exists()
    assert rondeau("evaluate", own)[0] == 0


def test_json_gives_the_numbers_and_where_the_page_is(rondeau, own, tmp_path):
    out = tmp_path / "out"
    code, stdout, stderr = rondeau("inspect", own, "龙白大来了\n好白猫走了", "--out", out, "--json")
    document = json.loads(stdout)
    assert code == 0
    assert "'龙' not in the vocabulary" in stderr
    assert document["page"] == str(out / "inspection.html")
    assert document["characters"] == 11
    (layer,) = document["layers"]
    assert len(layer["time_constants"]) == 16
    assert {"r", "z"} == set(layer["gates"])
    assert [h["held"] for h in document["ablation"]["held"]][:3] == ["r = 0", "r = 1", "r = mean"]
    assert document["context"]["lengths"][0] == 1


def test_a_text_is_a_file_where_there_is_one(rhymes):
    assert file_or_text(str(rhymes)) == rhymes
    for text in ("猫", "猫" * 300, "猫\0", ""):
        assert file_or_text(text) == text


def test_bad_input_gets_one_line_and_exit_code_2(rondeau, own, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty.txt").touch()
    for arguments, part in [
        ([tmp_path / "nowhere"], "no such run folder"),
        ([own, ""], "empty"),
        ([own, tmp_path / "empty.txt"], "has no text"),
        ([own, "猫", "--out", tmp_path / "file"], "cannot be made"),
    ]:
        code, stdout, stderr = rondeau("inspect", *arguments)
        assert (code, stdout, stderr.count("\n")) == (2, "", 1), stderr
        assert part in stderr
    assert (tmp_path / "file").read_text() == "mine"

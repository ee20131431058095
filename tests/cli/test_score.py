"""`score`: a text and the lines of a file."""

import functools
import json
import re

import pytest
from rich.console import Console

from rondeau.cli import score as door


def test_each_character_stands_with_what_the_model_preferred(rondeau, run):
    code, stdout, _ = rondeau("score", run, "猫白大来了")
    rows = [line.split() for line in stdout.splitlines()[1:-1]]
    assert code == 0
    assert [row[0] for row in rows] == ["猫", "白", "大", "来", "了", "(end)"]
    assert all(row[3].endswith("%") for row in rows)
    listed = json.loads(rondeau("score", run, "猫", "--json")[1])["characters"]
    assert listed[0]["alternatives"][0]["probability"] > listed[0]["alternatives"][1]["probability"]


def test_a_terminal_shows_shades_a_legend_and_the_most_surprising(rondeau, run, monkeypatch):
    consoles = []

    class Terminal(Console):
        def __init__(self, **settings):
            super().__init__(force_terminal=True, color_system="truecolor", **settings)
            consoles.append(self)

    monkeypatch.setattr(door, "Console", Terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    stdout = rondeau("score", run, "猫白大来了\n了大白猫走了")[1]
    assert "\x1b[" in stdout
    assert "bits:" in stdout
    assert len(stdout.split("preferred")[1].splitlines()) == door.MOST_SURPRISING + 2
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in rondeau("score", run, "猫白大来了")[1]


def test_lines_of_a_file_are_a_table_with_the_odd_one_marked(rondeau, run, tmp_path):
    lines = ["猫白大来了", "", "猫黑小来了", "狗白好来了", "鸟黑大来了", "!?\u202e!?"]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    code, stdout, _ = rondeau("score", run, "--lines", path)
    rows = stdout.splitlines()[1:]
    assert code == 0
    assert [row.partition(":")[0] for row in rows] == ["1", "3", "4", "5", "6"]
    assert [row.rstrip().endswith("odd") for row in rows] == [False] * 4 + [True]
    assert "\u202e" not in stdout
    listed = json.loads(rondeau("score", run, "--lines", path, "--json")[1])["lines"]
    assert [line["odd"] for line in listed] == [False] * 4 + [True]


@pytest.mark.parametrize("words", [[], ["猫", "--lines", "x.txt"]])
def test_a_text_or_lines_are_given_one_of_them(rondeau, run, words):
    code, _, stderr = rondeau("score", run, *words)
    assert code == 2
    assert "one of them" in stderr


def test_lines_of_several_texts_are_read_one_after_another(rondeau, run, tmp_path):
    path = tmp_path / "songs.jsonl"
    path.write_text('{"text": "猫白大\\n狗白好"}\n{"text": "鸟黑大"}\n', encoding="utf-8")
    code, stdout, _ = rondeau("score", run, "--lines", path, "--json")
    assert code == 0
    found = [(line["line"], line["text"]) for line in json.loads(stdout)["lines"]]
    assert found == [(1, "猫白大"), (2, "狗白好"), (3, "鸟黑大")]


def test_a_long_line_is_cut_in_the_table_and_whole_in_json(rondeau, run, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("猫白大来了" * 60, encoding="utf-8")
    (row,) = rondeau("score", run, "--lines", path)[1].splitlines()[1:]
    assert "…" in row
    assert re.search(r" \d+\.\d\d", row)
    (line,) = json.loads(rondeau("score", run, "--lines", path, "--json")[1])["lines"]
    assert line["text"] == "猫白大来了" * 60


def test_a_terminal_without_colours_gets_a_row_for_each_character(rondeau, run, monkeypatch):
    monkeypatch.setattr(door, "Console", functools.partial(Console, force_terminal=True))
    monkeypatch.setenv("TERM", "dumb")
    stdout = rondeau("score", run, "猫白大来了")[1]
    assert "bits:" not in stdout
    assert len(stdout.splitlines()) == 1 + 6 + 1

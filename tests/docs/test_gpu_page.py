"""What docs/gpu.md offers to be copied: commands that parse."""

import re
import shlex
from pathlib import Path

from rondeau.cli.app import app

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")


def commands(start):
    """The page's lines that start so, in words, without the start."""
    lines = re.findall(rf"^{re.escape(start)} (.*)$", TEXT, re.MULTILINE)
    assert lines
    return [shlex.split(line) for line in lines]


def test_its_commands_are_ones_that_rondeau_understands():
    names = [
        app.parse_args(words, exit_on_error=False, print_error=False)[0].__name__
        for words in commands("rondeau")
    ]
    assert names == ["train", "generate"]


def test_its_benchmarks_and_tests_are_there(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu

    asked = [
        gpu.arguments().parse_args(words).what for words in commands("python benchmarks/gpu.py")
    ]
    assert set(asked) == {"unroll", "step", "learn"}
    (paths,) = commands("python -m pytest")
    assert all((ROOT / path).is_file() for path in paths)

"""What docs/cells.md says: its equations and examples run, its pictures are those of the script."""

import doctest
import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

from rondeau import ModelConfig, Stack, cells

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("cells.md", "cells.zh.md")
ROW = re.compile(r"(\([^()]*\)|\b[xh]\b) ([WU](?:_\w)?)\b")


def blocks(page, kind):
    """A page's code blocks of a kind."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def computed(equations, letters):
    """Evaluate equations as they are printed, line by line, from the values of their letters."""
    functions = {"σ": lambda v: 1 / (1 + np.exp(-v)), "tanh": np.tanh, "φ": np.tanh}
    values = functions | letters
    for line in equations.splitlines():
        name, _, formula = line.replace("'", "_next").partition(" = ")
        formula = ROW.sub(r"(\1 @ \2)", formula.replace("−", "-").replace("⊙", "*"))
        values[name.strip()] = eval(formula, {"__builtins__": {}}, values)
    return values


@pytest.mark.parametrize("page", PAGES)
def test_the_equations_are_what_the_cells_compute(page):
    shown = blocks(page, "text")
    assert len(shown) == 4
    rng = np.random.default_rng(0)
    for block in shown:
        made, _, equations = block.partition(":\n")
        cell = eval(made, vars(cells) | {"D": 3, "H": 5}).double()
        carry = cell.carry_type(*(rng.normal(size=(2, 5)) for _ in cell.carry_type._fields))
        x = rng.normal(size=(2, 3))
        W, U, b, c = (parameter.detach().numpy() for parameter in cell.parameters())
        letters = {"x": x, **carry._asdict(), "W": W, "U": U, "b": b + c}
        for k, gate in enumerate(cell.gate_names):
            part = slice(5 * k, 5 * k + 5)
            letters |= {f"W_{gate}": W[:, part], f"U_{gate}": U[:, part]}
            # Where the equations have c_n, b_n is the input's bias alone.
            split = f"c_{gate}" in equations
            letters |= {f"b_{gate}": (b if split else b + c)[part], f"c_{gate}": c[part]}
        result = computed(equations, letters)
        state = cell(torch.from_numpy(x), cell.carry_type(*map(torch.from_numpy, carry)))
        for name, value in state._asdict().items():
            np.testing.assert_allclose(value.detach(), result[f"{name}_next"], atol=1e-12)


def test_the_examples_give_what_they_show():
    examples = "\n".join(blocks("cells.md", "pycon"))
    test = doctest.DocTestParser().get_doctest(examples, {}, "cells.md", "cells.md", 0)
    assert len(test.examples) > 10
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_the_numbers_worked_out_by_hand_are_those_of_the_examples():
    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8")
        (row,) = re.findall(
            r"^\| h' = ½ n \+ ½ h \| \((.*?)\) \| \((.*?)\) \|$", text, re.MULTILINE
        )
        shown = re.findall(r'step\("\w+"\).h\ntensor\(\[\[ ?(.*?)\]\]\)', text)
        assert [numbers.replace("−", "-") for numbers in row] == shown


def test_both_languages_show_the_same_equations_examples_and_pictures():
    for kind in ("text", "pycon"):
        assert blocks("cells.md", kind) == blocks("cells.zh.md", kind)
    both = [(DOCS / page).read_text(encoding="utf-8") for page in PAGES]
    for pattern in (r"\]\((images/.*?)\)", r"(\d,\d{3},?\d* )\|", r"arXiv:\S+"):
        assert re.findall(pattern, both[0]) == re.findall(pattern, both[1]) != []


@pytest.mark.parametrize("page", PAGES)
def test_the_counts_of_weights_are_those_of_stacks(page):
    counts = re.findall(
        r"^\| (?:RNN|GRU|LSTM)[^|]*\| ([\d,]+) \|$", (DOCS / page).read_text(), re.M
    )
    shapes = [
        ModelConfig(cell="rnn"),
        ModelConfig(cell="gru"),
        ModelConfig(cell="lstm"),
        ModelConfig(cell="lstm", layers=2),
        ModelConfig(cell="gru", hidden=128, bidirectional=True),
    ]
    stacks = [Stack.from_config(shape, 1027) for shape in shapes]
    numbers = [sum(p.numel() for p in stack.parameters()) for stack in stacks]
    assert counts == [f"{number:,}" for number in numbers]


def test_the_diagrams_are_those_that_the_script_draws():
    diagrams = runpy.run_path(str(DOCS / "diagrams.py"))["DIAGRAMS"]
    drawn = {f"cell-{name}.svg": draw().svg() for name, draw in diagrams.items()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("images/cell-*.svg")}
    assert kept == drawn
    page = (DOCS / "cells.md").read_text(encoding="utf-8")
    assert set(re.findall(r"images/(cell-.*?\.svg)", page)) == set(drawn)
    for svg in drawn.values():
        assert ET.fromstring(svg).tag.endswith("svg")

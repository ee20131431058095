"""The benchmark for GPUs runs on the CPU, so that it is right when there is a GPU to ask."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """What the script finds with some arguments."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    def found(*arguments):
        told = tmp_path / "told.json"
        command = ["gpu.py", *arguments, "--device", "cpu", "--rounds", "2", "--json", str(told)]
        monkeypatch.setattr(sys, "argv", command)
        gpu.main()
        return json.loads(told.read_text())["found"]

    return found


def test_layers_are_compared_where_they_are_right(run):
    shape = ["--batches", "2", "--hidden", "8", "--steps", "4", "--precisions", "bfloat16"]
    found = run(
        "unroll", "--cells", "gru", "gru-before", "--backends", "library", "reference", *shape
    )
    assert [set(contest["results"]) for contest in found] == [
        {"torch.nn", "library", "reference"},
        {"reference"},
    ]
    assert all(0 < error < 0.1 for contest in found for error in contest["errors"].values())


def test_steps_are_compared_once_their_losses_are_the_same(run):
    sizes = ["--hidden", "8", "--vocabulary", "20", "--precisions", "float32"]
    (found,) = run("step", "--backends", "auto", "reference", *sizes)
    assert set(found["results"]) == {"torch.nn", "auto", "reference"}
    assert found["losses"]["auto"] == pytest.approx(found["losses"]["reference"], rel=1e-5)


def test_a_training_ends_at_its_target(run, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("abcdefgh\n" * 300, encoding="utf-8")
    sizes = ["--hidden", "8", "--precisions", "float32", "--backends", "auto", "--steps", "200"]
    found = run("learn", str(text), *sizes, "--every", "10", "--target", "2.2")
    assert found[-1]["loss"] <= 2.2 < found[-2]["loss"]
    assert found[-1]["loss on the whole split"] == pytest.approx(found[-1]["loss"], rel=1e-3)

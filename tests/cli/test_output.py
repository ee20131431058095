"""What the terminal's door says beside the results."""

import pytest

from rondeau import compilation
from rondeau.cli import output
from rondeau.training.events import Event, HeldOut


@pytest.fixture(autouse=True)
def nothing_said_yet():
    output.note_compilation.cache_clear()
    yield
    output.note_compilation.cache_clear()


@pytest.mark.parametrize(("seconds", "said"), [(0.4, 0), (5.06, 1)])
def test_compiling_is_told_once_if_it_took_over_a_second(monkeypatch, capsys, seconds, said):
    monkeypatch.setattr(compilation, "compile_seconds", lambda: seconds)
    output.note_compilation(False)
    output.note_compilation(False)
    assert capsys.readouterr().err.count("5.1 s went into compiling") == said


def test_quiet_keeps_the_compiling_to_itself(monkeypatch, capsys):
    monkeypatch.setattr(compilation, "compile_seconds", lambda: 60.0)
    output.note_compilation(True)
    assert not capsys.readouterr().err


def event(step, seconds, **others):
    """An event of a hundred steps, of which only these figures matter here."""
    figures = {"tokens": step, "loss": 2.0, "learning_rate": 0.1, "gradient_norm": 1.0}
    return Event(step, 100, **figures, tokens_per_second=9.0, seconds=seconds, **others)


def test_what_is_left_leaves_out_the_first_step_which_may_compile(capsys):
    progress = output.TrainingProgress(quiet=False)
    progress.show(event(1, 60.0))
    progress.show(event(25, 62.4))
    progress.show(event(51, 65.0, held_out=HeldOut(2.0, 9, True, "perplexity")))
    first, look = capsys.readouterr().err.splitlines()
    assert "step     1/100" in first
    assert "left" not in first
    assert "  5 s left  | held out" in look

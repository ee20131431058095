"""What the terminal's door says beside the results."""

import pytest

from rondeau import compilation
from rondeau.cli import output


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

"""A start that was cut off, begun again."""

from pathlib import Path

import pytest

from rondeau.run.folder import RunFolder
from rondeau.run.start import beginning, is_unfinished, new_run

FIRST = {"config.json": b"{}", "results.json": b"{}", "private/corpus.json": b"{}"}


@pytest.fixture
def cut_off(tmp_path):
    """A run whose first files are there, but for the last."""
    folder = new_run(tmp_path / "run")
    with beginning(folder):
        folder.change(FIRST)
    return folder.path


def test_what_is_left_of_it_is_cleared_away_first(cut_off):
    with beginning(new_run(cut_off)):
        assert [path.name for path in cut_off.rglob("*") if path.is_file()] == ["lock"]


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_where_that_is_cut_off_too_no_file_is_named_that_is_gone(cut_off, monkeypatch, nth):
    remove, left = Path.unlink, nth

    def cut_off_at_the_nth(path, missing_ok=False):
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", cut_off_at_the_nth)
    with pytest.raises(KeyboardInterrupt), beginning(RunFolder(cut_off)):
        pass
    assert is_unfinished(cut_off)
    folder = RunFolder(cut_off)
    for name in folder.names():
        folder.read(name)

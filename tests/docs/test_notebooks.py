"""The notebooks: they run as they stand, with shortened trainings, and say the same in Chinese."""

import runpy
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"
ENGLISH = sorted(path for path in NOTEBOOKS.glob("*.py") if not path.name.endswith(".zh.py"))


def cells(path):
    """(kind, text) of the cells of a notebook in jupytext's py:percent form."""
    _, *parts = path.read_text(encoding="utf-8").split("# %%")
    return [
        ("prose", part.removeprefix(" [markdown]")) if part.startswith(" [m") else ("code", part)
        for part in parts
    ]


@pytest.mark.parametrize("path", ENGLISH, ids=lambda path: path.stem)
def test_the_notebook_runs_and_draws(path, tmp_path, monkeypatch):
    import matplotlib

    monkeypatch.setenv("RONDEAU_NOTEBOOK_STEPS", "20")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    with matplotlib.rc_context():
        runpy.run_path(str(path))
        figures = plt.get_fignums()
        for number in figures:
            plt.figure(number).savefig(tmp_path / f"{number}.png")
        plt.close("all")
    assert len(figures) >= 3


@pytest.mark.parametrize("path", ENGLISH, ids=lambda path: path.stem)
def test_both_languages_run_the_same_code_between_paragraphs_of_their_own(path):
    english, chinese = cells(path), cells(path.with_suffix(".zh.py"))
    assert [kind for kind, _ in english] == [kind for kind, _ in chinese]
    for (kind, ours), (_, theirs) in zip(english, chinese, strict=True):
        assert (ours == theirs) == (kind == "code")


@pytest.mark.parametrize("path", ENGLISH, ids=lambda path: path.stem)
def test_the_sources_become_notebooks_without_loss(path):
    jupytext = pytest.importorskip("jupytext", reason="needs the extra notebooks")
    notebook = jupytext.read(path)
    kinds = ["markdown" if kind == "prose" else "code" for kind, _ in cells(path)]
    assert [cell.cell_type for cell in notebook.cells] == kinds
    assert "# %%" in jupytext.writes(notebook, fmt="py:percent")

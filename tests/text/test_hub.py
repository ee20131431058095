"""Data sets of Hugging Face as sources: rows are documents, and what is wrong is named."""

import json
import sys

import pytest

from rondeau.config import TextConfig
from rondeau.errors import CorpusError
from rondeau.text.loading import load_corpus
from rondeau.text.preparing import prepare
from rondeau.text.reading import read_documents
from rondeau.text.repairs import Repairs

pytest.importorskip("datasets", reason="the extra data isn't installed")
ROWS = [f"poem {i}\n{'la ' * (i % 5)}" for i in range(60)]


@pytest.fixture
def poems(tmp_path, monkeypatch):
    """A data set in a folder: a split each for training and test, with two fields of text."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "poems"
    folder.mkdir()
    for split, rows in (("train", ROWS), ("test", ["held out"])):
        lines = (json.dumps({"text": row, "title": row[:6], "year": 1}) for row in rows)
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


def read(name):
    return read_documents([name], TextConfig(), Repairs())


def test_rows_are_documents_of_the_split_and_the_field_that_are_named(poems):
    assert read(f"datasets:{poems}") == ROWS
    assert read(f"datasets:{poems}@test") == ["held out"]
    assert read(f"datasets:{poems}:default@train#title") == [row[:6] for row in ROWS]


def test_it_is_prepared_and_loaded_as_any_source(poems, tmp_path):
    name = f"datasets:{poems}"
    prepared = prepare([name], out=tmp_path / "ready", workers=2)
    loaded = load_corpus([name], TextConfig())
    assert loaded.sources == (name,)
    assert prepared.fingerprint == loaded.fingerprint
    assert sum(map(len, loaded.parts.values())) == len(ROWS)


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        ("#body", "has no text in its field body; name one of those that have after #: text, tit"),
        ("#year", "has no text in its field year"),
        ("@nowhere", "cannot be read: .*nowhere"),
        ("@a@b", r"is not spelled datasets:NAME\[:CONFIG\]\[@SPLIT\]\[#FIELD\]"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(poems, suffix, said):
    with pytest.raises(CorpusError, match=f"poems{suffix}: {said}") as raised:
        read(f"datasets:{poems}{suffix}")
    assert "\n" not in str(raised.value)


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match=r"needs datasets: pip install 'rondeau\[data\]'"):
        read("datasets:owner/name")

"""What of held-out text stands in the training text: against sets of slices and of lines."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondeau.config import TextConfig
from rondeau.evaluation import overlap as module
from rondeau.evaluation.overlap import Overlap, overlap
from rondeau.text.corpus import in_memory, split_corpus
from rondeau.text.documents import Alphabet, Documents, ring_counts, ring_ids, ring_starts
from rondeau.text.loading import load_corpus
from rondeau.text.preparing import prepare
from rondeau.text.splits import ranges_of
from rondeau.text.tokenizer import to_codes

SONG = "abcde fghij klmno pqrst uvwxyz"


def sides(train, held_out):
    """Two splits of one corpus."""
    texts = [*train, *held_out]
    text = to_codes("|".join(texts))
    ranges = ranges_of(np.array([len(document) for document in texts], dtype=np.int64))
    halves = ranges[: len(train)], ranges[len(train) :]
    alphabet = Alphabet.of(*(ring_counts(text, half) for half in halves))
    return [
        Documents(
            in_memory("train", alphabet, ring_ids(text, half, alphabet)),
            ring_starts(half),
            np.arange(len(half)),
            alphabet.codes,
            0,
        )
        for half in halves
    ]


def grams(document):
    return [document[i : i + 20] for i in range(len(document) - 19)]


def lines(document):
    bare = (re.sub(r"[\W_]", "", line.lower()) for line in document.split("\n"))
    return [line for line in bare if line]


def share(train, held_out, pieces):
    known = {piece for document in train for piece in pieces(document)}
    wanted = [piece for document in held_out for piece in pieces(document)]
    return sum(piece in known for piece in wanted) / len(wanted) if wanted else None


pieces = st.sampled_from([SONG, SONG[5:], "a\n", "\n\n", "A b", "啊，", ".", "\u00a0"])
texts = st.lists(st.lists(pieces).map("".join), max_size=6)


@pytest.mark.parametrize("block", [7, 64, 2**20])
@given(train=texts, held_out=texts)
def test_it_is_what_sets_of_slices_and_lines_give(block, train, held_out):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        found = overlap(*sides(["\n", *train], held_out))
    assert found.grams == share(train, held_out, grams)
    assert found.lines == share(train, held_out, lines)
    assert found.characters == sum(map(len, held_out))


def test_a_text_cut_by_its_tail_is_measured_too():
    corpus = split_corpus([f"{SONG}\n" * 10], TextConfig(split="tail"))
    assert overlap(corpus.train, corpus.validation) == Overlap(1.0, 1.0, len(corpus.validation[0]))


def test_documents_without_line_breaks_have_no_lines():
    assert overlap(*sides([SONG], [SONG, SONG[3:-3], "a"])).lines is None


def test_nothing_held_out_has_no_overlap():
    assert overlap(*sides([f"{SONG}\n"], [])) == Overlap(None, None, 0)


def test_of_a_large_split_the_beginning_is_looked_at(monkeypatch):
    monkeypatch.setattr(module, "MOST", 62)
    train, held_out = [f"{SONG}\n"], [SONG, SONG[::-1], "\n" + SONG]
    found = overlap(*sides(train, held_out))
    assert found.characters == 60
    assert found.grams == share(train, held_out[:2], grams) == 0.5


def test_a_prepared_corpus_has_the_overlap_of_its_files(tmp_path, rhymes):
    config = TextConfig(documents="blank-line", seed=5)
    corpora = load_corpus([rhymes], config), prepare([rhymes], config, out=tmp_path / "ready")
    from_files, from_disk = (overlap(corpus.train, corpus.test) for corpus in corpora)
    assert from_files == from_disk
    assert from_disk.lines is not None

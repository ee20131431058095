"""Splits: what is held out, that it is really held out, and the embedded songs."""

import re
from collections import Counter

import pytest

from rondeau.config import TextConfig
from rondeau.errors import CorpusError, OptionError
from rondeau.text import corpus as corpus_module
from rondeau.text.corpus import split_corpus
from rondeau.text.loading import load_corpus, read_songs
from rondeau.text.splits import SPLIT_NAMES
from rondeau.text.tokenizer import BOS

DOCUMENTS = [f"document number {i}" for i in range(50)]


def test_documents_are_split_80_10_10_and_none_is_in_two_splits():
    corpus = split_corpus(DOCUMENTS, TextConfig())
    assert [len(s) for s in (corpus.train, corpus.validation, corpus.test)] == [40, 5, 5]
    assert Counter(d for name in SPLIT_NAMES for d in corpus.parts[name]) == Counter(DOCUMENTS)


def test_the_seed_decides_what_is_held_out():
    first, same, other = (split_corpus(DOCUMENTS, TextConfig(seed=s)) for s in (1, 1, 2))
    assert first.fingerprint == same.fingerprint != other.fingerprint


def test_a_tail_split_is_the_text_verbatim():
    corpus = split_corpus(["0123456789" * 5], TextConfig(split="tail"))
    assert corpus.train[0] + corpus.validation[0] == "0123456789" * 5
    assert len(corpus.validation[0]) == 5
    assert not corpus.whole_documents


def test_so_many_characters_at_the_end_are_held_out_if_the_user_says_so():
    corpus = split_corpus(["0123456789" * 5], TextConfig(split="tail", held_out=7))
    assert (list(corpus.train), list(corpus.validation)) == (
        ["0123456789" * 4 + "012"],
        ["3456789"],
    )
    with pytest.raises(CorpusError, match="--held-out 31: leaves less than 20 of the 50"):
        split_corpus(["0123456789" * 5], TextConfig(split="tail", held_out=31))
    with pytest.raises(OptionError, match="--held-out 7: needs --split tail"):
        TextConfig(held_out=7)


def test_one_document_falls_back_to_its_tail_and_says_so():
    corpus = split_corpus(["a text of one document only"], TextConfig())
    assert corpus.split == "tail"
    assert "--documents blank-line" in corpus.notes[0]


def test_two_documents_still_have_one_to_train_and_one_to_validate():
    corpus = split_corpus(["the first document", "the second document"], TextConfig())
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (1, 1, 0)


def test_copies_and_near_copies_are_on_one_side():
    poem = "In the night a wanderer came to the old gate, and nobody knew him by his name."
    copies = [poem, poem.upper().replace(",", " –"), poem.replace("nobody", "somebody")]
    documents = [document for pair in zip(copies, DOCUMENTS, strict=False) for document in pair]
    documents += DOCUMENTS[3:]
    for seed in range(20):
        corpus = split_corpus(documents, TextConfig(seed=seed))
        sides = [set(corpus.parts[name]) & set(copies) for name in SPLIT_NAMES]
        assert sorted(map(len, sides)) == [0, 0, 3]
        for part in corpus.parts.values():
            assert [documents[number] for number in part.numbers] == list(part)
    assert corpus.notes == (
        "3 of 53 documents are copies or near copies of another: kept on one side of the split",
    )
    assert split_corpus(DOCUMENTS, TextConfig()).notes == ()


def test_in_a_large_text_only_exact_copies_are_looked_for_and_that_is_said(monkeypatch):
    monkeypatch.setattr(corpus_module, "LIMIT", 1000)
    poem = "In the night a wanderer came to the old gate, and nobody knew him by his name."
    corpus = split_corpus([poem, poem[1:], poem + "!", *DOCUMENTS], TextConfig())
    assert "2 of 53 documents are copies" in corpus.notes[0]
    assert "rondeau prepare looks for near copies too" in corpus.notes[1]
    for config in (TextConfig(split="tail"), TextConfig(split="none")):
        assert split_corpus([poem] * 20, config).notes == ()


def test_nothing_is_held_out_when_asked():
    corpus = split_corpus(DOCUMENTS, TextConfig(split="none"))
    assert (len(corpus.validation), len(corpus.test)) == (0, 0)


def test_a_ring_of_ids_is_documents_joined_by_their_beginnings():
    corpus = split_corpus(["ab" * 10, "c"], TextConfig(split="document", seed=1))
    ring = corpus.train.ring.tolist()
    assert ring == [BOS, *corpus.tokenizer.encode(corpus.train[0])]
    assert len(corpus.tokenizer) in (4, 5)


def test_held_out_characters_that_training_never_saw_come_back_to_the_letter():
    documents = [chr(0x4E00 + i) * 3 + "\U00020000" for i in range(30)]
    corpus = split_corpus(documents, TextConfig())
    assert Counter(d for name in SPLIT_NAMES for d in corpus.parts[name]) == Counter(documents)
    assert max(corpus.train.ring) < len(corpus.tokenizer) <= max(corpus.validation.ring)
    held_out = corpus.validation
    assert held_out.utf8_bytes == sum(len(d.encode()) for d in held_out) == 13 * len(held_out)
    assert held_out.characters == held_out.lengths.sum() == 4 * len(held_out)
    assert held_out.excerpt(1, 1, 3) == held_out[1][1:3]


def test_a_handful_of_characters_is_no_corpus():
    with pytest.raises(CorpusError, match="has 5 characters"):
        split_corpus(["short"], TextConfig())


def test_without_a_corpus_the_songs_are_used_and_that_is_said():
    corpus = load_corpus([], TextConfig())
    assert corpus.split == "document"
    assert "embedded songs" in corpus.notes[0]


def test_the_songs_are_many_rich_and_have_refrains():
    songs = read_songs(TextConfig())
    text = "".join(songs)
    chinese = re.findall("[\u4e00-\u9fff]", text)
    assert len(songs) >= 60
    assert len(chinese) >= 14_000
    assert len(set(chinese)) >= 1_000
    assert sum("不分开" in song for song in songs) >= 2
    assert re.search("(?<!不)分开", text)
    assert set(text) - set(chinese) == {"\n", " "}
    for song in songs:
        stanzas = song.strip().split("\n\n")
        title = stanzas[0]
        assert max(Counter(stanzas[1:]).values()) >= 2 or _refrain(stanzas[1:]), title


def _refrain(stanzas):
    """Whether two stanzas share all lines but the last."""
    heads = Counter(stanza.rsplit("\n", 1)[0] for stanza in stanzas)
    return max(heads.values()) >= 2

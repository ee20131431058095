"""Copies of documents: exact ones against a dictionary, near ones against all pairs compared."""

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondeau.text import duplicates
from rondeau.text.duplicates import find_copies, fold
from rondeau.text.splits import ranges_of
from rondeau.text.tokenizer import to_codes


def groups_of(documents, *, near):
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    return find_copies(to_codes("\n".join(documents)), ranges_of(lengths), near=near).tolist()


def bare(text):
    """What is left without anything but letters and digits, in lower case."""
    return re.sub(r"[\W_]", "", text.lower())


def likeness(a, b):
    """Jaccard's share of distinct runs of five characters."""
    a, b = ({text[i : i + 5] for i in range(len(text) - 4)} for text in (bare(a), bare(b)))
    return len(a & b) / len(a | b)


@given(st.lists(st.text("aAbÉé李 ,。\n\t“—", max_size=6)), st.booleans())
def test_exact_copies_are_those_whose_letters_are_the_same(documents, near):
    first = {}
    expected = [
        first.setdefault(bare(document) or number, number)
        for number, document in enumerate(documents)
    ]
    assert groups_of(documents, near=near) == expected


def test_what_counts_of_a_text_is_more_than_its_letters():
    text = "A\u00a0b\u3000－_，\x00\u200b\ufeffI\u0130+♪□\ue000\U00020000\ud800"
    kept = [code for code in fold(to_codes(text)).tolist() if code]
    assert kept == [ord(c) for c in "abi\u0130+♪□\ue000\U00020000\ud800"]


def edited(generator, text, share):
    return "".join(generator.choice("abcdefgh") if generator.random() < share else c for c in text)


@given(st.integers(0, 10**6))
def test_near_copies_are_those_that_a_comparison_of_all_pairs_finds(seed):
    generator = random.Random(seed)
    songs = ["".join(generator.choices("abcdefgh", k=n)) for n in (40, 60, 90)]
    documents = [
        edited(generator, generator.choice(songs), generator.choice([0, 0.02, 0.05, 0.1]))
        for _ in range(12)
    ]
    groups = groups_of(documents, near=True)
    pairs = [(a, b) for b in range(len(documents)) for a in range(b)]
    joined = list(range(len(documents)))
    for a, b in pairs:
        like = likeness(documents[a], documents[b])
        if like >= 0.5:
            joined = [joined[a] if group == joined[b] else group for group in joined]
        assert like < 0.8 or groups[a] == groups[b]
    assert all(groups[a] != groups[b] or joined[a] == joined[b] for a, b in pairs)


def test_of_pairs_that_are_just_alike_hardly_any_is_missed():
    generator = random.Random(1)
    found = count = 0
    for _ in range(400):
        song = "".join(generator.choices("abcdefghijklmnop", k=100))
        other = edited(generator, song, 0.07)
        if 0.5 <= likeness(song, other) < 0.6:
            count += 1
            found += groups_of([song, other], near=True) == [0, 0]
    assert count > 50
    assert found >= 0.98 * count


def test_short_documents_are_no_near_copies():
    names = ["christina-georgina r", "christina georgine r", "Christina Georgina R."]
    assert likeness(names[0], names[1]) > 0.5
    assert groups_of(names, near=True) == [0, 1, 0]


def test_many_documents_with_the_same_opening_are_told_apart():
    generator = random.Random(2)
    opening = "".join(generator.choices("abcdefgh", k=60))
    songs = [opening + "".join(generator.choices("abcdefgh", k=100)) for _ in range(40)]
    documents = [song + "!" + "xyz"[verse] * 8 for verse in range(3) for song in songs]
    assert groups_of(documents, near=True) == [*range(40)] * 3


def test_long_documents_are_compared_by_their_beginnings(monkeypatch):
    monkeypatch.setattr(duplicates, "LONGEST", 100)
    generator = random.Random(3)
    same, *others = ("".join(generator.choices("abcdefgh", k=100)) for _ in range(4))
    documents = [same + others[0] * 3, same + others[1] * 3, others[2] + same * 3]
    assert groups_of(documents, near=True) == [0, 0, 2]
    assert groups_of(documents, near=False) == [0, 1, 2]


@pytest.mark.parametrize("documents", [[], ["one document of some length"]])
def test_one_document_or_none_is_no_copy(documents):
    assert groups_of(documents, near=True) == [*range(len(documents))]

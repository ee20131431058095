"""Characters to ids and back."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondeau.errors import RunError
from rondeau.text.tokenizer import ASSIGNED_CODE_POINTS, BOS, MASK, UNK, CharTokenizer

texts = st.text(st.characters(codec="utf-8"))


@given(texts)
def test_every_text_of_the_vocabulary_comes_back(text):
    tokenizer = CharTokenizer.train([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) == len(text)


@given(texts, st.booleans())
def test_a_stored_tokenizer_is_the_same_tokenizer(text, specials):
    tokenizer = CharTokenizer.train([text], specials=specials)
    again = CharTokenizer.from_json(tokenizer.to_json().encode(), "tokenizer.json")
    assert again.specials + again.characters == tokenizer.specials + tokenizer.characters


@given(texts, texts)
def test_exactly_the_characters_outside_are_unknown(known, text):
    tokenizer = CharTokenizer.train([known])
    assert [i == UNK for i in tokenizer.encode(text)] == [c not in known for c in text]
    assert tokenizer.unknown(text) == sorted(set(text) - set(known))


def test_the_vocabulary_is_sorted_after_the_special_tokens():
    tokenizer = CharTokenizer.train(["cab"])
    assert [tokenizer.token(i) for i in range(len(tokenizer))] == [
        "<unk>", "<bos>", "<mask>", "a", "b", "c",
    ]  # fmt: skip
    assert (UNK, BOS, MASK) == (0, 1, 2)
    assert tokenizer.decode([BOS, 3, UNK, 4]) == "ab"


def test_characters_seen_once_are_known_as_such():
    tokenizer = CharTokenizer.train(["abca", "c"])
    assert tokenizer.once == {"b"}
    assert tokenizer.seen_once.tolist() == [False, False, False, False, True, False]


def test_the_tokenizer_file_is_read_the_same_by_the_tokenizers_library():
    tokenizers = pytest.importorskip("tokenizers")
    ours = CharTokenizer.train(["分开\n不分开 e\u0301", "\U00020000"])
    theirs = tokenizers.Tokenizer.from_str(ours.to_json())
    for text in ("分开\n不 分", "\U00020000开", "龙开"):
        assert theirs.encode(text).ids == ours.encode(text).tolist()


def test_the_count_of_code_points_is_that_of_unicode_14():
    if unicodedata.unidata_version != "14.0.0":
        pytest.skip(f"this Python has Unicode {unicodedata.unidata_version}")
    kinds = (unicodedata.category(chr(code)) for code in range(0x110000))
    assert sum(kind not in ("Cn", "Co", "Cs") for kind in kinds) == ASSIGNED_CODE_POINTS


VOCABULARIES = {
    "a hole in the ids": {"<unk>": 0, "<bos>": 1, "<mask>": 2, "a": 7},
    "an id twice": {"a": 0, "b": 0},
    "another order": {"b": 0, "a": 1},
    "ids below zero": {"a": -1, "b": 0},
    "ids that are no numbers": {"a": "0"},
    "a huge id": {"a": 10**30},
    "a word": {"abc": 0},
    "no vocabulary": ["a"],
}


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
def test_a_vocabulary_that_is_none_of_ours_is_refused(vocabulary):
    data = json.dumps({"model": {"vocab": vocabulary}}).encode()
    with pytest.raises(RunError, match=r"tokenizer\.json: is not a tokenizer of Rondeau"):
        CharTokenizer.from_json(data, "tokenizer.json")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b"[" * 10**5, b'{"model": {"vocab": {"a": 0, "a": 1}}}'],
    ids=["empty", "a list", "an object", "not UTF-8", "nested", "a character twice"],
)
def test_another_file_is_refused(data):
    with pytest.raises(RunError, match=r"tokenizer\.json: is"):
        CharTokenizer.from_json(data, "tokenizer.json")

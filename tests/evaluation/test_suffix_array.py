"""Suffix arrays and longest runs, beside sorting and searching by brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondeau.evaluation.suffix_array import longest_runs, suffix_array

few_symbols = st.integers(1, 4).flatmap(lambda k: st.lists(st.integers(0, k - 1), max_size=60))
any_symbols = st.lists(st.integers(0, 1_200_000), max_size=30)


def as_array(symbols):
    return np.array(symbols, dtype=np.int32)


def sorted_suffixes(text):
    return sorted(range(len(text)), key=lambda i: text[i:])


def fibonacci(length):
    one, two = [0], [0, 1]
    while len(two) < length:
        one, two = two, two + one
    return two[:length]


@given(text=few_symbols | any_symbols)
@settings(max_examples=300)
def test_suffixes_come_in_the_order_of_sorting_them(text):
    assert suffix_array(as_array(text)).tolist() == sorted_suffixes(text)


@pytest.mark.parametrize(
    "text",
    [
        [],
        [0],
        [1_114_111],
        [7] * 500,
        [0, 1] * 300,
        [1, 0] * 300 + [1],
        [2, 1, 0] * 150,
        [0, 1, 2, 3] * 100 + [0, 1, 2],
        fibonacci(700),
        [1 - symbol for symbol in fibonacci(700)],
        list(range(400)),
        list(range(400, 0, -1)),
    ],
    ids=lambda text: f"{len(text)}:{''.join(map(str, text[:5]))}",
)
def test_suffixes_of_regular_texts_are_sorted_too(text):
    assert suffix_array(as_array(text)).tolist() == sorted_suffixes(text)


def test_a_text_of_many_levels_is_sorted():
    generator = np.random.default_rng(0)
    text = np.tile(generator.integers(0, 50, 997).astype(np.int32), 31)
    suffixes = suffix_array(text)
    assert sorted(suffixes) == list(range(len(text)))
    as_bytes = text.astype(np.uint8).tobytes()
    at = suffixes.tolist()
    assert all(as_bytes[a:] < as_bytes[b:] for a, b in itertools.pairwise(at))


def brute_force_lengths(text, query):
    """The longest run of a query from each of its places that is a slice of a text."""
    there = {tuple(text[i:j]) for i in range(len(text)) for j in range(i, len(text) + 1)}
    return [
        max(n for n in range(len(query) - i + 1) if not n or tuple(query[i : i + n]) in there)
        for i in range(len(query))
    ]


@given(text=few_symbols, query=few_symbols)
@settings(max_examples=300)
def test_runs_are_the_longest_that_brute_force_finds_and_stand_where_they_say(text, query):
    suffixes = suffix_array(as_array(text))
    lengths, places = longest_runs(as_array(text), suffixes, as_array(query))
    assert lengths.tolist() == brute_force_lengths(text, query)
    for i, (length, place) in enumerate(zip(lengths.tolist(), places.tolist(), strict=True)):
        assert query[i : i + length] == text[place : place + length]


@given(text=few_symbols.filter(bool), data=st.data())
def test_pieces_of_a_text_are_found_whole(text, data):
    cuts = st.integers(0, len(text))
    pieces = data.draw(st.lists(st.tuples(cuts, cuts), max_size=4))
    query = [symbol for a, b in pieces for symbol in text[min(a, b) : max(a, b)]]
    lengths, _ = longest_runs(as_array(text), suffix_array(as_array(text)), as_array(query))
    assert lengths.tolist() == brute_force_lengths(text, query)

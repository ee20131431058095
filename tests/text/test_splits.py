"""Which documents are held out: as without copies where there are none, copies on one side."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondeau.config import TextConfig
from rondeau.text.splits import SPLIT_NAMES, ranges_of, split_ranges


def split(groups, seed=0):
    """Splits of documents of 20, 21, … characters."""
    ranges = ranges_of(np.arange(len(groups)) + 20)
    splits = split_ranges(ranges, TextConfig(seed=seed), np.array(groups, dtype=np.int64))
    for name in SPLIT_NAMES:
        assert (splits.ranges[name] == ranges[splits.numbers[name]]).all()
    return splits, [splits.numbers[name].tolist() for name in SPLIT_NAMES]


def shuffled(count, seed):
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


@given(st.integers(2, 60), st.integers(0, 9))
def test_without_copies_the_first_of_the_shuffled_documents_are_held_out(count, seed):
    splits, (train, validation, test) = split(range(count), seed)
    assert validation + test + train == shuffled(count, seed)
    assert len(validation) == max(1, round(count / 10))
    assert len(test) == (len(validation) if count > 2 else 0)
    assert splits.notes == ()


@given(st.lists(st.integers(0, 20), min_size=2, max_size=80), st.integers(0, 9))
def test_copies_are_on_one_side_and_every_document_on_some(groups, seed):
    splits, chosen = split(groups, seed)
    assert sorted(number for numbers in chosen for number in numbers) == [*range(len(groups))]
    order = shuffled(len(groups), seed)
    assert all(numbers == sorted(numbers, key=order.index) for numbers in chosen)
    sides = [{groups[number] for number in numbers} for numbers in chosen]
    assert sum(map(len, sides)) == len(set(groups))
    sizes = Counter(groups)
    train, validation, test = chosen
    most = max(min(sizes.values()), round(len(groups) / 10))
    assert max(len(validation), len(test)) <= most
    assert train
    assert bool(validation) == (len(sizes) > 1)
    copies = sum(size for size in sizes.values() if size > 1)
    assert bool(splits.notes) == bool(copies)


def test_a_group_that_is_too_large_for_a_tenth_is_trained_on():
    _, (train, validation, test) = split([0] * 4 + [*range(4, 30)])
    assert {0, 1, 2, 3} <= set(train)
    assert (len(validation), len(test)) == (3, 3)


def test_the_user_is_told_how_many_are_copies():
    splits, _ = split([0, 0, 0, 3, 4, 4, *range(6, 1500)])
    assert splits.notes == (
        "5 of 1,500 documents are copies or near copies of another: kept on one side of the split",
    )


def test_where_all_are_copies_nothing_is_held_out_and_that_is_said():
    splits, (train, validation, test) = split([0] * 12)
    assert (len(train), validation, test) == (12, [], [])
    assert "12 of 12 documents are copies" in splits.notes[0]
    assert "nothing can be held out" in splits.notes[0]


@pytest.mark.parametrize(("kind", "held_out"), [("tail", [0]), ("none", [])])
def test_a_text_that_is_cut_or_whole_counts_as_one_document(kind, held_out):
    splits = split_ranges(ranges_of(np.array([30, 40])), TextConfig(split=kind))
    assert [splits.numbers[name].tolist() for name in SPLIT_NAMES] == [[0], held_out, []]

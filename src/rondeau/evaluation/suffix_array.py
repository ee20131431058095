"""Suffix arrays of integers, and the longest runs of another sequence that stand in a text.

The array is made in linear time by induced sorting (SA-IS: Nong, Zhang & Chan 2009). A suffix is
of type S if it is smaller than the one after it, else of type L; an S after an L is an LMS. Sorted
LMS suffixes put all others in order in two passes; they are themselves sorted as a text of names,
one a stretch between two of them, which is at most half as long. Symbols are small integers: it
knows no characters and no documents.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rondeau.compilation import CACHE

MOST = 2**31 - 1
"""Most symbols of a text: places are int32."""

Places = NDArray[np.int32]


def suffix_array(text: NDArray[np.int32]) -> Places:
    """Where the suffixes of a text (N) begin, in ascending order; a prefix is the smaller one.

    text: symbols from 0 on; a table of all up to the largest is kept while it is made, beside
    8 bytes a symbol.
    """
    places = np.empty(len(text), dtype=np.int32)
    if len(text):
        _sort_suffixes(np.require(text, np.int32, ["C", "W"]), int(text.max()) + 1, places)
    return places


def longest_runs(
    text: NDArray[np.int32], suffixes: Places, query: NDArray[np.int32]
) -> tuple[Places, Places]:
    """For each place of a query, the longest run from there that stands in a text: how long, where.

    suffixes: the text's suffix array. Arrays are contiguous, of int32 and writable, so that one
    kernel serves them all. Where a run has no length its place means nothing. Time: log N for a
    symbol outside of long runs; a run of n symbols takes n log n, whatever lies inside it.
    """
    lengths, places = np.zeros_like(query), np.zeros_like(query)
    if len(text):
        _fill_runs(text, suffixes, query, lengths, places)
    return lengths, places


def _sort_suffixes(text: NDArray[np.int32], symbols: int, suffixes: Places) -> None:
    """Fill in the suffix array of a text of so many different symbols."""
    is_lms = np.zeros(len(text), dtype=np.bool_)
    ends = np.zeros(symbols, dtype=np.int32)
    count = _survey(text, is_lms, ends)
    lms = np.flatnonzero(is_lms).astype(np.int32)
    _induce(text, ends, lms, suffixes)
    names = _name_stretches(text, is_lms, suffixes)
    # The array itself holds the shorter text, at its end, and that text's array, at its beginning.
    order, shorter = suffixes[:count], suffixes[len(text) - count :]
    if names < count:
        _sort_suffixes(shorter, names, order)
    else:
        order[shorter] = np.arange(count, dtype=np.int32)
    _induce(text, ends, lms[order], suffixes)


@njit(nogil=True, error_model="numpy", cache=CACHE)
def _survey(text: Any, is_lms: Any, ends: Any) -> Any:
    """Mark the LMS places, and find where each symbol's suffixes end; how many LMS there are."""
    count = 0
    later_is_s = False
    for i in range(len(text) - 1, -1, -1):
        ends[text[i]] += 1
        last = i == len(text) - 1
        is_s = not last and (text[i] < text[i + 1] or (text[i] == text[i + 1] and later_is_s))
        if later_is_s and not is_s:
            is_lms[i + 1] = True
            count += 1
        later_is_s = is_s
    for symbol in range(1, len(ends)):
        ends[symbol] += ends[symbol - 1]
    return count


@njit(nogil=True, error_model="numpy", cache=CACHE)
def _induce(text: Any, ends: Any, lms: Any, suffixes: Any) -> None:
    """All suffixes in order, from LMS places in order; from any order, LMS stretches in order."""
    suffixes[:] = -1
    room = ends.copy()
    for at in range(len(lms) - 1, -1, -1):
        symbol = text[lms[at]]
        room[symbol] -= 1
        suffixes[room[symbol]] = lms[at]
    # Before an L or an LMS, in ascending order, stand the L: at the beginnings of their symbols.
    room[0] = 0
    room[1:] = ends[:-1]
    last = len(text) - 1
    suffixes[room[text[last]]] = last
    room[text[last]] += 1
    for at in range(len(text)):
        place = suffixes[at] - 1
        if place >= 0 and text[place] >= text[place + 1]:
            symbol = text[place]
            suffixes[room[symbol]] = place
            room[symbol] += 1
    # Before any suffix, in descending order, stand the S: at the ends, where LMS were for a while.
    room[:] = ends
    for at in range(len(text) - 1, -1, -1):
        place = suffixes[at] - 1
        if place >= 0:
            symbol, later = text[place], text[place + 1]
            if symbol < later or (symbol == later and at >= room[symbol]):
                room[symbol] -= 1
                suffixes[room[symbol]] = place


@njit(nogil=True, error_model="numpy", cache=CACHE)
def _name_stretches(text: Any, is_lms: Any, suffixes: Any) -> Any:
    """From sorted LMS stretches to a text of their names, at the array's end; how many names."""
    count = 0
    for at in range(len(suffixes)):
        if is_lms[suffixes[at]]:
            suffixes[count] = suffixes[at]
            count += 1
    # No two LMS are neighbours: half of the places are enough to note names by place.
    suffixes[count:] = -1
    names = 0
    for at in range(count):
        place = suffixes[at]
        if at == 0 or not _same_stretch(text, is_lms, suffixes[at - 1], place):
            names += 1
        suffixes[count + place // 2] = names - 1
    free = len(suffixes)
    for at in range(len(suffixes) - 1, count - 1, -1):
        if suffixes[at] >= 0:
            free -= 1
            suffixes[free] = suffixes[at]
    return names


@njit(nogil=True, error_model="numpy", cache=CACHE)
def _same_stretch(text: Any, is_lms: Any, one: Any, other: Any) -> Any:
    """Whether the symbols from an LMS to the next one, that included, are those of another."""
    length = len(text)
    for offset in range(length - max(one, other)):
        if text[one + offset] != text[other + offset]:
            return False
        if offset and (is_lms[one + offset] or is_lms[other + offset]):
            return is_lms[one + offset] and is_lms[other + offset]
    return False


@njit(nogil=True, error_model="numpy", cache=CACHE)
def _longest_run(text: Any, suffixes: Any, query: Any, first: Any, stop: Any) -> Any:
    """The longest run of query[first:stop] from `first` on that stands in a text: length, place."""
    low, high = -1, len(suffixes)  # the suffixes between which it belongs
    low_length = high_length = 0
    while high - low > 1:
        middle = (low + high) // 2
        place = suffixes[middle]
        most = min(stop - first, len(text) - place)
        # What both neighbours have in common with it, those between them have too.
        length = min(low_length, high_length)
        while length < most and text[place + length] == query[first + length]:
            length += 1
        if length == stop - first:
            return length, place
        if length < most and text[place + length] > query[first + length]:
            high, high_length = middle, length
        else:
            low, low_length = middle, length
    if low_length >= high_length:
        return low_length, suffixes[max(low, 0)]
    return high_length, suffixes[high]


@njit(nogil=True, error_model="numpy", cache=CACHE)
def _fill_runs(text: Any, suffixes: Any, query: Any, lengths: Any, places: Any) -> None:
    """Lengths and places for each place of a query, from one run that nothing contains to the next.

    A run never ends before that of an earlier place: up to where the next run begins all end alike.
    """
    first: Any = np.int64(0)  # of one type from the start, or what it calls is compiled twice
    while first < len(query):
        length, place = _longest_run(text, suffixes, query, first, len(query))
        stop = first + length
        following = len(query)
        if stop < len(query):
            contained, following = first, stop + 1
            while following - contained > 1:
                middle = (contained + following) // 2
                wanted = stop + 1 - middle
                if _longest_run(text, suffixes, query, middle, stop + 1)[0] == wanted:
                    following = middle
                else:
                    contained = middle
        for at in range(first, min(following, stop)):
            lengths[at] = stop - at
            places[at] = place + at - first
        first = following

"""Numbers and other people's text, made fit for a page."""

import math

import pytest

from rondeau.report import words


@pytest.mark.parametrize(
    "text", ["", "分开 不分开", "שלום עולם", "a\nb\tc", "👩‍👩‍👧", "<script>&\"'"]
)
def test_ordinary_text_of_any_script_stays_as_it_is(text):
    assert words.visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\0b", "a␀b"),
        ("\x1b[31m", "␛[31m"),
        ("\r", "␍"),
        ("\x7f\x85", "��"),
        ("\ud800", "�"),
        ("\u202eevil\u2066", "�evil�"),
        ("\ufffe\U0010ffff", "��"),
    ],
)
def test_what_a_page_cannot_hold_is_shown_by_a_sign(text, shown):
    assert words.visible(text) == shown


def test_a_cut_text_says_that_it_goes_on():
    assert words.cut("长" * 100_000, 10) == "长" * 10 + "…"
    assert words.cut("长" * 10, 10) == "长" * 10


@pytest.mark.parametrize(
    ("text", "tag"), [("分开", "zh"), ("さくら咲く", "ja"), ("노래", "ko"), ("song", ""), ("", "")]
)
def test_the_language_is_told_where_glyphs_depend_on_it(text, tag):
    assert words.language(text) == tag


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0414, "1.041"), (47.3, "47.30"), (143.52, "143.5"), (1027.4, "1,027"), (math.inf, "∞")],
)
def test_numbers_keep_the_digits_that_matter(value, shown):
    assert words.number(value) == shown


def test_what_is_no_number_is_a_dash():
    assert {f(math.nan) for f in (words.number, words.bits, words.percent)} == {"–"}


@pytest.mark.parametrize(
    ("seconds", "shown"), [(7.04, "7.04 s"), (90, "90 s"), (150, "2.5 min"), (9000, "2.5 h")]
)
def test_times_are_in_the_unit_that_suits_them(seconds, shown):
    assert words.duration(seconds) == shown


def test_a_mean_number_of_characters_has_the_digits_that_matter():
    shown = [words.characters(count) for count in (0.456, 2.54, 24.4, 7616.6)]
    assert shown == ["0.46", "2.5", "24", "7,617"]

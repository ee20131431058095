"""The illustrated page: one file that needs no other, and shows other people's text harmlessly."""

import re

import pytest

from rondeau.errors import OptionError
from rondeau.report.illustrated import Page, Picture, Section, Table, to_html, write_page
from rondeau.report.pictures import as_png, drawable, figure, font_families

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m"


def drawn(text="gate"):
    with figure(3, 2, text=text) as picture:
        axes = picture.subplots()
        axes.plot([0, 1], [1, 0])
        axes.set_xlabel(drawable(text))
        return as_png(picture)


def page(text="plain"):
    picture = Picture("curve", drawn(), text)
    table = Table(["cell", text], [["gru", text]], frozenset({0}))
    return Page("study", text, text, [text], [Section(text, [text], picture=picture, table=table)])


def test_a_page_needs_nothing_but_itself():
    html = to_html(page())
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert 'width="450" height="300"' in html


def test_other_peoples_text_is_shown_and_not_obeyed():
    html = to_html(page(HOSTILE))
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html


def test_the_page_and_its_pictures_are_written_side_by_side(tmp_path):
    paths = write_page(page(), tmp_path / "new", "study")
    assert [path.name for path in paths] == ["study.html", "curve.png"]
    assert paths[1].read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OptionError, match=r"--out .*file.*: cannot be made"):
        write_page(page(), tmp_path / "file", "study")


def test_the_same_picture_has_the_same_bytes():
    assert drawn() == drawn()


def test_a_text_without_a_font_is_shown_by_numbers(monkeypatch):
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    assert font_families("分开") is None
    assert drawable("é分开") == "é\\u5206\\u5f00"
    assert drawn("分开")

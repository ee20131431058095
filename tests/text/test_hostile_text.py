"""Text that is broken, or made to break its reader: mended and said, or refused by name."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondeau.config import TextConfig
from rondeau.errors import CorpusError
from rondeau.text import encodings, repairs
from rondeau.text.loading import load_corpus
from rondeau.text.preparing import prepare
from rondeau.text.reading import normalise, read_documents
from rondeau.text.repairs import MOST_SAID, Repairs, stream_safe

POEM = "春天来了\n鸟飞回来\n" * 40


@pytest.fixture
def read(tmp_path):
    """The documents of a file with these bytes, and what was said; refusals are raised."""

    def one(data, name="a.txt", **settings):
        (tmp_path / name).write_bytes(data)
        told = Repairs()
        documents = read_documents([tmp_path / name], TextConfig(**settings), told)
        return documents, [note.removeprefix(f"{tmp_path}/") for note in told.notes]

    return one


def test_a_few_bytes_that_are_not_utf8_are_read_as_u_fffd_and_the_first_is_named(read):
    data = POEM.encode() + b"\xff\n" + POEM.encode() + "半".encode()[:2] + b"\n"
    documents, notes = read(data)
    assert documents == [data.decode("utf-8", "replace")]
    first = len(POEM.encode())
    assert notes == [
        f"a.txt, line 81: byte {first:,} is not utf-8, read as U+FFFD (2 times in this file)"
    ]


def test_more_than_a_few_are_refused_with_the_place_of_the_first(read):
    data = POEM.encode() + b"\xfe\xff" * 40
    with pytest.raises(CorpusError, match=r"a\.txt: unreadable as UTF-8 \(at byte 1,040, line 81"):
        read(data)
    with pytest.raises(CorpusError, match=r"a\.txt: is not utf-8 \(at byte 1,040, line 81"):
        read(data, encoding="utf-8")


def test_two_encodings_in_one_file_are_refused(read):
    with pytest.raises(CorpusError, match=r"a\.txt: unreadable as UTF-8 \(at byte 1,040"):
        read(POEM.encode() + POEM.encode("gb18030"))


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16", "utf-16-le", "shift_jis"])
def test_damage_to_a_text_in_a_named_encoding_is_mended_too(read, encoding):
    good = "春天\n" * 200
    documents, notes = read(good.encode(encoding) + b"\x81", encoding=encoding)
    assert documents == [good + "\ufffd"]
    assert f"is not {encoding}, read as U+FFFD" in notes[0]


def test_a_bad_byte_does_not_turn_a_chinese_text_into_another(read):
    # Two bytes of UTF-8 text at a time are mostly characters of GB18030 as well.
    data = ("天地玄黄" * 200).encode() + b"\xff"
    assert read(data)[0] == ["天地玄黄" * 200 + "\ufffd"]


def test_one_bad_byte_in_ascii_is_mended_but_gb18030_in_it_is_read(read):
    assert read(b"a plain text " * 20 + b"\xff")[0] == ["a plain text " * 20 + "\ufffd"]
    assert read(b"a plain text " * 20 + "春".encode("gb18030")) == (
        ["a plain text " * 20 + "春"],
        [],
    )


def test_nul_is_read_as_u_fffd_and_does_not_make_a_text_utf16(read):
    documents, notes = read(b"plain\n" * 40 + b"a\0b\0" + b"plain\n" * 40)
    assert documents == ["plain\n" * 40 + "a\ufffdb\ufffd" + "plain\n" * 40]
    assert notes == ["a.txt, line 41: a NUL, read as U+FFFD (2 times in this file)"]


@pytest.mark.parametrize(
    "data",
    [b"plain\n" * 90 + bytes(400), bytes(5000), b"\x7fELF\2\1\1" + bytes(9) + bytes(range(256))],
)
def test_many_zero_bytes_are_no_text(read, data):
    with pytest.raises(CorpusError, match=r"a\.txt: is a binary file"):
        read(data)
    with pytest.raises(CorpusError, match=r"a\.txt: is (a binary file|not)"):
        read(data, encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_marks_of_joined_files_are_left_out_and_said(read, encoding):
    documents, notes = read(POEM.encode(encoding) * 3)
    assert documents == [POEM * 3]
    said = "a.txt, line 81: a byte order mark inside the text, left out (2 times in this file)"
    assert notes == [said]


def test_a_mark_at_the_start_is_no_repair(read):
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert read(POEM.encode(encoding)) == ([POEM], [])
    assert read(POEM.encode("utf-8-sig"), encoding="utf-8") == ([POEM], [])


def test_only_newlines_end_lines(read):
    text = "one\u2028two\u0085three\vfour\ffive\x1csix\nseven\r\neight\rnine"
    lines = ["one\u2028two\u0085three\vfour\ffive\x1csix", "seven", "eight", "nine"]
    assert read((text + "\n" + POEM).encode(), documents="line")[0][:4] == lines


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3fd and \U0001f1e8\U0001f1f3",
        "\U00020000\U0002a6d6\U00030000\U000e0100",
        "zero\u200bwidth\u200cjoin\u200ders\u2060",
        "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
        "\u0e17\u0e35\u0e48",
    ],
)
def test_rare_characters_stay_as_they_are_in_blocks_of_any_size(read, monkeypatch, text):
    text = unicodedata.normalize("NFC", text)
    for block in (4, 8, 10, 2**22):
        monkeypatch.setattr(encodings, "BLOCK", block)
        assert read((text * 30).encode()) == ([text * 30], [])


def test_a_heap_of_marks_is_broken_up_as_unicode_says(read):
    documents, notes = read(("e" + "\u0301\u0316" * 40 + "x").encode())
    marks = documents[0].removeprefix("\u00e9").removesuffix("x").split("\u034f")
    # The first acute accent is part of é; marks below come before those above.
    assert [len(run) for run in marks] == [29, 30, 20]
    assert all(unicodedata.is_normalized("NFC", run) for run in marks)
    assert notes == [
        "a.txt: over 30 combining marks in a row, broken up by U+034F (2 times in this file)"
    ]


def test_thirty_marks_are_as_many_as_unicode_allows():
    assert stream_safe("x" * 29 + "\u0301" * 30) == "x" * 29 + "\u0301" * 30
    assert stream_safe("\u0301" * 31) == "\u0301" * 30 + "\u034f" + "\u0301"
    # A sign without a class of its own that consists of two marks.
    assert stream_safe("\u0f73" * 31) == "\u0f73" * 30 + "\u034f" + "\u0f73"


def test_a_megabyte_of_marks_is_normalised_without_sorting_all_of_them():
    # As one run, its sorting would take some 10^11 steps.
    text = "a" + "\u0301\u0316" * 500_000
    assert len(normalise(text, TextConfig())) == len(text) - 1 + 33_333


def test_lines_and_blanks_without_an_end_are_joined_once(read, monkeypatch):
    # In blocks of 64 bytes, anything that began again with each would take the square of them.
    monkeypatch.setattr(encodings, "BLOCK", 64)
    long = "字" * 30_000
    for documents in ("file", "line", "blank-line"):
        assert read(f"{long}\n\n{' ' * 30_000}\n\n{long}".encode(), documents=documents)[0] == (
            [f"{long}\n\n{' ' * 30_000}\n\n{long}"] if documents == "file" else [long, long]
        )


def record(**fields):
    return json.dumps({"text": "好", **fields}).encode()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "torn', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"text": "a", "n": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"text": "a", "text": "b"}', "text stands there twice"),
        (b'["text"]', "is not a JSON object"),
        (record(text=["a"]), '"text" field'),
        (record(text=None), '"text" field'),
        (b"{}", '"text" field'),
        (b'{"text": "a"} {"text": "b"}', "is not JSON"),
    ],
)
def test_a_broken_record_is_refused_by_the_number_of_its_line(read, line, message):
    with pytest.raises(CorpusError, match=f"a.jsonl, line 3: .*{message}") as error:
        read(record() + b"\n\n" + line + b"\n" + record(), "a.jsonl")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_records_are_mended_as_texts_are(read):
    lines = [record()] * 120
    lines[6] = b'{"text": "\\ud800 \\u0000 \\ud83d\\ude00"}'
    lines[8] = '{"text": "\ufeff好"}'.encode()
    lines[9] = '{"text": "好'.encode() + b'\xff"}'
    documents, notes = read(b"\xef\xbb\xbf" + b"\r\n".join(lines), "a.jsonl")
    assert documents[6:10] == ["\ufffd \ufffd \U0001f600", "好", "好", "好\ufffd"]
    byte = 3 + len(b"\r\n".join(lines[:10])) - 3
    assert sorted(notes) == [
        "a.jsonl, line 10: " + f"byte {byte:,} is not utf-8-sig, read as U+FFFD",
        "a.jsonl, line 7: a NUL, read as U+FFFD",
        "a.jsonl, line 7: a lone surrogate, read as U+FFFD",
        "a.jsonl, line 9: a byte order mark inside the text, left out",
    ]


def test_numbers_and_nan_beside_a_text_are_nobodys_business(read):
    data = b'{"text": "\xe5\xa5\xbd", "x": NaN, "y": 1e999, "z": -123456789012345678901234567890}'
    assert read(data, "a.jsonl") == (["好"], [])


def test_repairs_are_told_a_few_one_by_one_and_the_rest_counted():
    told = Repairs()
    for number in range(MOST_SAID + 5):
        told.add(f"folder/{number}", "mended", line=number, count=2)
    told.add("folder/0", "mended")
    assert len(told.notes) == MOST_SAID + 1
    assert told.notes[0] == "folder/0, line 0: mended (3 times in this file)"
    assert told.public_notes[1] == "1, line 1: mended (2 times in this file)"
    assert told.notes[-1] == "and so in 10 more places"


def test_a_corpus_says_what_was_mended_from_files_and_from_its_disk(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(POEM.encode() + b"\0\n")
    said = "line 81: a NUL, read as U+FFFD"
    assert load_corpus([path], TextConfig()).repairs == (f"{path}, {said}",)
    ready = prepare([path], TextConfig(), out=tmp_path / "ready")
    assert ready.repairs == (f"{path}, {said}",)
    assert load_corpus([tmp_path / "ready"], TextConfig()).repairs == (f"a.txt, {said}",)


@pytest.mark.parametrize("encoding", ["a\0b", "\ud800", "hex", "rot13", "undefined", "", "../os"])
def test_what_is_no_encoding_is_refused_as_the_option(read, encoding):
    with pytest.raises(CorpusError, match=r"--encoding .*: unknown"):
        read(POEM.encode(), encoding=encoding)


@pytest.mark.parametrize("data", [b"plain", b"\0\xdc", b"\0\xdcplain"])
def test_utf16_that_is_named_needs_its_mark(read, data):
    with pytest.raises(CorpusError, match=r"a\.txt: is not utf-16 \(at byte 0, line 1"):
        read(data, encoding="utf-16")


def test_an_escaped_encoding_gives_no_lone_surrogates(read):
    documents, notes = read(rb"\ud800" + b"plain " * 99, encoding="raw_unicode_escape")
    assert documents[0][0] == "\ufffd"
    assert "a lone surrogate, read as U+FFFD" in notes[0]


PIECES = st.sampled_from(
    ["a", " ", "\t", "\n", "\r", "\0", "\ufeff", "\u0301", "\u0316", "分", "\U00020000", "\u2028"]
)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(PIECES, st.integers(1, 40))),
    st.lists(st.integers(0, 700), max_size=2),
    st.sampled_from([None, "file", "line", "blank-line"]),
    st.sampled_from([2, 4, 64]),
)
def test_mended_text_is_the_same_in_blocks_of_any_size(
    tmp_path_factory, runs, damage, documents, block
):
    data = bytearray(("".join(p * n for p, n in runs) + "\n春天\n" * 90).encode())
    for place in damage:
        data[place % len(data)] = 0xFF
    path = tmp_path_factory.mktemp("blocks") / "a.txt"
    path.write_bytes(data)

    def outcome():
        told = Repairs()
        try:
            found = read_documents([path], TextConfig(documents=documents), told)
        except CorpusError as error:
            return str(error)
        assert not any(repairs.HALVES.search(d) or "\0" in d or "\ufeff" in d for d in found)
        return found, sorted(n.partition(" (")[0] for n in told.notes)

    at_once = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "BLOCK", block)
        assert outcome() == at_once

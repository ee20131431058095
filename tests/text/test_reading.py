"""Files to documents: every format and encoding, and every way to be refused."""

import gzip
import io
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondeau.config import TextConfig
from rondeau.errors import CorpusError
from rondeau.text import encodings
from rondeau.text.reading import read_documents
from rondeau.text.repairs import Repairs

TEXT = "春天来了\n鸟飞回来\n\n夏天来了\n蝉在树上"


def read(*sources, **settings):
    return read_documents(sources, TextConfig(**settings), Repairs())


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("gb18030", b""),
    ],
)
def test_an_encoding_is_detected(tmp_path, encoding, mark):
    path = tmp_path / "a.txt"
    path.write_bytes(mark + TEXT.encode(encoding))
    assert read(path) == [TEXT]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_detected_by_its_zero_bytes(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("Spring is here again\n".encode(encoding))
    assert read(path) == ["Spring is here again\n"]


def test_a_named_encoding_is_used_and_a_wrong_one_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("été à la mer".encode("latin-1"))
    assert read(path, encoding="latin-1") == ["été à la mer"]
    with pytest.raises(CorpusError, match=r"a\.txt: is not ascii"):
        read(path, encoding="ascii")
    with pytest.raises(CorpusError, match="--encoding klingon: unknown"):
        read(path, encoding="klingon")


def test_all_formats_give_the_same_documents(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("inside/c.txt", TEXT)
    (tmp_path / "d.jsonl").write_text(json.dumps({"text": TEXT}) + "\n\n", encoding="utf-8")
    for name in ("a.txt", "b.txt.gz", "c.zip", "d.jsonl"):
        assert read(tmp_path / name) == [TEXT]
    assert read(tmp_path) == [TEXT] * 4


def test_standard_input_is_a_dash(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(TEXT.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert read("-") == [TEXT]


def test_documents_are_files_blocks_or_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(TEXT + "\n \n\n", encoding="utf-8")
    assert read(path, documents="blank-line") == TEXT.split("\n\n")
    assert read(path, documents="line") == TEXT.replace("\n\n", "\n").split("\n")


def test_newlines_are_normalised_kept_or_turned_into_spaces(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("一\r\n二\r三\n四".encode())
    assert read(path) == ["一\n二\n三\n四"]
    assert read(path, newlines="space") == ["一  二 三 四"]
    assert read(path, newlines="space", documents="blank-line") == ["一 二 三 四"]


def test_text_is_composed_and_cut_at_the_limit(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("e\u0301t\u00e9 of love", encoding="utf-8")
    assert read(path, limit=3) == ["\u00e9t\u00e9"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.txt", b"", "has no text"),
        ("blank.txt", b" \n\n ", "has no text"),
        ("binary.txt", bytes(range(256)) * 9, "binary"),
        ("torn.txt", b"abc\xff\xff\xfe\xf0 d\x81", "unreadable"),
        ("bad.zip", b"PK not a zip", "cannot be read"),
        ("bad.txt.gz", b"\x1f\x8bnot gzip", "cannot be read"),
        ("bad.jsonl", b'{"text": "a"}\n{"text": \n', "line 2"),
        ("other.jsonl", b'{"body": "a"}\n', '"text" field'),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=f"{name}.*{message}"):
        read(tmp_path / name)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(CorpusError, match="no such file"):
        read(tmp_path / "nowhere.txt")
    with pytest.raises(CorpusError, match=r"has no \.txt"):
        read(tmp_path)


ANYTHING = st.text(st.sampled_from("ab \t\n\r\u0301\u00e9\u1100\u1161\u11a8\uac00分\U00020000"))


@settings(max_examples=200)
@given(
    ANYTHING,
    st.sampled_from(["utf-8", "gb18030", "utf-16-le"]),
    st.sampled_from([None, "file", "line", "blank-line"]),
    st.sampled_from(["keep", "space"]),
    st.sampled_from([None, 1, 7]),
    st.sampled_from([2, 4, 6]),
)
def test_a_file_is_read_the_same_whatever_the_size_of_its_blocks(
    tmp_path_factory, text, encoding, documents, newlines, limit, block
):
    path = tmp_path_factory.mktemp("blocks") / "a.txt"
    path.write_bytes((text + "\nend").encode(encoding))
    config = TextConfig(documents=documents, newlines=newlines, limit=limit, encoding=encoding)
    at_once = read_documents([path], config, Repairs())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "BLOCK", block)
        assert read_documents([path], config, Repairs()) == at_once


def test_a_lone_surrogate_of_a_record_is_read_as_the_replacement_character(tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text('{"text": "a\\ud800b \\ud83d\\ude00"}')
    assert read_documents([path], TextConfig(), Repairs()) == ["a\ufffdb \U0001f600"]

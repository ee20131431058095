"""What is no file, or made to hurt: bombs, pipes, devices, links. Read, or refused by name."""

import gzip
import io
import os
import socket
import struct
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondeau.config import TextConfig
from rondeau.errors import CorpusError
from rondeau.text import encodings, sources
from rondeau.text.loading import load_corpus
from rondeau.text.reading import read_batches, read_documents
from rondeau.text.repairs import Repairs


def read(*paths):
    return read_documents(paths, TextConfig(), Repairs())


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


@pytest.fixture
def small_bombs(monkeypatch):
    """Packed files may unpack to 10,000 bytes, or 20 times their size."""
    monkeypatch.setattr(sources, "SMALL", 10_000)
    monkeypatch.setattr(sources, "RATIO", 20)
    monkeypatch.setattr(sources, "BLOCK", 1000)


@pytest.mark.usefixtures("small_bombs")
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    bomb = bytes(10_001)
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(bomb))
    with pytest.raises(CorpusError, match=r"bomb\.txt\.gz: goes on after 10,000 bytes"):
        read(tmp_path / "bomb.txt.gz")
    archive(tmp_path / "bomb.zip", [("a.txt", bomb)])
    with pytest.raises(CorpusError, match=r"bomb\.zip:a\.txt: goes on after 10,000 bytes"):
        read(tmp_path / "bomb.zip")


@pytest.mark.usefixtures("small_bombs")
def test_members_of_an_archive_share_what_it_may_unpack_to(tmp_path):
    path = archive(tmp_path / "many.zip", [(f"{n}.txt", "spring " * 800) for n in range(2)])
    with pytest.raises(CorpusError, match=r"many\.zip:1\.txt: goes on after 4,400 bytes"):
        read(path)


@pytest.mark.usefixtures("small_bombs")
def test_an_honest_text_of_any_size_is_unpacked(tmp_path):
    text = "".join(chr(0x4E00 + n * n % 9973) for n in range(9000))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    archive(tmp_path / "b.zip", [("b.txt", text)])
    assert len(text.encode()) > 2 * sources.SMALL
    assert read(tmp_path) == [text, text]


def overlapping(count):
    """Members that are all the same bytes: D. Fifield's full overlap, with stored data."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a.txt", "spring\n")
    data = file.getvalue()
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entry = data[start:end]
    directory = entry * count
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
    return data[:start] + directory + tail


def test_members_that_overlap_are_refused(tmp_path):
    (tmp_path / "one.zip").write_bytes(overlapping(1))
    assert read(tmp_path / "one.zip") == ["spring\n"]
    (tmp_path / "two.zip").write_bytes(overlapping(2))
    with pytest.raises(CorpusError, match=r"two\.zip:a\.txt: overlaps another member"):
        read(tmp_path / "two.zip")


def test_names_that_lead_out_of_an_archive_are_only_names(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    evil = tmp_path / "evil.txt"
    archive(
        home / "a.zip", [("../evil.txt", "spring"), (str(evil), "summer"), ("./b.txt", "autumn")]
    )
    before = sorted(tmp_path.rglob("*"))
    assert read("a.zip") == ["spring", "summer", "autumn"]
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_in_an_archive_is_not_opened(tmp_path):
    inner = archive(tmp_path / "inner.zip", [("a.txt", "spring")])
    path = archive(tmp_path / "outer.zip", [("inner.zip", inner.read_bytes())])
    with pytest.raises(CorpusError, match=r"outer\.zip:inner\.zip: is a binary file"):
        read(path)


def patched(path, mark, offset, data):
    """A file with other bytes at so many after the first of a mark."""
    content = bytearray(path.read_bytes())
    at = content.index(mark) + offset
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


def test_an_encrypted_member_is_refused(tmp_path):
    path = patched(archive(tmp_path / "a.zip", [("s.txt", "spring")]), b"PK\1\2", 8, b"\1")
    with pytest.raises(CorpusError, match=r"a\.zip:s\.txt: cannot be read: .*encrypted"):
        read(path)


def test_a_member_is_as_long_as_it_is_not_as_long_as_it_says(tmp_path):
    path = archive(tmp_path / "a.zip", [("s.txt", "spring" * 9)])
    assert read(patched(path, b"PK\1\2", 24, struct.pack("<L", 2**31))) == ["spring" * 9]


def test_a_member_with_any_name_is_read_or_refused_in_one_line(tmp_path):
    path = archive(tmp_path / "a.zip", [("x\n\x1b[31m.txt", bytes(99))])
    with pytest.raises(CorpusError, match=r"a\.zip:'x\\n\\x1b\[31m\.txt': is a binary file"):
        read(path)
    path = archive(tmp_path / "b.zip", [("s.txt", "spring")])
    # A name that begins with NUL is empty.
    with pytest.raises(CorpusError, match=r"b\.zip:: cannot be read"):
        read(patched(path, b"PK\1\2", 46, b"\0"))


@pytest.mark.parametrize("size", [0, 3])
def test_a_member_that_is_longer_than_it_says_is_refused(tmp_path, size):
    path = archive(tmp_path / "a.zip", [("s.txt", "spring" * 9)])
    patched(path, b"PK\1\2", 24, struct.pack("<L", size))
    with pytest.raises(CorpusError, match=r"a\.zip:s\.txt: cannot be read"):
        read(path)


def test_what_is_damaged_in_an_archive_is_refused(tmp_path):
    path = archive(tmp_path / "a.zip", [("s.txt", "spring" * 9)])
    for offset, data in ((10, b"\x63"), (16, b"\0\0\0\0"), (42, b"\xff\xff\xff\x7f")):
        other = tmp_path / f"{offset}.zip"
        other.write_bytes(path.read_bytes())
        with pytest.raises(CorpusError, match=rf"{offset}\.zip.*: cannot be read"):
            read(patched(other, b"PK\1\2", offset, data))


def writing(path, data):
    thread = threading.Thread(target=lambda: Path(path).write_bytes(data))
    thread.start()
    return thread


def test_a_pipe_is_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    data = "spring\n".encode("utf-16") * 100_000
    thread = writing(tmp_path / "pipe", data)
    assert read(tmp_path / "pipe")[0].startswith("spring\nspring\n")
    thread.join()


def test_what_a_process_gives_in_place_of_a_file_is_read():
    out, into = os.pipe()
    os.write(into, b"spring\n")
    os.close(into)
    assert read(f"/dev/fd/{out}") == ["spring\n"]
    os.close(out)


def test_a_pipe_that_nobody_writes_into_is_given_up(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(sources, "PATIENCE", 0.0)
    with pytest.raises(CorpusError, match="pipe: nobody has written into this pipe for 0 s"):
        read(tmp_path / "pipe")


def test_a_pipe_without_an_end_is_given_up(monkeypatch):
    class Stdin:
        class Endless(io.RawIOBase):
            def readable(self):
                return True

            def readinto(self, buffer):
                return len(buffer)

        buffer = io.BufferedReader(Endless())

        @staticmethod
        def isatty():
            return False

        fileno = buffer.fileno

    monkeypatch.setattr(sources, "LARGEST", 10_000)
    monkeypatch.setattr("sys.stdin", Stdin)
    with pytest.raises(CorpusError, match="standard input: goes on after 10,000 bytes"):
        read("-")


def test_devices_and_sockets_are_refused(tmp_path, monkeypatch):
    for device in ("/dev/zero", "/dev/null"):
        with pytest.raises(CorpusError, match=f"{device}: is a device"):
            read(device)
        with open(device) as file:  # noqa: PTH123
            monkeypatch.setattr("sys.stdin", file)
            with pytest.raises(CorpusError, match="standard input: is a device"):
                read("-")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.txt")
        with pytest.raises(CorpusError, match=r"s\.txt: cannot be read"):
            read("s.txt")


def test_closed_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(CorpusError, match="standard input: is closed"):
        read("-")


def test_what_in_a_folder_is_no_file_is_passed_over_and_said(tmp_path):
    folder = tmp_path / "texts"
    (folder / "more").mkdir(parents=True)
    (folder / "more" / "b.txt").write_text("summer again")
    (folder / "a.txt").write_text("spring again")
    os.mkfifo(folder / "pipe.txt")
    (folder / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    (folder / "self.txt").symlink_to(folder / "self.txt")
    (folder / "loop").symlink_to(folder)
    (folder / "zero.txt").symlink_to("/dev/zero")
    (folder / "c.txt").symlink_to(folder / "a.txt")
    (folder / "picture.png").symlink_to(tmp_path / "nowhere.png")
    corpus = load_corpus([folder], TextConfig(split="none", documents="line"))
    assert list(corpus.train) == ["spring again\nspring again\nsummer again"]
    assert sorted(corpus.repairs) == [
        f"{folder}: gone.txt is not a file, passed over",
        f"{folder}: loop is a link to a folder, passed over",
        f"{folder}: pipe.txt is not a file, passed over",
        f"{folder}: self.txt is not a file, passed over",
        f"{folder}: zero.txt is not a file, passed over",
    ]


def test_a_folder_that_cannot_be_read_is_refused_not_skipped(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.txt").write_text("spring")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CorpusError, match="cannot be read: Permission denied"):
        read(tmp_path)


def test_a_link_to_itself_or_to_nothing_is_refused(tmp_path):
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    with pytest.raises(CorpusError, match=r"self\.txt: cannot be read: .*symbolic links"):
        read(tmp_path / "self.txt")
    with pytest.raises(CorpusError, match=r"gone\.txt: no such file"):
        read(tmp_path / "gone.txt")
    with pytest.raises(CorpusError, match="cannot be read: File name too long"):
        load_corpus(["x" * 5000], TextConfig())


@pytest.mark.parametrize("data", [b"", b"spring\n" * 9, b"\xff" * 99, b"spring\n" * 999])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, data):
    monkeypatch.setattr(encodings, "BLOCK", 64)
    path = tmp_path / "a.txt"
    path.write_text("春天\n" * 100)
    batches = read_batches([path], TextConfig(), Repairs())
    next(batches)
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"a\.txt: changed while it was read"):
        list(batches)


def packed(kind, data):
    if kind == "zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("a.txt", data)
            made.writestr("b.txt", data)
        return file.getvalue()
    return {"gz": gzip.compress, "jsonl": lambda d: b'{"text": "' + d + b'"}'}.get(kind, bytes)(
        data
    )


@settings(max_examples=300)
@given(
    st.binary(max_size=300) | st.text(max_size=100).map(str.encode),
    st.sampled_from(["txt", "gz", "zip", "jsonl"]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    st.sampled_from([None, "utf-8", "gb18030", "utf-16", "utf-7"]),
)
def test_any_bytes_are_documents_or_an_error_that_names_the_file(
    tmp_path_factory, data, kind, honest, damage, encoding
):
    data = bytearray(packed(kind, data) if honest else data)
    for place, byte in damage:
        if data:
            data[place % len(data)] = byte
    suffix = "txt.gz" if kind == "gz" else kind
    path = tmp_path_factory.mktemp("any") / f"input.{suffix}"
    path.write_bytes(data)

    def outcome():
        try:
            return read_documents([path], TextConfig(encoding=encoding), Repairs())
        except CorpusError as error:
            return str(error)

    at_once = outcome()
    if isinstance(at_once, str):
        assert "input." in at_once
        assert "\n" not in at_once
    else:
        assert all(document.encode() for document in at_once)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "BLOCK", 4)
        patch.setattr(sources, "BLOCK", 5)
        assert outcome() == at_once

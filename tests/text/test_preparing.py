"""Preparing side by side and in pieces: the same bytes, and on from where it was cut off."""

import fcntl
import gzip
import json
import os
import signal
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondeau.config import TextConfig
from rondeau.errors import CorpusError, OptionError, RondeauError
from rondeau.text import pieces, preparing
from rondeau.text.pieces import plan, read_job, read_piece, survey_part
from rondeau.text.preparing import prepare
from rondeau.text.reading import read_documents
from rondeau.text.repairs import Repairs
from rondeau.text.spool import Spool
from rondeau.text.workers import Workers

LINES = [f"第{i}行 the {i}th line\u0301{'  ' * (i % 3)}" for i in range(300)]


@pytest.fixture
def folder(tmp_path):
    """Texts of every kind, with gaps of every kind between documents, and something to mend."""
    place = tmp_path / "texts"
    place.mkdir()
    gaps = ["\n\n", "\r\n\r\n", "\n \t\n\n  ", "\n", "\r\n", "\n\n\ufeff"]
    text = "".join(line + gaps[i % len(gaps)] for i, line in enumerate(LINES))
    (place / "a.txt").write_bytes(text.encode())
    (place / "b.txt").write_bytes(text.encode("gb18030"))
    (place / "c.txt.gz").write_bytes(gzip.compress(text.encode()))
    records = [json.dumps({"text": line + "\0" * (i % 50 == 7)}) for i, line in enumerate(LINES)]
    (place / "d.jsonl").write_text("\n\n".join(records))
    with zipfile.ZipFile(place / "e.zip", "w") as archive:
        archive.writestr("one.txt", text)
        archive.writestr("two.txt", "another")
    (place / "elsewhere").symlink_to(tmp_path)
    (place / "f.txt").write_text("short")
    return place


@pytest.fixture
def small(monkeypatch):
    """Pieces of some 600 bytes."""
    monkeypatch.setattr(pieces, "SIZE", 600)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def survey(parts):
    return (survey_part(*part) for part in parts)


def texts(sources, config):
    """What the pieces of some sources have, put together by hand."""
    found, going_on, repairs = [], False, Repairs()
    for piece in plan(sources, config, survey):
        read = read_piece(piece, config, Path())
        text, at = read.codes.decode("utf-32-le"), 0
        for number, length in enumerate(read.lengths):
            if number == 0 and going_on:
                found[-1] += text[:length]
            else:
                found.append(text[at : at + length])
            at += length + 1
        going_on = read.goes_on
        for kind in read.repairs:
            repairs.add(*kind)
    return found, repairs.notes


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("newlines", ["keep", "space"])
@pytest.mark.parametrize("documents", [None, "file", "line", "blank-line"])
def test_pieces_have_the_documents_of_the_whole_and_the_same_is_said(folder, documents, newlines):
    config, repairs = TextConfig(documents=documents, newlines=newlines), Repairs()
    whole = read_documents([folder, folder / "a.txt"], config, repairs)
    made = list(plan([folder, folder / "a.txt"], config, survey))
    assert sum(piece.end is not None for piece in made) > 30
    assert texts([folder, folder / "a.txt"], config) == (whole, repairs.notes)


ANYTHING = st.text(
    st.sampled_from("ab \t\n\n\r\u0301\u00e9\u1100\u1161\ufeff\u3000\u2028\U00020000")
)


@settings(max_examples=300)
@given(
    ANYTHING,
    st.sampled_from([None, "file", "line", "blank-line"]),
    st.sampled_from(["keep", "space"]),
    st.sampled_from([4, 7, 12]),
)
def test_a_text_is_the_same_wherever_it_is_cut(tmp_path_factory, text, documents, newlines, size):
    path = tmp_path_factory.mktemp("cut") / "a.txt"
    path.write_bytes(("begin" + text + "\nend").encode())
    config, repairs = TextConfig(documents=documents, newlines=newlines), Repairs()
    whole = read_documents([path], config, repairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SIZE", size)
        assert texts([path], config) == (whole, repairs.notes)


@pytest.mark.parametrize("documents", [None, "blank-line"])
def test_whatever_the_number_of_workers_every_file_is_the_same(
    folder, tmp_path, monkeypatch, documents
):
    config = TextConfig(documents=documents)
    whole = prepare([folder], config, out=tmp_path / "whole", workers=1)
    monkeypatch.setattr(pieces, "SIZE", 600)
    for workers in (1, 3):
        corpus = prepare([folder], config, out=tmp_path / str(workers), workers=workers)
        assert content(tmp_path / str(workers)) == content(tmp_path / "whole")
        assert (corpus.repairs, corpus.notes) == (whole.repairs, whole.notes)


@pytest.mark.usefixtures("small")
def test_an_error_in_a_worker_is_the_error_of_one_process_and_leaves_nothing(tmp_path):
    place = tmp_path / "texts"
    place.mkdir()
    (place / "a.txt").write_text("a line\n" * 300)
    (place / "b.jsonl").write_text('{"text": "a"}\n' * 200 + '{"text": \n')
    with pytest.raises(CorpusError) as alone:
        prepare([place], out=tmp_path / "out", workers=1)
    with pytest.raises(CorpusError, match=r"b\.jsonl, line 201") as together:
        prepare([place], out=tmp_path / "out", workers=2)
    assert str(alone.value) == str(together.value)
    assert list(tmp_path.iterdir()) == [place]


def test_a_worker_that_is_killed_is_told_in_one_line():
    with Workers(2) as pool, pytest.raises(RondeauError, match=r"killed by signal 9.*--workers 1"):
        list(pool.in_order(_end, [1, 2, 3]))


def _end(_):
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted(monkeypatch, call, *, after, by=KeyboardInterrupt):
    """Make a call that is interrupted once so many pieces have been read."""
    take = Spool.take

    def taken(spool, read):
        if spool.read == after:
            raise by
        take(spool, read)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "take", taken)
        with pytest.raises(by):
            call()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("after", [1, 20])
def test_interrupted_it_reads_on_where_it_was_to_the_same_bytes(
    folder, tmp_path, monkeypatch, after
):
    config = TextConfig(documents="blank-line")
    whole = prepare([folder], config, out=tmp_path / "whole", workers=1)
    out = tmp_path / "out"
    interrupted(monkeypatch, lambda: prepare([folder], config, out=out, workers=1), after=after)
    assert not out.exists()
    read = []

    def watched(job):
        read.append(job)
        return read_job(job)

    monkeypatch.setattr(preparing, "read_job", watched)
    monkeypatch.setattr(preparing, "survey_job", None)
    corpus = prepare([folder], config, out=out, workers=1)
    everything = len(list(plan([folder], config, survey)))
    assert len(read) == everything - after
    assert content(out) == content(tmp_path / "whole")
    assert "went on after" in corpus.notes[0]
    assert corpus.repairs == whole.repairs
    assert {path.name for path in tmp_path.iterdir()} == {"texts", "whole", "out"}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["text.codes", "text.lengths", "progress.jsonl"])
@pytest.mark.parametrize("damage", ["short", "other", "gone"])
def test_of_what_a_loss_of_power_has_left_only_what_is_whole_is_gone_on_with(
    folder, tmp_path, monkeypatch, name, damage
):
    prepare([folder], out=tmp_path / "whole", workers=1)
    out = tmp_path / "out"
    interrupted(monkeypatch, lambda: prepare([folder], out=out, workers=1), after=9)
    path = tmp_path / ".out.part" / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        at = len(data) * 2 // 3
        path.write_bytes(data[:at] + (b"" if damage == "short" else b"\0" * (len(data) - at)))
    prepare([folder], out=out, workers=1)
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.usefixtures("small")
def test_copies_that_were_found_are_not_looked_for_again(folder, tmp_path, monkeypatch):
    config = TextConfig(documents="blank-line")
    prepare([folder], config, out=tmp_path / "whole", workers=1)

    def cut_off(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rondeau.text.corpus.split_ranges", cut_off)
        with pytest.raises(KeyboardInterrupt):
            prepare([folder], config, out=tmp_path / "out", workers=1)
    monkeypatch.setattr(preparing, "find_copies", None)
    prepare([folder], config, out=tmp_path / "out", workers=1)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.usefixtures("small")
def test_sources_or_settings_that_have_changed_begin_anew_and_it_is_said(
    folder, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    for change, said in (
        (lambda: (folder / "f.txt").write_text("longer"), "the sources have changed"),
        (lambda: None, "the settings are others"),
    ):
        interrupted(monkeypatch, lambda: prepare([folder], out=out, workers=1), after=3)
        change()
        config = TextConfig(documents="line" if "settings" in said else None)
        corpus = prepare([folder], config, out=out, workers=1)
        assert corpus.notes[0].startswith(said)
        for path in out.iterdir():
            path.unlink()


def test_standard_input_leaves_nothing_to_go_on_with(tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("one line\n" * 9)
    with (tmp_path / "in.txt").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        interrupted(monkeypatch, lambda: prepare(["-"], out=tmp_path / "out"), after=0)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_of_two_at_once_the_second_is_refused(tmp_path):
    (tmp_path / "in.txt").write_text("one line\n" * 9)
    (tmp_path / ".out.part").mkdir()
    descriptor = os.open(tmp_path / ".out.part", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(OptionError, match="is being prepared by another process"):
        prepare([tmp_path / "in.txt"], out=tmp_path / "out")
    os.close(descriptor)
    prepare([tmp_path / "in.txt"], out=tmp_path / "out")


def test_something_of_the_users_where_it_works_is_left_alone(tmp_path):
    (tmp_path / "in.txt").write_text("one line\n" * 9)
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "diary.txt").write_text("mine")
    with pytest.raises(OptionError, match=r"diary\.txt: is in the way; remove it"):
        prepare([tmp_path / "in.txt"], out=tmp_path / "out")
    assert (tmp_path / ".out.part" / "diary.txt").read_text() == "mine"
    (tmp_path / ".out.part" / "diary.txt").rename(tmp_path / "diary.txt")
    (tmp_path / ".out.part").rmdir()
    (tmp_path / "diary.txt").rename(tmp_path / ".out.part")
    with pytest.raises(RondeauError, match=r"--out .*out: cannot be written"):
        prepare([tmp_path / "in.txt"], out=tmp_path / "out")


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_read_nothing(tmp_path, workers):
    with pytest.raises(OptionError, match=f"--workers {workers}: must be at least 1"):
        prepare([tmp_path], out=tmp_path / "out", workers=workers)

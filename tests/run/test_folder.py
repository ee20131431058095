"""The run folder: all or nothing, checked on every read."""

import contextlib
import errno
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondeau.errors import OptionError, RunError
from rondeau.files import make_folder, sync_folder, write_atomic, write_output
from rondeau.run.folder import RunFolder

bytes_by_name = st.dictionaries(
    st.sampled_from(["a.json", "b/c.bin", "b/d.bin", "e"]), st.binary(max_size=50), min_size=1
)


@given(first=bytes_by_name, second=bytes_by_name)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_changed_last_is_what_is_read(tmp_path_factory, first, second):
    folder = RunFolder.create(tmp_path_factory.mktemp("run"))
    folder.change(first)
    folder.change(second)
    for name, data in (first | second).items():
        assert folder.read(name) == data


def test_a_reader_finds_a_valid_run_between_any_two_writes(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path)
    folder.change({"a": b"old a", "b": b"old b"})
    seen = []

    def write_and_look(path, data):
        write_atomic(path, data)
        seen.append((folder.read("a"), folder.read("b")))

    monkeypatch.setattr("rondeau.run.folder.write_atomic", write_and_look)
    folder.change({"a": b"new a", "b": b"new b"})
    assert seen[0] == (b"old a", b"old b")
    assert seen[-1] == (b"new a", b"new b")
    assert len(seen) == 4


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_output(path, b"page")
    assert os.read(reader, 10) == b"page"
    assert path.is_fifo()
    os.close(reader)


def test_a_link_leads_to_what_is_written(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_output(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["text/page.html", "x" * 300, "."])
def test_what_cannot_be_written_is_the_users_to_mend(tmp_path, name):
    (tmp_path / "text").write_text("a file")
    with pytest.raises(OptionError, match=r"--out .*: cannot be written: .*; name another file"):
        write_output(tmp_path / name, b"page")


def test_two_who_change_a_run_at_once_lose_nothing(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path)
    folder.change({"a": b"a"})
    other = threading.Thread(target=folder.change, args=({"c": b"c"},))

    def write_and_start(path, data):
        write_atomic(path, data)
        if path.name == "b":
            other.start()

    monkeypatch.setattr("rondeau.run.folder.write_atomic", write_and_start)
    folder.change({"b": b"b"})
    other.join()
    assert [folder.read(name) for name in "abc"] == [b"a", b"b", b"c"]


def test_a_file_that_is_replaced_while_it_is_read_is_not_called_damaged(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path)
    folder.change({"a": b"old"})
    manifest, left = RunFolder._manifest, [True]

    def replace_once(self):
        if left and left.pop():
            self.change({"a": b"new"})
        return manifest(self)

    monkeypatch.setattr(RunFolder, "_manifest", replace_once)
    assert folder.read("a") == b"new"


def test_what_is_no_json_is_told_by_its_name(tmp_path):
    folder = RunFolder.create(tmp_path)
    folder.change({"results.json": b"{", "more.json": b"[]"})
    for name in ("results.json", "more.json"):
        with pytest.raises(RunError, match=f"{name}: is .*not .*JSON"):
            folder.read_json(name)


def test_a_flipped_byte_is_found(tmp_path):
    folder = RunFolder.create(tmp_path)
    folder.change({"weights": b"0123"})
    (tmp_path / "weights").write_bytes(b"0133")
    with pytest.raises(RunError, match=r"weights: is damaged.*restore it"):
        folder.read("weights")


def test_removed_files_are_gone_from_disk_and_manifest(tmp_path):
    folder = RunFolder.create(tmp_path)
    folder.change({"old/a": b"1", "old/b": b"2", "kept": b"3"})
    folder.change({"new": b"4"}, remove=["old"])
    assert not (tmp_path / "old").exists()
    assert [folder.has(name) for name in ("old/a", "kept", "new")] == [False, True, True]


def test_a_change_that_was_cut_off_is_settled_by_the_next_one_file_by_file(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path)
    folder.change({"a": b"old a", "b": b"old b"})

    def write_once(path, data):
        if path.name in ("b", "d"):
            raise KeyboardInterrupt
        write_atomic(path, data)

    for files in ({"a": b"new a", "b": b"new b"}, {"c": b"c", "d": b"d"}):
        monkeypatch.setattr("rondeau.run.folder.write_atomic", write_once)
        with pytest.raises(KeyboardInterrupt):
            folder.change(files)
        monkeypatch.undo()
    assert folder.names() == ["a", "b", "c"]
    assert [folder.read(name) for name in "abc"] == [b"new a", b"old b", b"c"]
    folder.change({})
    files = json.loads((tmp_path / "manifest.json").read_bytes())["files"]
    assert {name: len(hashes) for name, hashes in files.items()} == {"a": 1, "b": 1, "c": 1}


def test_a_damaged_file_stays_damaged_when_a_change_is_settled(tmp_path):
    folder = RunFolder.create(tmp_path)
    folder.change({"a": b"a"})
    manifest = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest.replace('": [', '": ["",'))
    (tmp_path / "a").write_bytes(b"b")
    folder.change({})
    with pytest.raises(RunError, match="is damaged"):
        folder.read("a")


def test_what_a_killed_writer_has_left_is_tidied_and_files_of_others_are_not(tmp_path):
    folder = RunFolder.create(tmp_path)
    folder.change({"private/a": b"a"})
    (tmp_path / "private" / ".a-12345678.part").write_bytes(b"half")
    (tmp_path / ".hidden").write_bytes(b"mine")
    folder.tidy()
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        ".hidden",
        "a",
        "manifest.json",
    ]


def test_a_folder_that_is_made_is_durable_where_it_lies(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def seen(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


@pytest.mark.parametrize(("reason", "told"), [(errno.EIO, True), (errno.EINVAL, False)])
def test_a_folder_that_cannot_be_made_durable_is_told_unless_the_system_never_can(
    tmp_path, monkeypatch, reason, told
):
    def fails(descriptor):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError) if told else contextlib.nullcontext():
        sync_folder(tmp_path)


def test_a_folder_in_use_is_not_taken(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(RunError, match="already exists"):
        RunFolder.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_what_is_no_run_and_a_later_format_are_refused(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match="is not a run folder"):
        RunFolder.open(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format_version": 99, "files": {}}))
    with pytest.raises(RunError, match="has format 99"):
        RunFolder.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        RunFolder.open(tmp_path)

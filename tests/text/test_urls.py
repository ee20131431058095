"""Texts and prepared corpora by URL: the same as files, within the same bounds, without secrets."""

import gzip
import json
import sys
import zipfile

import pytest

from rondeau import urls
from rondeau.config import TextConfig
from rondeau.errors import CorpusError
from rondeau.text import preparing, sources
from rondeau.text.loading import load_corpus
from rondeau.text.preparing import prepare
from rondeau.text.reading import read_documents
from rondeau.text.repairs import Repairs
from rondeau.text.splits import SPLIT_NAMES
from rondeau.urls import Remote, label, url_of

TEXT = "春天来了\n鸟飞回来\n\n夏天来了\n蝉在树上"


pytestmark = pytest.mark.usefixtures("cache")


def read(*names, **settings):
    return read_documents(names, TextConfig(**settings), Repairs())


def upload(memory, folder, to):
    for path in folder.rglob("*"):
        if path.is_file():
            memory.pipe(f"{to}/{path.relative_to(folder)}", path.read_bytes())


@pytest.mark.parametrize(
    ("name", "told", "found"),
    [
        ("s3://bucket/a.txt", "s3://bucket/a.txt", "s3://bucket/a.txt"),
        ("s3:/bucket/a.txt", "s3://bucket/a.txt", "s3://bucket/a.txt"),
        (
            "https://me:pass@host/a.txt?sig=secret#x",
            "https://host/a.txt",
            "https://me:pass@host/a.txt?sig=secret#x",
        ),
        ("poems/a.txt", "poems/a.txt", None),
        ("/poems/a.txt", "/poems/a.txt", None),
        ("a:b.txt", "a:b.txt", None),
        ("-", "-", None),
    ],
)
def test_a_url_is_told_without_its_secrets_and_a_path_as_it_is(name, told, found):
    assert label(name) == told
    assert url_of(name) == found


def test_every_format_is_read_from_a_url_and_from_a_folder_of_them(memory, tmp_path):
    memory.pipe("/texts/a.txt", TEXT.encode("gb18030"))
    memory.pipe("/texts/b.txt.gz", gzip.compress(TEXT.encode()))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("inside/c.txt", TEXT)
    memory.pipe("/texts/c.zip", (tmp_path / "c.zip").read_bytes())
    memory.pipe("/texts/deeper/d.jsonl", json.dumps({"text": TEXT}).encode())
    memory.pipe("/texts/picture.png", b"\x89PNG")
    for name in ("a.txt", "b.txt.gz", "c.zip", "deeper/d.jsonl"):
        assert read(f"memory://texts/{name}") == [TEXT]
    assert read("memory://texts") == [TEXT] * 4


def test_what_is_wrong_at_a_url_is_told_in_one_line(memory, monkeypatch):
    memory.pipe("/a.zip", b"PK not a zip")
    memory.pipe("/none/a.png", b"")
    memory.pipe("/long.txt", b"a" * 2000)
    for name, said in (
        ("memory://nowhere.txt", "memory://nowhere.txt: no such file or folder"),
        ("memory://a.zip", "memory://a.zip: cannot be read"),
        ("memory://none", r"memory://none: has no \.txt"),
        ("nonsense://a.txt", "nonsense://a.txt: cannot be opened: Protocol not known"),
    ):
        with pytest.raises(CorpusError, match=f"^{said}") as raised:
            read(name)
        assert "\n" not in str(raised.value)
    monkeypatch.setattr(sources, "LARGEST", 1000)
    with pytest.raises(CorpusError, match=r"long\.txt: goes on after 1,000 bytes"):
        read("memory://long.txt")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(CorpusError, match=r"^s3://b/a\.txt: needs fsspec: pip install 'rondeau\[d"):
        read("s3://b/a.txt")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(CorpusError, match=r"^s3://b/a\.txt: s3:// needs a package: .*s3fs"):
        read("s3://b/a.txt")


def test_secrets_of_a_url_are_neither_told_nor_stored(memory, tmp_path, monkeypatch):
    secret = "memory://me:passw0rd@texts/a.txt?signature=s1gned"
    memory.pipe(memory._strip_protocol(secret), ("a line of text\n" * 9).encode())
    with pytest.raises(CorpusError) as raised:
        read(secret.replace("a.txt", "b.txt"))
    assert "passw0rd" not in str(raised.value)
    assert "s1gned" not in str(raised.value)
    corpus = load_corpus([secret], TextConfig())
    assert corpus.sources == ("memory://texts/a.txt",)
    kept = []
    drop = preparing.Spool.remove

    def looked_at(spool):
        kept.extend(path.read_bytes() for path in spool.folder.iterdir())
        drop(spool)

    monkeypatch.setattr(preparing.Spool, "remove", looked_at)
    prepare([secret], out=tmp_path / "out")
    assert len(kept) > 5
    assert not any(b"passw0rd" in data or b"s1gned" in data for data in kept)


def test_what_a_library_says_is_told_without_the_secrets(monkeypatch):
    remote = Remote("memory://me:passw0rd@texts/a.txt?signature=s1gned", CorpusError)

    def fail(*_, **__):
        raise ConnectionError(f"401 for {remote.url}, with passw0rd\nand signature=s1gned")

    monkeypatch.setattr(remote.files, "open", fail)
    with pytest.raises(CorpusError, match=r"a\.txt: cannot be read: 401 for") as raised:
        remote.read(most=10)
    assert "passw0rd" not in str(raised.value)
    assert "s1gned" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_corpus_is_prepared_from_urls_and_read_from_one_shard_by_shard(
    memory, tmp_path, cache, monkeypatch
):
    lines = [f"诗{chr(0x4E00 + i)}\n" + "天地玄黄" * (i % 7) for i in range(60)]
    memory.pipe("/poems.txt", "\n\n".join(lines).encode())
    config = TextConfig(documents="blank-line")
    monkeypatch.setattr(preparing, "SHARD", 64)
    local = prepare(["memory://poems.txt"], config, out=tmp_path / "ready")
    upload(memory, tmp_path / "ready", "/ready")
    remote = load_corpus(["memory://ready"], config)
    assert remote.sources == ("memory://ready",)
    fetched = set((cache / "files").iterdir())
    assert remote.train[0] == local.train[0]
    first = set((cache / "files").iterdir()) - fetched
    assert len(first) == 1
    for name in SPLIT_NAMES:
        assert list(remote.parts[name]) == list(local.parts[name])
    monkeypatch.setattr(Remote, "copy_to", None)  # what is in the cache isn't fetched again
    monkeypatch.setattr(Remote, "read", lambda self, most: memory.cat_file(self.path))
    again = load_corpus(["memory://ready"], config)
    assert list(again.train) == list(local.train)


def test_a_shard_that_is_another_is_refused_before_it_is_read(memory, tmp_path):
    (tmp_path / "a.txt").write_text("one line of text\n" * 50)
    prepare([tmp_path / "a.txt"], out=tmp_path / "ready")
    upload(memory, tmp_path / "ready", "/ready")
    memory.pipe("/ready/train-00000.ids", memory.cat("/ready/train-00000.ids")[:-2] + b"\1\0")
    corpus = load_corpus(["memory://ready"], TextConfig())
    with pytest.raises(CorpusError, match=r"^memory://ready/train-00000\.ids: is damaged"):
        corpus.train[0]


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("RONDEAU_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert urls.cache_folder() == tmp_path / "rondeau"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert urls.cache_folder() == tmp_path / "home/.cache/rondeau"

"""A prepared corpus: the same corpus as from the files, from a disk, refused when damaged."""

import hashlib
import json

import numpy as np
import pytest

from rondeau import TrainConfig, train
from rondeau.config import TextConfig
from rondeau.errors import CorpusError, OptionError, UserError
from rondeau.text import corpus as corpus_module
from rondeau.text import documents, pieces, prepared, preparing
from rondeau.text.loading import load_corpus
from rondeau.text.preparing import prepare
from rondeau.text.splits import SPLIT_NAMES


@pytest.fixture
def poems(tmp_path):
    """Sixty documents of different lengths, some characters in one of them only."""
    path = tmp_path / "poems.txt"
    lines = (f"诗{chr(0x4E00 + i)}\n" + "天地玄黄" * (i % 7) + "\U00020000" for i in range(60))
    path.write_text("\n\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 64 ids, made in blocks of 16."""
    monkeypatch.setattr(preparing, "SHARD", 64)
    monkeypatch.setattr(pieces, "BLOCK", 10)
    monkeypatch.setattr(documents, "BLOCK", 16)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("split", ["document", "tail", "none"])
@pytest.mark.parametrize("newlines", ["keep", "space"])
def test_a_prepared_corpus_is_the_corpus_of_its_files(poems, tmp_path, split, newlines):
    config = TextConfig(documents="blank-line", split=split, newlines=newlines, seed=3)
    from_disk = prepare([poems], config, out=tmp_path / "out")
    from_files = load_corpus([poems], config)
    assert len(list((tmp_path / "out").glob("train-*.ids"))) > 2
    assert from_disk.fingerprint == from_files.fingerprint
    assert from_disk.settings == from_files.settings
    assert from_disk.notes == from_files.notes
    assert any("copies" in note for note in from_files.notes) == (split == "document")
    for name in SPLIT_NAMES:
        ours, theirs = from_disk.parts[name], from_files.parts[name]
        assert list(ours) == list(theirs)
        assert ours.utf8_bytes == theirs.utf8_bytes
        assert (ours.numbers == theirs.numbers).all()
        everywhere = np.arange(len(theirs.ring)).reshape(-1, 1)
        assert (ours.ring[everywhere] == theirs.ring[everywhere]).all()


@pytest.mark.usefixtures("small_shards")
def test_training_from_it_gives_the_same_bits(poems, tmp_path):
    text = {"documents": "blank-line", "seed": 2}
    config = TrainConfig(hidden=8, batch=4, seq_len=9, steps=12, threads=1, **text)
    prepare([poems], TextConfig(**text), out=tmp_path / "ready")
    for source, run in ((poems, "a"), (tmp_path / "ready", "b")):
        train(source, config, out=tmp_path / run).finish()
    first, second = ((tmp_path / run / "model.safetensors").read_bytes() for run in "ab")
    assert first == second


def test_its_own_way_of_reading_goes_into_the_run_and_another_is_refused(poems, tmp_path):
    prepare([poems], TextConfig(documents="blank-line", split="tail"), out=tmp_path / "ready")
    training = train(tmp_path / "ready", TrainConfig(hidden=4, steps=1, seed=9), out=tmp_path / "r")
    assert (training.config.split, training.config.documents) == ("tail", "blank-line")
    assert training.config.seed == 9
    with pytest.raises(OptionError, match=r"--documents line: .*prepared with blank-line"):
        train(tmp_path / "ready", TrainConfig(documents="line"))


def test_a_shard_that_was_changed_is_named_when_it_is_first_read(poems, tmp_path):
    prepare([poems], TextConfig(), out=tmp_path / "ready")
    shard = tmp_path / "ready" / "train-00000.ids"
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    corpus = load_corpus([tmp_path / "ready"], TextConfig())
    with pytest.raises(CorpusError, match=r"train-00000\.ids: is damaged"):
        corpus.train[0]


@pytest.mark.parametrize(
    "name", ["train-00000.ids", "train.starts", "train.numbers", "tokenizer.json"]
)
def test_a_file_that_is_short_or_missing_is_refused_at_once(poems, tmp_path, name):
    prepare([poems], TextConfig(), out=tmp_path / "ready")
    path = tmp_path / "ready" / name
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=name):
        load_corpus([tmp_path / "ready"], TextConfig())
    path.unlink()
    with pytest.raises(CorpusError, match="ready"):
        load_corpus([tmp_path / "ready"], TextConfig())


@pytest.mark.parametrize("change", [{"format_version": 99}, {"splits": {}}, {"settings": {"x": 1}}])
def test_an_index_of_another_kind_is_refused(poems, tmp_path, change):
    prepare([poems], TextConfig(), out=tmp_path / "ready")
    path = tmp_path / "ready" / "corpus.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match="ready"):
        load_corpus([tmp_path / "ready"], TextConfig())


def test_near_copies_are_looked_for_in_a_text_of_any_size(poems, tmp_path, monkeypatch):
    config = TextConfig(documents="blank-line")
    small = load_corpus([poems], config)
    monkeypatch.setattr(corpus_module, "LIMIT", 0)
    ready = prepare([poems], config, out=tmp_path / "ready")
    assert ready.notes == small.notes
    assert ready.fingerprint == small.fingerprint != load_corpus([poems], config).fingerprint


def test_an_empty_split_has_empty_files(tmp_path):
    path = tmp_path / "same.txt"
    path.write_text("\n\n".join(["the same song again"] * 9))
    corpus = prepare([path], TextConfig(documents="blank-line"), out=tmp_path / "ready")
    assert [len(corpus.parts[name].numbers) for name in SPLIT_NAMES] == [9, 0, 0]
    assert "nothing can be held out" in corpus.notes[0]


def test_a_failure_on_the_way_leaves_nothing_behind(poems, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparing, "_sync", fail)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Exception, match="No space left on device"):
        prepare([poems], TextConfig(), out=tmp_path / "ready")
    assert sorted(tmp_path.rglob("*")) == before


def reseal(folder, change):
    """Change the index as somebody does who knows how its hash is made."""
    index = json.loads((folder / "corpus.json").read_text())
    change(index)
    del index["sha256"]
    index["sha256"] = prepared.seal(index)
    (folder / "corpus.json").write_text(json.dumps(index))


@pytest.mark.parametrize("name", ["corpus.json", "tokenizer.json"])
def test_every_changed_letter_of_a_small_file_is_found(poems, tmp_path, name):
    prepare([poems], TextConfig(), out=tmp_path / "ready")
    path = tmp_path / "ready" / name
    text = path.read_text()
    digits = [at for at, letter in enumerate(text) if letter.isdigit()]
    for at in digits[:: len(digits) // 20]:
        path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])
        with pytest.raises(CorpusError, match=f"{name}: (is damaged|has format|format_version)"):
            load_corpus([tmp_path / "ready"], TextConfig())


def test_ids_that_a_model_does_not_have_are_refused_before_it_reads_them(poems, tmp_path):
    ready = prepare([poems], TextConfig(documents="blank-line"), out=tmp_path / "ready")
    shard = tmp_path / "ready" / "train-00000.ids"
    ids = np.fromfile(shard, "<u2")
    ids[7] = len(ready.tokenizer)
    assert ids[7] < len(ready.alphabet.codes), "an id of held-out text"
    shard.write_bytes(ids.tobytes())
    digest = hashlib.sha256(shard.read_bytes()).hexdigest()
    reseal(shard.parent, lambda index: index["splits"]["train"]["shards"][0].update(sha256=digest))
    training = train(shard.parent, TrainConfig(hidden=4, steps=1), out=tmp_path / "run")
    with pytest.raises(CorpusError, match=r"train-00000\.ids: has numbers that mean nothing"):
        training.finish()


@pytest.mark.parametrize("name", ["../poems.txt", "/etc/passwd", "..", "", "a\0b"])
def test_a_shard_lies_nowhere_else(poems, tmp_path, name):
    prepare([poems], TextConfig(), out=tmp_path / "ready")
    folder = tmp_path / "ready"
    reseal(folder, lambda index: index["splits"]["train"]["shards"][0].update(file=name))
    with pytest.raises(CorpusError, match="leads out of the folder; not read"):
        load_corpus([folder], TextConfig())


def test_a_link_to_a_shard_elsewhere_is_not_followed(poems, tmp_path):
    prepare([poems], TextConfig(), out=tmp_path / "ready")
    shard = tmp_path / "ready" / "train-00000.ids"
    shard.rename(tmp_path / "elsewhere.ids")
    shard.symlink_to(tmp_path / "elsewhere.ids")
    with pytest.raises(CorpusError, match=r"train-00000\.ids leads out of the folder"):
        load_corpus([tmp_path / "ready"], TextConfig())


def test_what_is_left_of_a_prepared_corpus_is_not_taken_for_a_folder_of_texts(poems, tmp_path):
    prepare([poems], TextConfig(), out=tmp_path / "ready")
    (tmp_path / "ready" / "corpus.json").unlink()
    (tmp_path / "ready" / "notes.txt").write_text("these are notes on how it was made")
    with pytest.raises(CorpusError, match=r"corpus\.json: cannot be read"):
        load_corpus([tmp_path / "ready"], TextConfig())

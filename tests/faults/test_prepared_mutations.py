"""Every file of a prepared corpus, damaged and forged at random: as `test_mutations` for runs."""

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import crafted, damaged
from scene import Reader, Scene, quick, try_all

import rondeau
from rondeau.config import TextConfig, TrainConfig
from rondeau.run.checkpoints import latest_checkpoint
from rondeau.text import prepared, preparing
from rondeau.text.loading import load_corpus

FILES = ("corpus.json", "tokenizer.json", "validation.starts", "validation.numbers")
FILES += ("train.starts", "train.numbers", "train-00000.ids", "train-00001.ids")
FILES += ("validation-00000.ids", "test.starts", "test.numbers", "test-00000.ids")


@dataclass
class Sound:
    """A sound corpus, where trainings may lie, and what each reader may make of it."""

    runs: Path
    numbers: Any = field(default_factory=itertools.count)
    results: dict[Reader, list[Any]] = field(default_factory=dict)


def read(path, sound):
    """All that a corpus says of itself and of its texts."""
    corpus = load_corpus([path], TextConfig())
    texts = [
        (list(part), part.utf8_bytes, part.characters, part.numbers.tolist())
        for part in corpus.parts.values()
    ]
    vocabulary = (corpus.tokenizer.characters, corpus.tokenizer.once)
    return corpus.fingerprint, corpus.settings, vocabulary, texts


def train(path, sound):
    """The weights after two steps."""
    config = TrainConfig(hidden=4, batch=2, seq_len=8, steps=2, warmup=0, threads=1)
    training = rondeau.train(path, config, out=sound.runs / str(next(sound.numbers)))
    steps = [event.step for event in training]
    return steps, latest_checkpoint(training.folder)[0].weights


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with quick():
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    place = tmp_path_factory.mktemp("corpus")
    lines = (f"诗{chr(0x4E00 + i)}\n" + "天地玄黄" * (i % 7) + "\U00020000" for i in range(30))
    (place / "poems.txt").write_text("\n\n".join(lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "SHARD", 300)
        config = TextConfig(documents="blank-line")
        preparing.prepare([place / "poems.txt"], config, out=place / "ready")
    return Scene(place / "ready", place)


@pytest.fixture(scope="module")
def sound(scene, tmp_path_factory):
    sound = Sound(tmp_path_factory.mktemp("runs"))
    sound.results = {reader: [reader(scene.path, sound)] for reader in (read, train)}
    return sound


def fit_index(scene, name, data):
    """Make the index believe a file, and itself."""
    try:
        index = json.loads(data if name == "corpus.json" else scene.files["corpus.json"])
        assert isinstance(index, dict)
    except (ValueError, AssertionError, RecursionError):
        return
    if name == "tokenizer.json":
        index["tokenizer"] = hashlib.sha256(data).hexdigest()
    records = []
    if name != "corpus.json":
        records = [
            record
            for split in index["splits"].values()
            for record in (split["starts"], split["numbers"], *split["shards"])
        ]
    for record in records:
        if record["file"] == name:
            record["sha256"] = hashlib.sha256(data).hexdigest()
            record["length"] = len(data) // np.dtype(record["dtype"]).itemsize
    index.pop("sha256", None)
    index["sha256"] = prepared.seal(index)
    scene.replace("corpus.json", json.dumps(index).encode())


def is_named(name, message):
    """Whether a refusal says which file it is about: with a damaged index, any other."""
    return any(file in message for file in ([name] if name != "corpus.json" else FILES))


READERS = (*(read,) * 12, train)


def test_all_files_are_changed(scene):
    assert sorted(scene.files) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_corpus_is_read_exactly_or_refused_by_name(name, scene, sound, request):
    problems = try_all(
        request,
        scene,
        name,
        damaged,
        READERS,
        sound,
        exact=True,
        named=partial(is_named, name),
    )
    assert problems == []


@pytest.mark.parametrize("name", FILES)
def test_a_forged_corpus_is_read_within_bounds_or_refused(name, scene, sound, request):
    problems = try_all(
        request,
        scene,
        name,
        partial(crafted, name),
        READERS,
        sound,
        exact=False,
        fit=partial(fit_index, scene, name),
    )
    assert problems == []

"""The files of weights shared out, damaged and forged at random: as `test_mutations` for runs."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from launching import flags, launch
from mutations import crafted, damaged
from scene import Reader, Scene, quick, try_all

from rondeau.run.folder import to_json
from rondeau.training.gather import gather

SHARDS = "checkpoints/step-00000004/shards"
FILES = [f"{SHARDS}/shard-{number:05d}-model-00001-of-00001.safetensors" for number in (1, 2)]


@dataclass
class Sound:
    """What each reader may make of a sound run."""

    results: dict[Reader, list[Any]] = field(default_factory=dict)


def made_whole(path, sound):
    """The run after `gather`."""
    steps = gather(path)
    kept = [
        "model.safetensors",
        *(f"checkpoints/step-{step:08d}/training_state.pt" for step in steps),
    ]
    return steps, [hashlib.sha256((path / name).read_bytes()).hexdigest() for name in kept]


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with quick():
        yield


@pytest.fixture(scope="module")
def scene(rhymes, tmp_path_factory):
    place = tmp_path_factory.mktemp("shards")
    settings = {"hidden": 4, "steps": 4, "keep": 1}
    ended = launch(2, "train", rhymes, *flags(**settings), "--shard", "--out", place / "run")
    assert ended.code == 0, ended.said
    return Scene(place / "run", place)


@pytest.fixture(scope="module")
def sound(scene):
    sound = Sound({made_whole: [made_whole(scene.path, None)]})
    scene.put_back()
    return sound


def fit_manifest(scene, name, data):
    """Make the manifest believe a file."""
    manifest = json.loads(scene.files["manifest.json"])
    manifest["files"][name] = [hashlib.sha256(data).hexdigest()]
    scene.replace("manifest.json", to_json(manifest))


def test_all_shards_are_changed(scene):
    assert [name for name in scene.files if "/shards/" in name] == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_shard_is_read_exactly_or_refused_by_name(name, scene, sound, request):
    problems = try_all(
        request,
        scene,
        name,
        damaged,
        [made_whole],
        sound,
        exact=True,
        named=lambda message: name in message,
    )
    assert problems == []


@pytest.mark.parametrize("name", FILES)
def test_a_forged_shard_is_read_within_bounds_or_refused(name, scene, sound, request):
    problems = try_all(
        request,
        scene,
        name,
        partial(crafted, "model.safetensors"),
        [made_whole],
        sound,
        exact=False,
        fit=partial(fit_manifest, scene, name),
    )
    assert problems == []

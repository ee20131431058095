"""Every file of a run, damaged and forged at random: it works exactly, or is refused by name."""

import contextlib
import hashlib
import io
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
from rondeau.cli import main
from rondeau.config import TrainConfig
from rondeau.errors import RondeauError
from rondeau.evaluation.perplexity import Evaluation
from rondeau.report.data import gather
from rondeau.report.page import page
from rondeau.run.checkpoints import latest_checkpoint
from rondeau.run.folder import RunFolder, to_json
from rondeau.run.lock import cut_off, locked
from rondeau.run.metrics import read_events
from rondeau.studies.compare import compare
from rondeau.training import keeping
from rondeau.training.loop import Training

GREEDY = rondeau.DecodingConfig(greedy=True)
SMALL = {"hidden": 4, "batch": 2, "seq_len": 8, "threads": 1, "documents": "blank-line"}
STEPS = (10, 20)
"""The checkpoints of the run."""


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def weights(model):
    return digest(*(parameter.detach().numpy() for parameter in model.parameters()))


def opened(path, sound):
    """A run whose text was read before, which takes its time."""
    model = rondeau.load(path)
    model._corpus = sound.model.corpus()
    return model


def load(path, sound):
    model = opened(path, sound)
    (sample,) = model.generate("猫", length=6, decoding=GREEDY)
    return weights(model.model), sample.text


def write(path, sound):
    model = opened(path, sound)
    texts = [s.text for s in model.generate("小", length=6, seed=3, num_samples=2)]
    return texts, repr(model.normalise("a\r\n"))


def tell(path, sound):
    return [command(["info", str(path), *further]) for further in ([], ["--json"])]


def command(arguments):
    """What a command prints, its refusals as errors again."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as exit_:
            if exit_.code:
                raise RondeauError(err.getvalue()) from None
    return out.getvalue()


def evaluate(path, sound):
    model = opened(path, sound)
    return repr(model.evaluate(splits=["test"])), model.fingerprint


def reread(path, sound):
    corpus = rondeau.load(path).corpus()
    return corpus.fingerprint, [list(documents) for documents in corpus.parts.values()]


def measure(path, sound):
    model = opened(path, sound)
    found = model.baselines()
    return (
        repr(found),
        model.verdict(sound.evaluations),
        [[row.as_dict() for row in rows] for rows in found.splits.values()],
    )


def meter(path, sound):
    return opened(path, sound).novelty("小猫白大来了狗", "大").as_dict()


def draw(path, sound):
    shown = page(gather(opened(path, sound)))
    assert "<script" not in shown.lower()
    return shown


def beside(path, sound):
    return compare([opened(path, sound), sound.model], "test").as_dict()


def follow(path, sound):
    return read_events(RunFolder.open(path))


def resume(path, sound):
    training = rondeau.resume(path)
    passed_over = [note for note in training.notes if note.startswith("passed over")]
    return restored(training, passed_over)


def hold(path, sound):
    folder = RunFolder.open(path)
    found = cut_off(folder)
    with locked(folder):
        return bool(found)


def restore(path, sound):
    """What `resume` does but for reading the text again, which takes its time."""
    checkpoint, damage = latest_checkpoint(RunFolder.open(path))
    keeping.restore(sound.training, checkpoint)
    return restored(sound.training, damage)


def restore_older(path, sound):
    """The same where the latest checkpoint is no more."""
    (path / f"checkpoints/step-{max(STEPS):08d}/training_state.pt").write_bytes(b"")
    return restore(path, sound)


def restored(training, said):
    tensors = [p.detach().numpy() for p in training.model.parameters()]
    slots = training.optimizer.state_dict()["state"]
    tensors += [slots[i][name].numpy() for i in sorted(slots) for name in sorted(slots[i])]
    tensors += [carry.h.numpy() for layer in training.carry for carry in layer]
    numbers = (training.best, training.best_step, training.looks_since_best, training.rate)
    if training.step < max(STEPS):
        assert said, "an older checkpoint is taken, and nobody is told"
    return training.step, numbers, digest(*tensors)


QUICK = (load, load, write, load, meter, restore, tell)
ALL = (*QUICK, evaluate, *QUICK, beside, *QUICK, draw, *QUICK, resume)
READERS = {
    "manifest.json": ALL,
    "config.json": ALL,
    "model.safetensors": ALL,
    "tokenizer.json": ALL,
    "generation_config.json": (write,),
    "train_config.toml": (resume,),
    "results.json": (*(write, beside, draw) * 3, tell),
    "baselines.json": (*(measure,) * 6, draw),
    "env.json": (draw,),
    "metrics.jsonl": (*(follow,) * 4, restore, follow, beside, draw),
    "checkpoints/index.json": (*(restore,) * 30, resume),
    "checkpoints/step-00000010/model.safetensors": (*(restore_older,) * 30, resume),
    "checkpoints/step-00000010/training_state.pt": (*(restore_older,) * 30, resume),
    "checkpoints/step-00000020/model.safetensors": (*(restore,) * 30, resume),
    "checkpoints/step-00000020/training_state.pt": (*(restore,) * 30, resume),
    "private/corpus.json": (*(reread,) * 9, resume, evaluate),
    "private/corpus.jsonl": (*(reread,) * 9, resume),
    "private/copies.safetensors": (*(meter,) * 9, draw),
    "private/lock": (*(hold,) * 30, resume),
    "README.md": (*(load,) * 9, draw),
    "report.html": (*(load,) * 9, draw),
}
"""For each file of a run those who read it, taken in turn."""
UNCHECKED = {"metrics.jsonl", "private/lock"}
"""Not in the manifest: damage there can't be told from what was written."""


@dataclass
class Sound:
    """A sound run, and what each reader may make of it."""

    model: rondeau.LanguageModel
    evaluations: list[Evaluation]
    training: Training
    results: dict[Reader, list[Any]] = field(default_factory=dict)


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with quick():
        yield


@pytest.fixture(scope="module")
def sound_run(tmp_path_factory):
    """A small run that keeps its own text, with every file that a run may have."""
    rhymes = [f"{a}{b}{c}来了\n{c}{b}{a}走了" for a in "猫狗鸟鱼" for b in "白黑" for c in "大小好"]
    out = tmp_path_factory.mktemp("sound") / "run"
    with pytest.MonkeyPatch.context() as patch:
        text = io.BytesIO("\n\n".join(rhymes).encode())
        patch.setattr("sys.stdin", type("Input", (), {"buffer": text}))
        config = TrainConfig(**SMALL, steps=20, eval_every=10)
        rondeau.train(["-"], config, out=out).finish()
    assert rondeau.load(out).copies
    return out


@pytest.fixture(scope="module")
def scene(sound_run, tmp_path_factory):
    return Scene(sound_run, tmp_path_factory.mktemp("mutated"))


@pytest.fixture(scope="module")
def sound(sound_run, scene):
    model = rondeau.load(sound_run)
    sound = Sound(model, model.evaluate(), rondeau.resume(scene.path))
    for reader in set().union(*READERS.values()):
        scene.put_back()
        sound.results[reader] = [reader(scene.path, sound)]
    # A training whose latest checkpoint is damaged goes on from the one before, and says so.
    for reader in (restore, resume):
        scene.put_back()
        scene.replace(f"checkpoints/step-{max(STEPS):08d}/model.safetensors", b"")
        sound.results[reader].append(reader(scene.path, sound))
    scene.put_back()
    return sound


def is_named(name, message):
    """Whether a refusal says which file it is about: with a damaged manifest, any other."""
    files = READERS if name == "manifest.json" else [name]
    return any(Path(file).name in message for file in files)


def fit_manifest(scene, name, data):
    """Make the manifest believe a file."""
    manifest = json.loads(scene.files["manifest.json"])
    if name in manifest["files"]:
        manifest["files"][name] = [hashlib.sha256(data).hexdigest()]
        scene.replace("manifest.json", to_json(manifest))


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_run_is_read_exactly_or_refused_by_name(name, scene, sound, request):
    problems = try_all(
        request,
        scene,
        name,
        damaged,
        READERS[name],
        sound,
        exact=name not in UNCHECKED,
        named=partial(is_named, name),
    )
    assert problems == []


@pytest.mark.parametrize("name", READERS)
def test_a_forged_run_is_read_within_bounds_or_refused(name, scene, sound, request):
    problems = try_all(
        request,
        scene,
        name,
        partial(crafted, name),
        READERS[name],
        sound,
        exact=False,
        fit=partial(fit_manifest, scene, name),
    )
    assert problems == []

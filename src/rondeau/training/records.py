"""What a training writes into its run folder beside checkpoints: settings, data, numbers, card."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import safetensors
import torch

import rondeau
from rondeau.config import DecodingConfig, TrainConfig
from rondeau.errors import OptionError, RunError, TrainingError
from rondeau.formats import shown
from rondeau.run.decoding import DECODING, decoding_to_bytes
from rondeau.run.folder import FORMAT_VERSION, RunFolder, to_json
from rondeau.run.metrics import METRICS, each_event
from rondeau.run.origin import origin_files
from rondeau.run.weights import config_to_dict
from rondeau.text.corpus import Corpus
from rondeau.text.splits import SPLIT_NAMES
from rondeau.training.events import Event
from rondeau.training.model_card import Numbers, model_card
from rondeau.urls import label

if TYPE_CHECKING:
    from rondeau.training.loop import Training

MOST = 2**13
"""Most bytes of train_config.toml: a name of so many parts takes the square of it to read."""


REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
}
"""What to do when files can't be written, by the system's reason."""


def free_folder(sources: Sequence[str | Path]) -> Path:
    """runs/NAME after the first source, with a number where that is taken."""
    first = Path(label(sources[0])).name.split(".")[0] if sources else "songs"
    name = {"-": "stdin", "": "run"}.get(str(first), str(first))
    number = 1
    while (path := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return path


def write_start(training: Training) -> None:
    """Everything that is known before the first step."""
    corpus, config = training.corpus, training.config
    model_config = config_to_dict(training.model, whole_documents=corpus.whole_documents)
    training.folder.change(
        {
            "config.json": to_json(model_config),
            "tokenizer.json": training.tokenizer.to_json().encode(),
            DECODING: decoding_to_bytes(DecodingConfig()),
            "train_config.toml": to_toml(config).encode(),
            "env.json": to_json(environment(training)),
            "results.json": to_json(results(training, [])),
            **origin_files(corpus),
        }
    )
    training.folder.put(METRICS, b"")  # last: with it the start is complete


def write_results(training: Training, numbers: Sequence[Numbers]) -> None:
    """The final numbers, for programs and on the model card."""
    training.folder.change({"results.json": to_json(results(training, numbers))})
    card = model_card(training, numbers, sources=public_sources(training.corpus))
    training.folder.put("README.md", card.encode("utf-8", "replace"))


def results(training: Training, numbers: Sequence[Numbers]) -> dict[str, Any]:
    """What results.json holds: settings, data, progress and held-out numbers."""
    corpus = training.corpus
    return {
        "format_version": FORMAT_VERSION,
        "settings": training.config.as_dict(),
        "data": {
            "sources": public_sources(corpus),
            "split": corpus.split,
            "documents": {name: len(corpus.parts[name]) for name in SPLIT_NAMES},
            "characters": {name: corpus.parts[name].characters for name in SPLIT_NAMES},
        },
        "training": {
            "step": training.step,
            "steps": training.steps,
            "best_step": training.best_step,
            "seconds": round(training.seconds, 1),
        },
        "held_out": [evaluation.as_dict() for evaluation in numbers],
        "verdict": list(training.verdict),
    }


def environment(training: Training) -> dict[str, Any]:
    """Versions and threads: what the bits depend on."""
    return {
        "format_version": FORMAT_VERSION,
        "rondeau": rondeau.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "safetensors": safetensors.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "device": training.device.type,
        "threads": torch.get_num_threads(),
    }


def append_event(folder: RunFolder, event: Event) -> None:
    """Add a line to metrics.jsonl."""
    with folder.place(METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"format_version": FORMAT_VERSION, **event.as_dict()}) + "\n")


def sync_events(folder: RunFolder) -> None:
    """Make metrics.jsonl durable, before a checkpoint counts on it."""
    with folder.place(METRICS).open("rb") as file:
        os.fsync(file.fileno())


def cut_events(folder: RunFolder, step: int) -> None:
    """Drop the events after a step, and a torn last one."""
    kept = (json.dumps(event) for event in each_event(folder) if event["step"] <= step)
    folder.put(METRICS, "".join(line + "\n" for line in kept).encode())


def read_train_config(folder: RunFolder) -> TrainConfig:
    """The settings of a run, as they were fixed at its start."""
    source = f"{folder.path / 'train_config.toml'}"
    try:
        values = tomllib.loads(folder.read("train_config.toml", most=MOST).decode("utf-8"))
        config = TrainConfig.from_mapping(values, source)
    except (ValueError, RecursionError, OptionError) as error:
        raise RunError(f"{source}: are no settings of a training ({shown(str(error))})") from None
    if config.steps is None or config.eval_every is None:
        raise RunError(f"{source}: doesn't say how long the training is (steps, eval_every)")
    return config


def to_toml(config: TrainConfig) -> str:
    """Settings as flat TOML, one a line; what is unset is left out."""
    repeats = "rondeau train --config train_config.toml repeats this training"
    given = {name: value for name, value in config.as_dict().items() if value is not None}
    return settings_to_toml(given, repeats)


def settings_to_toml(settings: Mapping[str, object], *comment: str) -> str:
    """Settings as flat TOML under lines of comment."""
    lines = [f"# {line}" for line in comment]
    lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    return "".join(f"{line}\n" for line in lines)


@contextlib.contextmanager
def failed_writes_told(folder: RunFolder, when: Callable[[], str]) -> Iterator[None]:
    """Turn an OSError into a TrainingError: when it came, why, what is left, and what to do."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "see to the disk")
        raise TrainingError(
            f"{folder.path}: cannot be written {when()}: {error.strerror or error}; "
            f"{what_is_saved(folder)}; {remedy}, then go on with --resume"
        ) from error


def what_is_saved(folder: RunFolder) -> str:
    """The end of an error's sentence: what is left to the user."""
    if folder.has("checkpoints/index.json"):
        return f"the last good checkpoint is in {folder.path}"
    return "there is no checkpoint yet"


def public_sources(corpus: Corpus) -> list[str]:
    """The names of the sources without their folders, which are nobody else's business."""
    return [Path(source).name or source for source in corpus.sources]

"""How a training begins in a new run folder, and how it goes on in an old one.

`train` and `resume` prepare a `Training`, of which `loop` knows how it learns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rondeau.config import ModelConfig, TextConfig, TrainConfig
from rondeau.errors import RunError, TrainingError
from rondeau.network.backends import library
from rondeau.network.device import pick_device
from rondeau.network.stack import make_cell
from rondeau.run.checkpoints import latest_checkpoint
from rondeau.run.lock import cut_off, locked
from rondeau.run.origin import read_corpus
from rondeau.run.remote import open_to_go_on
from rondeau.run.start import beginning, is_unfinished, new_run
from rondeau.run.weights import read_shape
from rondeau.text.loading import load_corpus
from rondeau.training import records
from rondeau.training.loop import Training
from rondeau.training.memory import check_memory, check_reading, failures_told
from rondeau.urls import label


def train(
    corpus: Sequence[str | Path] | str | Path = (),
    config: TrainConfig | None = None,
    *,
    out: str | Path | None = None,
) -> Training:
    """Prepare a training on files or folders (none: the embedded songs) into a new run folder.

    out: the folder (default: runs/NAME, numbered).
    Raises CorpusError, OptionError or RunError, before anything is written.
    """
    config = config or TrainConfig()
    sources = [corpus] if isinstance(corpus, (str, Path)) else list(corpus)
    check_reading(sources, TextConfig.of(config))
    with failures_told(lambda: "to read the text: rondeau prepare keeps it on the disk"):
        loaded = load_corpus(sources, TextConfig.of(config))
    # Where they differ the corpus has its own: prepared so, or one document split by its tail.
    config = replace(config, **loaded.settings.as_dict() | {"seed": config.seed})
    device = pick_device(config.device)
    if config.backend == "library":
        library.refuse_unserved(make_cell(replace(config, hidden=1), 1))
    note = check_memory(config, loaded, device=device.type)
    path = Path(out) if out is not None else records.free_folder(sources)
    try:
        folder = new_run(path)
        with failures_told(lambda: "to begin: a smaller --hidden or --batch needs less"):
            training = Training(config, loaded, folder, device=device)
        with beginning(folder):
            records.write_start(training)
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.rmdir()  # where it is still empty
        if isinstance(error, OSError):
            raise TrainingError(
                f"--out {label(path)}: cannot be written: {error.strerror or error}; nothing was "
                "trained; mend that, or choose another"
            ) from error
        raise
    training.notes += (note,) if note else ()
    return training


def resume(run: str | Path, corpus: Sequence[str | Path] = ()) -> Training:
    """Go on with a training from its latest checkpoint, or its start, with its own settings.

    corpus: where its text is now, if it has moved.
    Raises RunError if the run is damaged or the text isn't the one it was trained on.
    """
    if is_unfinished(Path(run)):
        raise RunError(
            f"--resume {run}: its start was cut off, nothing is there to go on with; begin again "
            f"with --out {run}"
        )
    folder = open_to_go_on(run)
    was_cut_off = cut_off(folder)
    with (
        records.failed_writes_told(folder, lambda: "to go on"),
        failures_told(lambda: f"to go on with {folder.path}, which is as it was"),
        locked(folder),
    ):
        folder.tidy()
        config = records.read_train_config(folder)
        if ModelConfig.of(config) != read_shape(folder).config:
            raise RunError(f"{folder.path}: train_config.toml and config.json are of two models")
        checkpoint, damaged = latest_checkpoint(folder)
        loaded = read_corpus(folder, TextConfig.of(config), sources=corpus)
        device = pick_device(config.device)
        note = check_memory(config, loaded, device=device.type, fixed=True)
        training = Training(config, loaded, folder, device=device)
        training.restore(checkpoint)
    said = [f"passed over: {reason}" for reason in damaged]
    said += [note] if note else []
    if was_cut_off:
        said.append(f"{was_cut_off}; going on after step {training.step:,}")
    training.notes = (*training.notes, *said)
    return training

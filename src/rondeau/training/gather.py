"""A run whose weights several processes have shared out, made an ordinary one.

It needs no process group: one process reads what all have written, whole.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rondeau.errors import RunError
from rondeau.network.model import Model
from rondeau.run.checkpoints import (
    SHARDS,
    Checkpoint,
    checkpoint_name,
    read_checkpoint,
    saved_steps,
    write_checkpoint,
)
from rondeau.run.folder import RunFolder
from rondeau.run.lock import locked
from rondeau.run.weights import read_shape, weights_to_bytes
from rondeau.training import records
from rondeau.training.keeping import shards_of
from rondeau.training.optimisation import make_optimizer
from rondeau.training.sharding import read_shards


def gather(run: str | Path) -> list[int]:
    """Turn a run of `--shard` into an ordinary one, in place -> the steps of its checkpoints.

    Cut off and begun again it goes on. Raises RunError for a run without checkpoints, or of one
    process already, TrainingError where it can't be written.
    """
    folder = RunFolder.open(run)
    config, shape = records.read_train_config(folder), read_shape(folder)
    if not config.shard:
        raise RunError(f"{folder.path}: is a run for one process already")
    if not saved_steps(folder):
        raise RunError(f"{folder.path}: has no checkpoint yet; nothing is there to gather")
    with records.failed_writes_told(folder, lambda: "to gather its weights"), locked(folder):
        steps = saved_steps(folder)
        model = Model(shape.config, shape.vocabulary)
        for step in steps:
            checkpoint = read_checkpoint(folder, step)
            if not checkpoint.weights:
                optimizer = make_optimizer(model, config)
                read_shards(shards_of(folder, step), model, optimizer)
                state = checkpoint.state | {"optimizer": optimizer.state_dict()}
                checkpoint = Checkpoint(step, weights_to_bytes(model), state)
                write_checkpoint(folder, checkpoint)
                folder.change({}, remove=[f"{checkpoint_name(step)}/{SHARDS}"])
        best = read_checkpoint(folder, checkpoint.state["best_step"] or steps[-1])
        settled = records.to_toml(replace(config, shard=False)).encode()
        folder.change({"model.safetensors": best.weights, "train_config.toml": settled})
    return steps

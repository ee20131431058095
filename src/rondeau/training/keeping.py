"""What a training keeps of itself, and how it goes back there: checkpoints, for all its processes.

The first process reads and writes the run's folder; the others are told. Where weights are shared
out (`--shard`) each writes its part of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rondeau.network.cells import carry_parts, map_carry
from rondeau.run.checkpoints import (
    SHARDS,
    Checkpoint,
    checkpoint_name,
    latest_checkpoint,
    name_checkpoint,
    write_checkpoint,
)
from rondeau.run.folder import RunFolder, to_json
from rondeau.run.weights import load_weights, weights_to_bytes
from rondeau.training import records
from rondeau.training.restoring import checked_state, told

if TYPE_CHECKING:
    from rondeau.training.loop import Training


def save(training: Training) -> None:
    """Keep the state of a training as its latest checkpoint."""
    group, shard = training.group, training.config.shard
    parts = carry_parts(training.carry)
    carry = [group.joined(part.cpu(), training.windows.batch).clone() for part in parts]
    if shard:
        _write_shards(training)
    if not group.first:
        return
    state: dict[str, Any] = {
        "optimizer": {"state": {}} if shard else training.optimizer.state_dict(),
        "carry": carry,
        "best": training.best,
        "best_step": training.best_step,
        "looks_since_best": training.looks_since_best,
        "seconds": training.seconds,
        "rate": training.rate,
        "losses": torch.stack(training.losses).cpu() if training.losses else torch.empty(0),
    }
    records.sync_events(training.folder)
    weights = b"" if shard else weights_to_bytes(training.model)
    checkpoint = Checkpoint(training.step, weights, state)
    write_checkpoint(training.folder, checkpoint)
    _name(training, checkpoint)


def latest(training: Training) -> Checkpoint | None:
    """The latest good checkpoint of a training, None before the first."""
    return told(training.group, lambda: latest_checkpoint(training.folder)[0])


def restore(training: Training, checkpoint: Checkpoint | None) -> None:
    """Go back to the state of a checkpoint of this training, or with None to its beginning."""
    if checkpoint is None:
        training.begin_again()
        if training.group.first:
            records.cut_events(training.folder, 0)
        return
    source = f"{training.folder.path}, checkpoint {checkpoint.step}"
    batch = training.windows.batch
    like = [part.new_zeros(batch, *part.shape[1:]) for part in carry_parts(training.carry)]
    if training.config.shard:
        from rondeau.training import sharding

        path = shards_of(training.folder, checkpoint.step)
        sharding.read_shards(path, training.model, training.optimizer)
        state = checked_state(checkpoint, optimizer=training.optimizer, carry=like, source=source)
    else:
        load_weights(training.model, checkpoint.weights, source)
        state = checked_state(checkpoint, optimizer=training.optimizer, carry=like, source=source)
        training.optimizer.load_state_dict(state["optimizer"])
    training.step = checkpoint.step
    parts = iter(part[training.learner.streams] for part in state["carry"])
    training.carry = map_carry(lambda _: next(parts).to(training.device), training.carry)
    training.best, training.best_step = state["best"], state["best_step"]
    training.looks_since_best = state["looks_since_best"]
    training.seconds, training.rate = state["seconds"], state["rate"]
    training.losses = list(state["losses"].to(training.device))
    training.record_anew()
    if training.group.first:
        records.cut_events(training.folder, checkpoint.step)
        _name(training, checkpoint)


def keep_best(training: Training) -> None:
    """Have the best weights in the run, whole, at the end of a training."""
    group, folder = training.group, training.folder
    if not training.config.shard:
        if group.tell(b"missing" * (group.first and not folder.has("model.safetensors"))):
            save(training)
        return
    from rondeau.training import sharding

    path = shards_of(folder, training.best_step or training.step)
    if group.tell(b"missing" * (group.first and not path.exists())):
        save(training)
    sharding.read_shards(path, training.model, training.optimizer)
    weights = weights_to_bytes(sharding.whole(training.model))
    if group.first:
        folder.change({"model.safetensors": weights})


def shards_of(folder: RunFolder, step: int) -> Path:
    """Where the weights of a checkpoint are, that processes have shared out."""
    return folder.path / checkpoint_name(step) / SHARDS


def _write_shards(training: Training) -> None:
    """Put everybody's part of weights and slots into a checkpoint that is yet to be named."""
    from rondeau.training import sharding

    group, place = training.group, training.folder.path / f".{SHARDS}.part"
    if group.first:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    group.tell()  # that there is a place
    sharding.write_shards(place, training.model, training.optimizer)
    if group.first:
        training.folder.adopt(f"{checkpoint_name(training.step)}/{SHARDS}", place)


def _name(training: Training, checkpoint: Checkpoint) -> None:
    """Make a checkpoint in place the latest, and its weights the model where it is the best."""
    improved = checkpoint.weights and training.best_step in (None, training.step)
    name_checkpoint(
        training.folder,
        checkpoint.step,
        best=training.best_step,
        keep=training.config.keep,
        others=({"model.safetensors": checkpoint.weights} if improved else {})
        | {"results.json": to_json(records.results(training, training.numbers))},
    )

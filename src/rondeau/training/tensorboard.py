"""The events of a training as TensorBoard shows them, under RUN/tensorboard/.

It reads events and changes nothing: the loop doesn't know of it, and Rondeau never reads its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rondeau.errors import TrainingError, UnsupportedError
from rondeau.training.events import Event, GateShares
from rondeau.training.loop import Training
from rondeau.training.records import what_is_saved

FOLDER = "tensorboard"
LIMITS = [tenth / 10 for tenth in range(1, 11)]
"""Upper ends of the buckets of a gate's histogram."""


def summary_writer() -> type[Any]:
    """TensorBoard's writer; UnsupportedError, naming the extra, where it isn't installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UnsupportedError(
            "--tensorboard: needs the package tensorboard: pip install 'rondeau[tensorboard]'"
        ) from None
    return SummaryWriter


def to_tensorboard(training: Training) -> Iterator[Event]:
    """The events of a training, each written down before it is passed on.

    Steps that are trained again, after `resume` or a step back, replace what was written of them.
    Raises TrainingError where they can't be written.
    """
    writer_type, folder = summary_writer(), training.folder.place(FOLDER)
    last = training.step
    try:
        writer = writer_type(str(folder), purge_step=last + 1)
        try:
            for event in training:
                if event.step <= last:
                    writer.close()
                    writer = writer_type(str(folder), purge_step=event.step)
                last = event.step
                _write(writer, event)
                yield event
        finally:
            writer.close()
    except OSError as error:
        raise TrainingError(
            f"{folder}: cannot be written: {error.strerror or error}; "
            f"{what_is_saved(training.folder)}; go on with --resume, without --tensorboard"
        ) from error


def _write(writer: Any, event: Event) -> None:
    figures = {
        "loss/training": event.loss,
        "learning rate": event.learning_rate,
        "gradient norm": event.gradient_norm,
        "tokens per second": event.tokens_per_second,
    }
    held_out = event.held_out
    if held_out is not None:
        # A leaked loss must not be taken for a held-out one, nor drawn into its curve.
        leaked = held_out.measure == "leaked loss"
        figures["loss/leaked" if leaked else "loss/held out"] = held_out.loss
        for sample in held_out.samples:
            code = "\n".join(f"    {line}" for line in sample.splitlines())
            writer.add_text("sample", code, event.step)
    for shares in event.gates or ():
        name = f"gates/layer {shares.layer} {shares.direction} {shares.gate}"
        figures |= {f"{name} shut": shares.shut, f"{name} open": shares.open}
        _write_histogram(writer, name, shares, event.step)
    for tag, value in figures.items():
        writer.add_scalar(tag, value, event.step)
    writer.flush()


def _write_histogram(writer: Any, name: str, shares: GateShares, step: int) -> None:
    middles = [limit - 0.05 for limit in LIMITS]
    weighted = list(zip(middles, shares.tenths, strict=True))
    writer.add_histogram_raw(
        name,
        min=0.0,
        max=1.0,
        num=1.0,
        sum=sum(middle * share for middle, share in weighted),
        sum_squares=sum(middle**2 * share for middle, share in weighted),
        bucket_limits=LIMITS,
        bucket_counts=list(shares.tenths),
        global_step=step,
    )

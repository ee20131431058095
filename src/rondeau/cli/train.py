"""`rondeau train`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rondeau.cli.output import (
    TrainingProgress,
    note,
    note_compilation,
    print_json,
    print_numbers,
    show,
    tame,
)
from rondeau.cli.signals import interruptible
from rondeau.config import TrainConfig
from rondeau.errors import OptionError

if TYPE_CHECKING:
    from rondeau.language_model import LanguageModel
    from rondeau.training.loop import Training


def train(
    *corpus: str,
    out: Path | None = None,
    resume: Path | None = None,
    tensorboard: bool = False,
    settings: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),  # noqa: B008
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Train a model on a text and leave a run folder.

    Without a budget it trains for 30 passes over the text, at most 10 minutes, and stops by itself
    when the held-out text gets no better.

    Parameters
    ----------
    corpus
        Files (.txt, .txt.gz, .zip, .jsonl), folders of them, URLs of either, data sets of Hugging
        Face (datasets:NAME), or - for standard input.
        Without any: the embedded songs.
    out
        The run folder to make (default: runs/NAME, numbered).
    resume
        Go on with a run that was interrupted or killed, with its own settings, whatever the
        environment says.
    tensorboard
        Write curves and samples for TensorBoard too, under RUN/tensorboard.
    json
        Print the final numbers as one JSON document.
    quiet
        Show no progress.
    """
    from rondeau.training import train as begin
    from rondeau.training.tensorboard import summary_writer

    if tensorboard:
        summary_writer()  # if it is missing, before anything is written
    if resume is not None:
        if out is not None or settings != TrainConfig():
            raise OptionError("--resume: a run goes on with its own settings; give no others")
        training = begin.resume(resume, corpus)
    else:
        training = begin.train(corpus, settings, out=out)
    try:
        code = run_training(training, quiet=quiet, tensorboard=tensorboard)
        if code:
            sys.exit(code)
        model = training.finish()
    except KeyboardInterrupt:
        say_how_to_go_on(training)
        raise
    if not training.group.first:
        return
    if json:
        print_json(model.info())
    else:
        report_training(model, training)


def run_training(training: Training, *, quiet: bool, tensorboard: bool = False) -> int:
    """Iterate a training with its progress shown; 0, or the exit code of an interruption."""
    from rondeau.training.tensorboard import to_tensorboard

    first = training.group.first  # of several processes it speaks for all
    quiet, tensorboard = quiet or not first, tensorboard and first
    if not quiet:
        for sentence in training.notes:
            note(sentence)
        note(f"{training.steps:,} steps into {training.folder.path}")
    with interruptible(training) as signals, TrainingProgress(quiet=quiet) as progress:
        for event in to_tensorboard(training) if tensorboard else training:
            note_compilation(quiet)
            progress.show(event)
    if training.interrupted:
        if first:
            say_how_to_go_on(training)
        return 128 + (signals[0] if signals else signal.SIGTERM)  # another process had it
    if not quiet and training.step < training.steps:
        note(f"stopped early: no better for {training.config.patience} looks at the held-out text")
    return 0


def say_how_to_go_on(training: Training) -> None:
    """A line for the user who has ended a training."""
    print(
        f"rondeau: interrupted after step {training.step}, which is saved; "
        f"rondeau train --resume {tame(str(training.folder.path))} goes on",
        file=sys.stderr,
    )


def report_training(model: LanguageModel, training: Training) -> None:
    """The final numbers of a training on standard output."""
    best = training.best_step or training.step
    why = ", the best on validation," if training.best_step else ""
    show(f"The model after step {best}{why} is in {training.folder.path}:")
    print_numbers(training.numbers)
    for sentence in training.verdict:
        show(sentence)
    show(f"All of it, with curves and samples: {training.folder.path / 'report.html'}")

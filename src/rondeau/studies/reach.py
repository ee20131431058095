"""How far gradients reach through a plain RNN, GRUs and an LSTM of one size on one text.

Each cell is trained with the same settings into a run of its own, and measured on the held-out text
before its first step and after its last. Nothing here draws or prints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rondeau.config import BUDGETS, StudyConfig, TrainConfig
from rondeau.errors import CorpusError, OptionError
from rondeau.evaluation.perplexity import Evaluation
from rondeau.inspection.jacobian import Spectrum, recurrent_spectra
from rondeau.inspection.reach import Reach, gradient_reach
from rondeau.inspection.traces import LONGEST
from rondeau.language_model import LanguageModel
from rondeau.network.model import Model
from rondeau.studies.variants import VARIANTS, listed
from rondeau.text.corpus import Corpus
from rondeau.text.splits import SplitName
from rondeau.text.tokenizer import UNK, Ids
from rondeau.training.loop import Training
from rondeau.training.train import train

CELLS = ("rnn-tanh", "gru", "gru-before", "lstm")
HIDDEN, STEPS = 256, 600
"""Where nothing is said: the hidden size, and the steps that every cell is trained."""
HORIZON = 128
SHARE = 0.01
"""A gradient has vanished where it stays below this share of what it is at the loss."""


@dataclass(frozen=True)
class Measured:
    """A model on the held-out text: the reach of its states, the spectra of its cells."""

    reach: Reach
    spectra: tuple[Spectrum, ...]

    @property
    def radius(self) -> float:
        """The largest median spectral radius of its cells."""
        return max(spectrum.radius_quartiles[1] for spectrum in self.spectra)

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for programs."""
        spectra = [spectrum.as_dict() for spectrum in self.spectra]
        return {"reach": self.reach.as_dict(), "jacobians": spectra}


@dataclass(frozen=True)
class StudiedCell:
    """A cell: its run, its held-out cost, and what was measured before and after training."""

    name: str
    run: str
    parameters: int
    steps: int
    cost: Evaluation
    untrained: Measured
    trained: Measured

    @property
    def title(self) -> str:
        """The name that readers know it by."""
        return VARIANTS[self.name].title

    @property
    def reach(self) -> int | None:
        """After how many steps the trained gradient has vanished; None: not within the horizon."""
        return self.trained.reach.vanishing(SHARE)

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return {
            "cell": self.name,
            "title": self.title,
            "run": self.run,
            "parameters": self.parameters,
            "steps": self.steps,
            "split": self.cost.split,
            "perplexity": self.cost.perplexity,
            "bits_per_character": self.cost.bits_per_character,
            "untrained": self.untrained.as_dict(),
            "trained": self.trained.as_dict(),
        }


@dataclass(frozen=True)
class ReachStudy:
    """All cells side by side; horizon: the longest reach that was looked for."""

    cells: tuple[StudiedCell, ...]
    horizon: int
    about: str

    @property
    def sentences(self) -> list[str]:
        """What the numbers say, whatever it is; first whether gates reach further."""
        return [self._verdict(), *self._exploding(), self._costs()]

    def as_dict(self) -> dict[str, Any]:
        """What `study --json` gives, and study.json holds."""
        return {
            "task": "reach",
            "about": self.about,
            "sentences": self.sentences,
            "horizon": self.horizon,
            "cells": [cell.as_dict() for cell in self.cells],
        }

    def _verdict(self) -> str:
        plain = next(cell for cell in self.cells if not VARIANTS[cell.name].gated)
        gated = [cell for cell in self.cells if VARIANTS[cell.name].gated]
        mine = _steps(plain, self.horizon)
        further = [cell for cell in gated if _steps(cell, self.horizon) > mine]
        beside = listed([f"the {cell.title}'s {self._after(cell)}" for cell in gated])
        figures = (
            f"counted in characters, the gradient of a plain RNN falls below {SHARE:.0%} of its "
            f"size {self._after(plain)}, {beside}"
        )
        if len(further) == len(gated):
            return f"On this text a plain RNN reaches less far than any cell with gates: {figures}."
        if not further:
            most = max(_steps(cell, self.horizon) for cell in gated)
            how = "further than any cell" if mine > most else "as far as the cells"
            return f"On this text a plain RNN reaches {how} with gates: {figures}."
        names = listed([f"the {cell.title}" for cell in further])
        verb = "reaches" if len(further) == 1 else "reach"
        return f"On this text only {names} {verb} further than a plain RNN: {figures}."

    def _after(self, cell: StudiedCell) -> str:
        return f"not within {self.horizon}" if cell.reach is None else f"after {cell.reach}"

    def _exploding(self) -> list[str]:
        found = [f"the {cell.title}" for cell in self.cells if cell.trained.reach.explodes()]
        return [f"The gradient of {listed(found)} explodes on its way back."] if found else []

    def _costs(self) -> str:
        costs = sorted(self.cells, key=lambda cell: cell.cost.bits)
        best, worst = costs[0], costs[-1]
        return (
            f"On the {best.cost.split} split the {best.title} needs the fewest bits a character, "
            f"{best.cost.bits_per_character:.3f}, and the {worst.title} the most, "
            f"{worst.cost.bits_per_character:.3f}."
        )


def study(
    corpus: Sequence[str | Path] = (),
    config: StudyConfig | None = None,
    *,
    out: str | Path,
    follow: Callable[[Training], LanguageModel] = Training.finish,
) -> ReachStudy:
    """Train every cell on the same text (none: the embedded songs) and measure its reach.

    Runs are left in `out` by the cells' names. Without a budget each is trained 600 steps.
    follow: iterates a training, to show it, and finishes it.
    Raises OptionError for a cell or a direction of one's own, CorpusError for a text too short to
    look back in, and what `train` raises.
    """
    settings = _train_config(config or StudyConfig())
    cells: list[StudiedCell] = []
    for name in CELLS:
        training = train(corpus, replace(settings, **VARIANTS[name].settings), out=Path(out) / name)
        ids, horizon = _held_out(training.corpus)
        untrained = measure(training.model, ids, horizon)
        model = follow(training)
        cells.append(
            StudiedCell(
                name=name,
                run=str(training.folder.path),
                parameters=model.model.parameter_count,
                steps=training.best_step or training.step,
                cost=_cost(training),
                untrained=untrained,
                trained=measure(model.model, ids, horizon),
            )
        )
    shape = training.config
    about = (
        f"{shape.layers} layer{'s' * (shape.layers != 1)} of {shape.hidden}, "
        f"{training.steps:,} steps of {shape.batch} × {shape.seq_len} characters at most, on "
        f"{training.corpus.train.characters:,} characters"
    )
    return ReachStudy(tuple(cells), horizon, about)


def measure(model: Model, ids: Ids, horizon: int) -> Measured:
    """The reach and the spectra of a model on a text of ids."""
    return Measured(gradient_reach(model, ids, horizon=horizon), recurrent_spectra(model, ids))


def _train_config(config: StudyConfig) -> TrainConfig:
    for name in ("cell", "activation", "reset", "forget_bias"):
        if getattr(config, name) != getattr(StudyConfig(), name):
            raise OptionError(f"--{name.replace('_', '-')}: a study has all cells; leave it out")
    if config.bidirectional or config.objective == "cloze":
        raise OptionError("--bidirectional: a study looks back only; leave both directions out")
    if not any(getattr(config, name) for name in BUDGETS):
        config = replace(config, steps=STEPS)
    return TrainConfig.of(replace(config, hidden=config.hidden or HIDDEN))


def _split(corpus: Corpus) -> SplitName:
    """What is measured on: the validation split, where there is one."""
    return "validation" if corpus.validation else "train"


def _cost(training: Training) -> Evaluation:
    costs = (cost for cost in training.numbers if isinstance(cost, Evaluation))
    return next(cost for cost in costs if cost.split == _split(training.corpus))


def _held_out(corpus: Corpus) -> tuple[Ids, int]:
    """The beginning of the held-out text as ids that the model knows, and how far to look back."""
    ring = corpus.parts[_split(corpus)].ring
    ids = ring[np.arange(min(len(ring), LONGEST))].astype(np.int64)
    horizon = min(HORIZON, len(ids) // 4)
    if horizon < 1:
        raise CorpusError("the held-out text is too short to look back in; give a longer text")
    return np.where(ids < len(corpus.tokenizer), ids, UNK), horizon


def _steps(cell: StudiedCell, horizon: int) -> int:
    return horizon + 1 if cell.reach is None else cell.reach

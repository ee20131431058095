"""Memory tasks: the longest lag over which a cell learns to remember, within a fixed budget.

Three tasks that need nothing but memory, with sequences drawn afresh at every step:

- copy (Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016, arXiv:1511.06464): four
  symbols, then blanks; after a mark they are asked for in order, each `lag` steps after it came.
- recall: one symbol, then distractors of another alphabet; `lag` steps after it a mark asks for it.
- add (Hochreiter & Schmidhuber 1997): `lag` numbers, of which one in each half is marked; the sum
  of those two is asked for at the last.

A lag is learned when fresh sequences are answered well enough, by a criterion far from what a
network without memory reaches. Vectors and ids go straight into a stack: there is no text here.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rondeau.config import ModelConfig, Settings, require
from rondeau.network.stack import Stack
from rondeau.studies.variants import VARIANTS, listed
from rondeau.training.optimisation import clip_gradient, eager

Task = Literal["copy", "add", "recall"]
CELLS = ("rnn-tanh", "rnn-relu", "gru", "gru-before", "lstm", "lstm-forget")
LAGS = (5, 10, 20, 40, 80, 160)
SYMBOLS, COPIED = 8, 4
BLANK, MARK, DISTRACTOR = SYMBOLS, SYMBOLS + 1, SYMBOLS + 2
INPUTS: dict[Task, int] = {"copy": SYMBOLS + 2, "recall": 2 * SYMBOLS + 2, "add": 2}
"""Ids that a stack reads, or the size of its vectors."""
LOOK_EVERY, LOOKED_AT = 50, 500
"""Steps between looks at fresh sequences, and how many of those."""
RECALLED = 0.99
"""The share of symbols that counts as learned; without memory it is one in eight."""
ADDED = 1 / 60
"""The mean squared error that counts as learned: a tenth of the sum's variance, 1/6, which is what
always answering 1 has."""
CRITERIA: dict[Task, str] = {
    "copy": "at least 99 % of the symbols of fresh sequences are right; by chance 12.5 % are",
    "recall": "at least 99 % of the symbols of fresh sequences are right; by chance 12.5 % are",
    "add": "the mean squared error on fresh sequences is at most 1/60; always answering 1 has 1/6",
}
FAILURES = 2
"""Lags in a row that a cell may fail at before longer ones are left out."""


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(Settings):
    """The budget of a memory task, the same for every cell and lag."""

    hidden: int = 64
    """Hidden size H of the one layer."""
    batch: int = 32
    """Fresh sequences a step."""
    steps: int = 2000
    """Most steps of learning a lag."""
    lr: float = 1e-2
    """Learning rate of Adam, constant."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    longest: int = LAGS[-1]
    """The longest lag that is tried, if it comes to that."""
    seed: int = 0
    """Seed of the weights and of the sequences."""

    def check(self) -> None:
        """Raise OptionError for sizes that make no task."""
        for name in ("hidden", "batch", "steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        for name in ("lr", "clip"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        require(self.longest >= LAGS[0], "longest", self.longest, f"must be at least {LAGS[0]}")

    @property
    def lags(self) -> tuple[int, ...]:
        """The lags that are tried, shortest first."""
        return tuple(lag for lag in LAGS if lag <= self.longest)


class Sequences(NamedTuple):
    """Inputs: ids (T, B) or vectors (T, B, 2); targets (N, B), asked for at the last N steps."""

    inputs: Tensor
    targets: Tensor


def draw(task: Task, lag: int, batch: int, generator: torch.Generator) -> Sequences:
    """Fresh sequences of a task at a lag."""
    if task == "add":
        values = torch.rand(lag, batch, generator=generator)
        half, streams = lag // 2, torch.arange(batch)
        first = torch.randint(half, (batch,), generator=generator)
        second = torch.randint(half, lag, (batch,), generator=generator)
        marks = torch.zeros(lag, batch)
        marks[first, streams] = marks[second, streams] = 1
        return Sequences(torch.stack([values, marks], -1), (values * marks).sum(0, keepdim=True))
    asked = COPIED if task == "copy" else 1
    drawn = torch.randint(SYMBOLS, (lag + asked, batch), generator=generator)
    inputs = drawn.clone()
    if task == "copy":
        inputs[asked:] = BLANK
    else:
        inputs[asked:] += DISTRACTOR
    inputs[lag] = MARK
    return Sequences(inputs, drawn[:asked])


@dataclass(frozen=True)
class Trial:
    """One cell at one lag: whether it learned, after how many steps, and how well it does.

    score: the share of symbols recalled, or the mean squared error of the sum, on fresh sequences.
    """

    cell: str
    lag: int
    learned: bool
    steps: int
    score: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return asdict(self)


@dataclass(frozen=True)
class MemoryStudy:
    """All trials of a task, cell by cell, the shortest lag first."""

    task: Task
    config: MemoryConfig
    trials: tuple[Trial, ...]

    @property
    def cells(self) -> list[str]:
        """The names of the cells."""
        return list(dict.fromkeys(trial.cell for trial in self.trials))

    def longest(self, cell: str) -> int:
        """The last lag that a cell learned before it first failed; 0: none. Later ones are luck."""
        trials = (trial for trial in self.trials if trial.cell == cell)
        learned = itertools.takewhile(lambda trial: trial.learned, trials)
        return max((trial.lag for trial in learned), default=0)

    @property
    def sentences(self) -> list[str]:
        """What the trials say, whatever it is; first whether gates remember longer."""
        longest = {cell: self.longest(cell) for cell in self.cells}
        plain = max(lag for cell, lag in longest.items() if not VARIANTS[cell].gated)
        gated = {cell: lag for cell, lag in longest.items() if VARIANTS[cell].gated}
        most = self.config.lags[-1]
        shown = listed(
            [
                f"the {VARIANTS[cell].title} {lag or 'no lag'}{' or more' * (lag == most)}"
                for cell, lag in longest.items()
            ]
        )
        figures = f"the longest lags learned within {self.config.steps:,} steps are: {shown}"
        further = [cell for cell, lag in gated.items() if lag > plain]
        if len(further) == len(gated):
            return [f"Every cell with gates remembers longer than any plain RNN: {figures}."]
        if not further:
            return [f"Here no cell with gates remembers longer than a plain RNN: {figures}."]
        names = listed([f"the {VARIANTS[cell].title}" for cell in further])
        verb = "remembers" if len(further) == 1 else "remember"
        return [f"Of the cells with gates only {names} {verb} longer than any RNN: {figures}."]

    def as_dict(self) -> dict[str, Any]:
        """What `study --task … --json` gives, and memory-….json holds."""
        return {
            "task": self.task,
            "criterion": CRITERIA[self.task],
            "settings": self.config.as_dict(),
            "sentences": self.sentences,
            "longest_lag": {cell: self.longest(cell) for cell in self.cells},
            "trials": [trial.as_dict() for trial in self.trials],
        }


class Rememberer(nn.Module):
    """A stack of one layer, and what it says at the end: scores of the symbols, or a number."""

    def __init__(self, cell: str, task: Task, hidden: int) -> None:
        """Make a network of a variant's cell."""
        super().__init__()
        config = ModelConfig(**VARIANTS[cell].settings, hidden=hidden)
        self.stack = Stack.from_config(config, INPUTS[task])
        self.output = nn.Linear(hidden, 1 if task == "add" else SYMBOLS)
        self.task = task

    def forward(self, sequences: Sequences) -> Tensor:
        """What is said at the last N steps: (N, B, symbols), or (N, B) numbers."""
        inputs, targets = sequences
        outputs, _ = self.stack(inputs, self.stack.initial_carry(inputs.shape[1]))
        said: Tensor = self.output(outputs[-len(targets) :])
        return said[..., 0] if self.task == "add" else said

    def loss(self, sequences: Sequences) -> Tensor:
        """Mean squared error of the sum, or cross-entropy of the symbols in nats."""
        said = self(sequences)
        if self.task == "add":
            return F.mse_loss(said, sequences.targets)
        return F.cross_entropy(said.flatten(0, 1), sequences.targets.flatten())

    @torch.no_grad()
    def score(self, sequences: Sequences) -> float:
        """Mean squared error of the sum, or the share of symbols recalled."""
        if self.task == "add":
            return float(self.loss(sequences))
        return float((self(sequences).argmax(-1) == sequences.targets).double().mean())


def trials(task: Task, config: MemoryConfig | None = None) -> Iterator[Trial]:
    """Every cell at growing lags, until it has failed at two in a row; a Trial as each ends."""
    config = config or MemoryConfig()
    for cell in CELLS:
        failures = 0
        for lag in config.lags:
            trial = try_lag(task, cell, lag, config)
            yield trial
            failures = 0 if trial.learned else failures + 1
            if failures == FAILURES:
                break


def try_lag(task: Task, cell: str, lag: int, config: MemoryConfig) -> Trial:
    """Learn a task at one lag from new weights until it is learned, or the budget is used up."""
    torch.manual_seed(config.seed)
    network = Rememberer(cell, task, config.hidden)
    optimizer = eager(torch.optim.Adam)(network.parameters(), lr=config.lr, fused=True)
    # The same sequences for every cell.
    generator = torch.Generator().manual_seed(config.seed)
    fresh = torch.Generator().manual_seed(config.seed + 1)
    start = time.perf_counter()
    learned, score, step = False, math.nan, 0
    while step < config.steps and not learned:
        step += 1
        network.zero_grad()
        network.loss(draw(task, lag, config.batch, generator)).backward()  # type: ignore[no-untyped-call]
        clip_gradient(network, config.clip)
        optimizer.step()
        if step % LOOK_EVERY == 0 or step == config.steps:
            score = network.score(draw(task, lag, LOOKED_AT, fresh))
            learned = score <= ADDED if task == "add" else score >= RECALLED
    return Trial(cell, lag, learned, step, score, time.perf_counter() - start)

"""The reference notebook's experiments, with its exact recipes, beside its published numbers.

The notebook is a lecture on GRU, LSTM, deep and bidirectional networks after chapter 6 of Dive into
Deep Learning (Zhang, Li, Lipton & Smola): the first 10,000 characters of a text, newlines as
spaces, no special tokens, hidden size 256, 32 streams of 35 steps, 8 consecutive windows an epoch.
Its perplexity is the running average over an epoch of training on that same text; beside it stands
the honest one, on the 1,000 characters that follow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rondeau.config import ModelConfig, TextConfig
from rondeau.errors import CorpusError, OptionError
from rondeau.evaluation.ngram import witten_bell
from rondeau.evaluation.surprisal import surprisals
from rondeau.network.cells import detach
from rondeau.network.model import Model
from rondeau.text.corpus import one_text
from rondeau.text.reading import read_documents
from rondeau.text.repairs import Repairs
from rondeau.text.tokenizer import CharTokenizer, Ids
from rondeau.training.optimisation import clip_gradient, eager

TRAINED_CHARACTERS, HELD_OUT_CHARACTERS = 10_000, 1_000
BATCH, SEQ_LEN, CLIP = 32, 35, 0.01
CONTINUED_CHARACTERS = 50
PREFIXES = ("分开", "不分开")

ExperimentName = Literal[
    "gru-scratch", "gru", "lstm-scratch", "lstm", "deep", "bidirectional", "rnn", "gru-before"
]


@dataclass(frozen=True)
class Experiment:
    """One of the notebook's experiments.

    scratch: weights N(0, 0.01²), one zero bias a gate, zero state every epoch, SGD at 100, clipped
    at a norm of 0.01; else torch.nn's initialisation, a state carried for ever, Adam at 0.01 and,
    as its published figures show, no clipping in effect (docs/decisions.md).
    """

    title: str
    model: ModelConfig
    scratch: bool
    published: dict[int, float] = field(default_factory=dict)


EXPERIMENTS: dict[ExperimentName, Experiment] = {
    "gru-scratch": Experiment(
        "GRU, from scratch",
        ModelConfig(cell="gru"),
        scratch=True,
        published={40: 151.429965, 80: 31.751351, 120: 4.808134, 160: 1.452839},
    ),
    "gru": Experiment(
        "GRU, concise",
        ModelConfig(cell="gru"),
        scratch=False,
        published={40: 1.037126, 80: 1.015159, 120: 1.014609, 160: 1.019101},
    ),
    "lstm-scratch": Experiment(
        "LSTM, from scratch",
        ModelConfig(cell="lstm"),
        scratch=True,
        published={40: 209.949112, 80: 64.816869, 120: 15.044305, 160: 3.814198},
    ),
    "lstm": Experiment(
        "LSTM, concise",
        ModelConfig(cell="lstm"),
        scratch=False,
        published={40: 1.026000, 80: 1.053941, 120: 1.014121, 160: 1.019518},
    ),
    "deep": Experiment(
        "LSTM of two layers, concise",
        ModelConfig(cell="lstm", layers=2),
        scratch=False,
        published={40: 13.129161, 80: 1.247795, 120: 1.031725, 160: 1.021264},
    ),
    "bidirectional": Experiment(
        "bidirectional GRU (128), concise: a leak",
        ModelConfig(cell="gru", hidden=128, bidirectional=True),
        scratch=False,
        published={40: 1.001484, 80: 1.000478, 120: 1.000239, 160: 1.000143},
    ),
    "rnn": Experiment(
        "plain RNN (its formula), from scratch", ModelConfig(cell="rnn"), scratch=True
    ),
    "gru-before": Experiment(
        "GRU, reset before the product (its formula), from scratch",
        ModelConfig(cell="gru", reset="before"),
        scratch=True,
    ),
}


@dataclass(frozen=True)
class NotebookText:
    """The text of all experiments: ids to train on (N,), known ids that follow, and their share.

    repairs: what of the text was mended.
    """

    tokenizer: CharTokenizer
    trained: Ids
    following: Ids
    unknown_share: float
    prefixes: tuple[str, ...]
    repairs: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """An experiment at one of its reported epochs.

    perplexity: running average over the epoch, on the training text; seconds_per_epoch: mean since
    the report before; held_out: perplexity of the known characters that follow, or, with `leaks`,
    the exponential of a leaked loss; continuations: 50 greedy characters after each prefix.
    """

    experiment: ExperimentName
    epoch: int
    perplexity: float
    seconds_per_epoch: float
    held_out: float
    leaks: bool
    continuations: dict[str, str]
    curve: tuple[float, ...]


def read_notebook_text(source: str | Path) -> NotebookText:
    """The first 10,000 characters (or ten elevenths of less) and the 1,000 that follow.

    Raises CorpusError for a text that doesn't fill one window of 32 streams.
    """
    config = TextConfig(newlines="space", split="none")
    repairs = Repairs()
    text = one_text(read_documents([source], config, repairs), config)
    cut = min(TRAINED_CHARACTERS, len(text) * 10 // 11)
    if cut // BATCH <= SEQ_LEN:
        raise CorpusError(
            f"{source}: has {len(text):,} characters; {BATCH} streams of {SEQ_LEN} steps need "
            f"{BATCH * (SEQ_LEN + 1) * 11 // 10 + 1:,}"
        )
    tokenizer = CharTokenizer.train([text[:cut]], specials=False)
    following = tokenizer.encode(text[cut : cut + HELD_OUT_CHARACTERS])
    known = following[following >= 0]
    prefixes = PREFIXES
    if any(tokenizer.unknown(prefix) for prefix in PREFIXES):
        prefixes = (text[:2], text[:3])
    return NotebookText(
        tokenizer,
        tokenizer.encode(text[:cut]),
        known,
        1 - len(known) / len(following),
        prefixes,
        repairs.notes,
    )


def select(names: Sequence[str]) -> list[ExperimentName]:
    """The named experiments (none: all); OptionError for an unknown one."""
    known = get_args(ExperimentName)
    for name in names:
        if name not in known:
            raise OptionError(f"--experiments {name}: choose from {','.join(known)}")
    return [name for name in known if name in names or not names]


def run_experiment(
    name: ExperimentName, text: NotebookText, *, epochs: int = 160, seed: int = 0
) -> Iterator[Report | float]:
    """Train as the notebook does: yields the running perplexity of each epoch, and a Report after
    each quarter of the epochs.
    """
    if epochs < 1:
        raise OptionError(f"--epochs {epochs}: must be at least 1")
    experiment = EXPERIMENTS[name]
    model = make_model(experiment, len(text.tokenizer), seed=seed)
    optimizer = (
        eager(torch.optim.SGD)(model.parameters(), lr=100.0)
        if experiment.scratch
        else eager(torch.optim.Adam)(model.parameters(), lr=0.01)
    )
    inputs, targets = windows(text.trained)
    reported = {math.ceil(epochs * quarter / 4) for quarter in (1, 2, 3, 4)}
    carry = model.initial_carry(BATCH)
    curve: list[float] = []
    seconds: list[float] = []
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        if experiment.scratch:
            carry = model.initial_carry(BATCH)
        losses = []
        for x, y in zip(inputs, targets, strict=True):
            model.zero_grad()
            loss, carry = model.loss(x, y, detach(carry))
            loss.backward()  # type: ignore[no-untyped-call]
            if experiment.scratch:
                clip_gradient(model, CLIP)
            optimizer.step()
            losses.append(float(loss.detach()))
        seconds.append(time.perf_counter() - start)
        curve.append(math.exp(min(sum(losses) / len(losses), 700)))
        yield curve[-1]
        if epoch in reported:
            yield Report(
                name,
                epoch,
                curve[-1],
                sum(seconds) / len(seconds),
                perplexity(model, text.following),
                not model.causal,
                {p: continue_greedily(model, text.tokenizer, p) for p in text.prefixes},
                tuple(curve),
            )
            seconds = []


def make_model(experiment: Experiment, vocabulary: int, *, seed: int) -> Model:
    """The experiment's model, freshly drawn."""
    torch.manual_seed(seed)
    model = Model(experiment.model, vocabulary, hidden_bias=not experiment.scratch)
    if experiment.scratch:
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.01)
            else:
                nn.init.zeros_(parameter)
    return model


def windows(ids: Ids) -> tuple[torch.Tensor, torch.Tensor]:
    """Consecutive windows of the notebook: inputs and targets, (windows, T, B) each."""
    length = len(ids) // BATCH
    streams = ids[: length * BATCH].reshape(BATCH, length).T
    starts = range(0, (length - 1) // SEQ_LEN * SEQ_LEN, SEQ_LEN)
    inputs = np.stack([streams[s : s + SEQ_LEN] for s in starts])
    targets = np.stack([streams[s + 1 : s + 1 + SEQ_LEN] for s in starts])
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def perplexity(model: Model, ids: Ids) -> float:
    """Of ids after the first, each counted once, from a zero state."""
    (nats,) = surprisals(model, [(ids[:-1], ids[1:])])
    return float(math.exp(min(nats.mean(), 700)))


@torch.inference_mode()
def continue_greedily(model: Model, tokenizer: CharTokenizer, prefix: str) -> str:
    """50 characters after a prefix, one at a time from a zero state, always the most probable.

    A bidirectional model too is stepped a character at a time with both its states carried: what
    the notebook does, and why that model can only stammer.
    """
    carry = model.initial_carry(1)
    ids: list[int] = []
    for index in tokenizer.encode(prefix):
        logits, carry = model(torch.tensor([[index]]), carry)
    for _ in range(CONTINUED_CHARACTERS):
        ids.append(int(logits.argmax()))
        logits, carry = model(torch.tensor([[ids[-1]]]), carry)
    return tokenizer.decode(ids)


def ngram_perplexities(text: NotebookText) -> list[tuple[int, float, float]]:
    """(order, perplexity on the training text itself, on the known characters that follow)."""
    V, trained = len(text.tokenizer), [text.trained]
    return [
        (order, _perplexity(seen), _perplexity(new))
        for order, (seen, new) in enumerate(
            zip(
                witten_bell(trained, trained, vocabulary=V, order=4),
                witten_bell(trained, [text.following], vocabulary=V, order=4),
                strict=True,
            )
        )
        if order
    ]


def _perplexity(p: NDArray[np.float64]) -> float:
    """Of the probabilities of ids, the first left out as in `perplexity`."""
    return float(np.exp(-np.log(p[1:]).mean()))


def as_json(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """What `reproduce --json` gives: one entry an experiment."""
    entries: dict[str, dict[str, Any]] = {}
    for report in reports:
        entry = entries.setdefault(
            report.experiment,
            {
                "experiment": report.experiment,
                "published": {
                    str(e): p for e, p in EXPERIMENTS[report.experiment].published.items()
                },
                "epochs": {},
            },
        )
        entry["epochs"][str(report.epoch)] = {
            "perplexity": report.perplexity,
            "seconds_per_epoch": report.seconds_per_epoch,
            **(
                {"leaked_loss": math.log(report.held_out)}
                if report.leaks
                else {"held_out_perplexity": report.held_out}
            ),
            "continuations": report.continuations,
        }
    return list(entries.values())

"""How much memory a training will take, by arithmetic, before any of it is taken.

What is said of steps, looks and the final evaluation follows `network`, `evaluation` and `report`;
the constants are measured (docs/decisions.md). For the CPU: what lies on another device is that
device's to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rondeau.config import ModelConfig, TextConfig, TrainConfig, flag
from rondeau.errors import CorpusError, OptionError, TrainingError
from rondeau.evaluation import baselines, cloze, surprisal
from rondeau.machine import Limit, memory_limits, out_of_memory
from rondeau.network import loss
from rondeau.network.model import parameter_count
from rondeau.report.data import SEARCHED
from rondeau.text.corpus import Corpus
from rondeau.text.prepared import is_prepared
from rondeau.text.sources import SUFFIXES
from rondeau.training.defaults import fill_defaults
from rondeau.training.group import processes

FLOAT = 4
"""Bytes of a number."""
PROGRAM, COMPILER = 408 * 2**20, 100 * 2**20
"""Python, torch, numba and our compiled kernels; what DistributedDataParallel loads besides."""
FEWEST_READING, KEPT = 4, 5
"""Bytes that a byte of a file takes while it is read, at least, and a character afterwards."""
NGRAM, COPY = 100, 26
"""Bytes a character that n-grams count, and a character of the copy meter's index."""
COMPRESSOR = 64 * 2**20
"""Bytes that xz takes."""

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
STATES = {"rnn": 1, "gru": 1, "lstm": 2}
SAVED = {"rnn": 0, "gru": 4, "lstm": 5}
"""What a step has for each unit of a layer: gates, states, and what our kernels save of it."""
GRAPH = {"rnn": 4, "gru": 9, "lstm": 13}
"""What autograd keeps of it, where PyTorch computes the steps."""
AGAIN, BESIDE = 1.3, 0.7
"""What is freed stays with the process, and may be too small for what comes next: a step needs more
than it holds at once, and beside the largest need stands so much of the others.
"""


@dataclass(frozen=True)
class TextSize:
    """What of a corpus decides about memory, in characters: all, those learned from, the longest.

    longest: of one document, or of a piece of it; in_memory: whether its ids are.
    """

    vocabulary: int
    characters: int
    train: int
    longest: int
    in_memory: bool

    @classmethod
    def of(cls, corpus: Corpus) -> TextSize:
        """The sizes of a corpus."""
        parts = corpus.parts.values()
        return cls(
            vocabulary=len(corpus.tokenizer),
            characters=sum(part.characters for part in parts),
            train=corpus.train.characters,
            longest=max(int(part.lengths.max(initial=0)) for part in parts),
            in_memory=isinstance(corpus.train.ring, np.ndarray),
        )


def needed(config: TrainConfig, text: TextSize) -> int:
    """Bytes at the peak of a training whose settings are all filled in.

    The program, the corpus, the model with its gradient and the optimiser's slots are there all the
    time; a step, a checkpoint in the making, and what is computed at the end come in turn.
    """
    weights = FLOAT * parameter_count(ModelConfig.of(config), text.vocabulary)
    slots = 0 if config.optimizer == "sgd" else 2
    held = PROGRAM + COMPILER * (processes() > 1)
    held += KEPT * text.characters * text.in_memory + (2 + slots) * weights
    in_turn = [
        AGAIN * _step(config, text),
        (1 + slots) * weights,
        max(_evaluation(config, text), _baselines(config, text), _copies(text)),
    ]
    return held + int(BESIDE * sum(in_turn) + (1 - BESIDE) * max(in_turn))


def _kernels(config: TrainConfig) -> bool:
    """Whether our own kernels compute the steps."""
    own = config.backend in ("auto", "numba") and config.precision == "float32"
    return own and not config.detect_anomaly


def _step(config: TrainConfig, text: TextSize) -> int:
    """Bytes of a window on its way forward and back."""
    streams = -(-config.batch // config.accumulate)
    rows = min(streams * config.seq_len, text.train)
    gates, states, saved = (table[config.cell] for table in (GATES, STATES, SAVED))
    assert config.layers is not None
    if _kernels(config):
        projected = config.layers - (config.embedding is None)
        units = config.layers * (states + saved + 1) + projected * gates
        units += max(saved, gates) + 2 * gates + 4  # of the layer whose gradient is taken
        logits = min(rows * text.vocabulary, loss.BLOCK)
    else:
        units = config.layers * GRAPH[config.cell] + 2 * gates
        logits = 4 * rows * text.vocabulary
    directions = 1 + bool(config.bidirectional)
    units += 3 * (directions - 1)  # windows turned round, and both joined
    return FLOAT * (rows * config.hidden * directions * units + logits)


def _evaluation(config: TrainConfig, text: TextSize) -> int:
    """Bytes of a batch of texts that is evaluated."""
    longest = min(surprisal.STEPS, text.longest + 1)
    texts = surprisal.BATCH
    if config.objective == "cloze":
        longest, texts = 2 * cloze.SIDE + 1, cloze.TOGETHER
    elif config.bidirectional:
        texts = 1
    rows = min(texts * longest, text.characters)
    directions = 1 + bool(config.bidirectional)
    gates, states = GATES[config.cell], STATES[config.cell]
    assert config.layers is not None
    deep, projected = config.layers > 1, config.layers > 1 or config.embedding is not None
    units = 1 + states + states * deep + gates * projected
    if not _kernels(config):
        units += gates + 2
    asked = texts if config.objective == "cloze" else rows
    # Blocks of many sizes hardly fill each other's places, however few are held at once.
    logits = min(8 * min(asked, loss.LOGITS // text.vocabulary), text.characters)
    return FLOAT * (rows * config.hidden * directions * units + logits * text.vocabulary)


def _baselines(config: TrainConfig, text: TextSize) -> int:
    """Bytes of the n-grams that are counted at the end, and of xz."""
    if config.objective == "cloze":
        return 0
    counted = min(text.train, baselines.LEARNED)
    counted += min(text.characters - text.train, baselines.MEASURED)
    return NGRAM * counted + COMPRESSOR


def _copies(text: TextSize) -> int:
    """Bytes of the index by which the report finds copies."""
    return COPY * text.train if text.train <= SEARCHED else 0


def check_memory(
    config: TrainConfig,
    corpus: Corpus,
    *,
    device: str = "cpu",
    fixed: bool = False,
    limits: Sequence[Limit] | None = None,
) -> str | None:
    """Refuse a training that can't fit, before any memory is taken for it.

    fixed: its settings can't be changed any more, only those of another one. Raises OptionError,
    naming the setting that helps most, where a limit is too small. Returns a note where only what
    others leave of it is; None where there is room, or nothing is known, as on another device.
    """
    if device != "cpu":
        return None
    text = TextSize.of(corpus)
    config, _ = fill_defaults(config, text.train)
    size = needed(config, text)
    needs = f"this training needs about {gigabytes(size)} of memory"
    another = "a new training with " * fixed
    known = memory_limits() if limits is None else limits
    for limit in sorted(known, key=lambda limit: limit.size):
        if size > limit.size:
            raise OptionError(
                f"{needs}, more than {limit.name}, {gigabytes(limit.size)}: "
                f"{another}{_remedy(config, text, limit.size)}"
            )
    for limit in known:
        if limit.free is not None and size > limit.free:
            remedy = f"{another}{_remedy(config, text, limit.free)}"
            return f"{needs}; of {limit.name} {gigabytes(limit.free)} are free now: {remedy}"
    return None


def check_reading(
    sources: Sequence[str | Path], config: TextConfig, *, limits: Sequence[Limit] | None = None
) -> None:
    """Refuse files that can't be read into memory; CorpusError, naming what reads them in blocks.

    What they need at least: compressed files count as if they weren't, and records not at all, of
    which any part may be text.
    """
    if config.limit is not None or (len(sources) == 1 and is_prepared(sources[0])):
        return
    paths = [Path(source) for source in sources]
    files = [file for path in paths for file in (path.rglob("*.*") if path.is_dir() else [path])]
    texts = [f for f in files if f in paths or f.name.endswith(SUFFIXES)]
    texts = [f for f in texts if f.is_file() and f.suffix != ".jsonl"]
    size = FEWEST_READING * sum(file.stat().st_size for file in texts)
    for limit in memory_limits() if limits is None else limits:
        if size > limit.size:
            raise CorpusError(
                f"{', '.join(map(str, sources))}: takes {gigabytes(size)} of memory or more to "
                f"read, {limit.name} is {gigabytes(limit.size)}: rondeau prepare keeps it on the "
                "disk, or read less with --limit"
            )


def largest(config: TrainConfig, corpus: Corpus) -> str:
    """The flag of the setting that, made smaller, frees most."""
    return flag(_by_effect(config, TextSize.of(corpus))[0].name)


@contextmanager
def failures_told(what: Callable[[], str]) -> Iterator[None]:
    """Turn an allocation that failed into a TrainingError that goes on with what can be done."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not out_of_memory(error):
            raise
        raise TrainingError(f"no memory left {what()}") from error


def gigabytes(size: float) -> str:
    """A size as people say it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


class _Setting(NamedTuple):
    """A setting that memory grows with: what it is, its least useful value, what others need."""

    name: str
    value: int
    least: int
    needs: Callable[[int], int]


def _by_effect(config: TrainConfig, text: TextSize) -> list[_Setting]:
    """The settings that memory grows with, first the one whose half needs least.

    Of those that are about equal, what leaves the model as it is comes first.
    """

    def needs(name: str, value: int) -> int:
        if name == "limit":
            share = value / text.characters
            return needed(config, replace(text, characters=value, train=int(text.train * share)))
        return needed(TrainConfig(**config.as_dict() | {name: value}), text)

    settings = [
        _Setting(name, value, least, partial(needs, name))
        for name, value, least in (
            ("batch", config.batch, 1),
            ("seq_len", config.seq_len, 8),
            ("hidden", config.hidden, 16),
            ("limit", text.characters, 10_000),
        )
    ]
    tenth = needed(config, text) // 10
    halves = {s.name: s.needs(max(1, s.value // 2)) for s in settings}
    return sorted(settings, key=lambda s: (halves[s.name] - min(halves.values())) // tenth)


def _remedy(config: TrainConfig, text: TextSize, most: int) -> str:
    """The setting that holds most of the memory, and what making it smaller brings."""
    for name, value, least, needs in _by_effect(config, text):
        smaller = value
        while smaller // 2 >= least and needs(smaller) > most:
            smaller //= 2
        if needs(smaller) <= most:
            return f"{flag(name)} {value} -> {smaller} needs {gigabytes(needs(smaller))}"
    return f"a smaller setting of one kind isn't enough ({gigabytes(PROGRAM)} it needs in any case)"

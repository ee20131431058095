"""The settings, as frozen dataclasses that are validated at birth.

Field names are the flags and the TOML keys (`seq_len` is `--seq-len`); the text under a field is
its help. This module knows no tensors, and nothing of where a setting is used.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from rondeau.errors import OptionError
from rondeau.formats import shown

CellName = Literal["rnn", "gru", "lstm"]
Backend = Literal["auto", "reference", "library", "numba", "triton"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["float32", "tf32", "bfloat16", "float16"]
Documents = Literal["file", "blank-line", "line"]
Newlines = Literal["keep", "space"]
Split = Literal["document", "tail", "none"]
BUDGETS = ("epochs", "steps", "minutes")
"""The settings that say how long to train, of which one is given."""


def flag(name: str) -> str:
    """The command-line spelling of a field: `seq_len` -> `--seq-len`."""
    return "--" + name.replace("_", "-")


def require(condition: bool, name: str, value: object, remedy: str) -> None:
    """Raise OptionError, naming the option and the remedy, unless the condition holds."""
    if not condition:
        raise OptionError(f"{flag(name)} {shown(value)}: {remedy}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


class Settings:
    """What all settings share: choices and numbers are checked at birth, fields by name."""

    def __post_init__(self) -> None:
        """Check every value against its type (Literal choices, whole or finite numbers)."""
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            parts = [hint] if get_origin(hint) is Literal else get_args(hint) or (hint,)
            if value is None and type(None) in parts:
                continue
            options = [o for part in parts for o in get_args(part) or (part,)]
            options = [option for option in options if option is not type(None)]
            if all(isinstance(option, str) for option in options):
                require(value in options, name, value, f"choose one of {', '.join(options)}")
            elif bool in options:
                require(isinstance(value, bool), name, value, "is true or false")
            elif int in options:
                require(_is_whole(value), name, value, "must be a whole number below 2**63")
            elif float in options:
                number = _is_whole(value) or (isinstance(value, float) and math.isfinite(value))
                require(number, name, value, "must be a finite number")
            else:
                require(isinstance(value, tuple(options)), name, value, "must be a text")
        self.check()

    def check(self) -> None:
        """Check what the types can't say; overridden where there is something to check."""

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The names of all settings, in order."""
        return tuple(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]

    @classmethod
    def of(cls, other: Settings) -> Self:
        """The part of wider settings that this class knows."""
        return cls(**{name: getattr(other, name) for name in cls.field_names()})

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: str) -> Self:
        """Settings from a file's keys; an unknown key is an OptionError that names the nearest."""
        for key in values:
            if key not in cls.field_names():
                near = difflib.get_close_matches(key, cls.field_names(), n=1)
                hint = f"did you mean {near[0]}?" if near else "see rondeau train --help"
                raise OptionError(f"{source}: unknown setting {shown(key)}: {hint}")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
    """The shape of a model; with the vocabulary's size it determines every parameter."""

    cell: CellName = "gru"
    """The recurrent cell."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the rnn cell."""
    reset: Literal["after", "before"] = "after"
    """Where the gru cell's reset gate acts: on the product U h (after) or on h (before)."""
    forget_bias: float = 0.0
    """Added to the lstm cell's forget-gate bias at the start."""
    hidden: int = 256
    """Hidden size H of each layer and direction."""
    layers: int = 1
    """Number of layers."""
    objective: Literal["next", "cloze"] = "next"
    """Learn to predict the next character, or to restore hidden ones from both sides (cloze)."""
    bidirectional: bool = False
    """Read in both directions: right for cloze; a model of the next character then reads its own
    answer and gets no perplexity."""
    embedding: int | None = None
    """Size of the input embedding; without it a character selects a row of weights (one-hot)."""
    tie_weights: bool = False
    """Use the embedding table as the output weights too (needs --embedding)."""
    dropout: float = 0.0
    """Share of units dropped between layers and on the output, one mask a window."""
    dropout_input: float = 0.0
    """Share of the embedding's units dropped, one mask a window (needs --embedding)."""

    def check(self) -> None:
        """Raise OptionError for sizes and shares that make no model."""
        for name in ("hidden", "layers"):
            size = getattr(self, name)
            require(size is None or size >= 1, name, size, "must be at least 1")
        for name in ("dropout", "dropout_input"):
            share = getattr(self, name)
            require(share is None or 0 <= share < 1, name, share, "must be at least 0 and below 1")
        if self.objective == "cloze" and self.bidirectional is False:
            raise OptionError("--objective cloze: reads in both directions; add --bidirectional")
        if self.embedding is not None:
            require(self.embedding >= 1, "embedding", self.embedding, "must be at least 1")
        if self.tie_weights and self.embedding is None:
            raise OptionError("--tie-weights: needs --embedding N, whose table it shares")
        if self.dropout_input and self.embedding is None:
            raise OptionError("--dropout-input: needs --embedding N, whose units it drops")


@dataclass(frozen=True, kw_only=True)
class TextConfig(Settings):
    """How files become documents, and documents become splits."""

    documents: Documents | None = None
    """What a document is: a file (default), a block between blank lines, or a line."""
    newlines: Newlines = "keep"
    """Keep newlines as characters, or turn them into spaces."""
    encoding: str | None = None
    """Encoding of the files; detected when not given (UTF-8, UTF-16, GB18030)."""
    limit: int | None = None
    """Use only the first so many characters."""
    split: Split = "document"
    """Hold out whole documents (80/10/10), the end of the text (tail), or nothing."""
    held_out: int | None = None
    """With --split tail: how many characters at the end are held out (default: a tenth)."""
    seed: int = 0
    """Seed of the split, the initial weights, the order of windows and dropout."""

    def check(self) -> None:
        """Raise OptionError for an impossible limit, seed or end of the text."""
        if self.limit is not None:
            require(self.limit >= 1, "limit", self.limit, "must be at least 1 character")
        if self.held_out is not None:
            require(self.held_out >= 1, "held_out", self.held_out, "must be at least 1 character")
            require(self.split == "tail", "held_out", self.held_out, "needs --split tail")
        require(0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2**63 - 1")


@dataclass(frozen=True, kw_only=True)
class ComputeConfig(Settings):
    """Where and how a model is computed: the same model, other seconds."""

    device: Device = "auto"
    """Where to compute."""
    threads: int | None = None
    """Processor threads (default: all that this process may use)."""
    backend: Backend = "auto"
    """How the recurrence is computed."""
    precision: Precision = "float32"
    """What products are computed in, tf32 on NVIDIA GPUs only; weights, states and sums are
    float32."""
    cuda_graphs: bool = False
    """On an NVIDIA GPU, record a step of training or writing and replay it (CUDA graphs)."""

    def check(self) -> None:
        """Raise OptionError for an impossible number of threads."""
        if self.threads is not None:
            require(self.threads >= 1, "threads", self.threads, "must be at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ComputeConfig, TextConfig, ModelConfig):
    """All settings of a training. What is None is chosen by the size of the text and said."""

    bidirectional: bool | None = None  # type: ignore[assignment]
    """Read in both directions (default: with the objective cloze; a model of the next character
    then reads its own answer and gets no perplexity)."""
    layers: int | None = None  # type: ignore[assignment]
    """Number of layers (default: by the size of the text, 1 or 2)."""
    dropout: float | None = None  # type: ignore[assignment]
    """Share of units dropped between layers and on the output, one mask a window (default: by the
    size of the text, 0.5 to 0.1)."""
    batch: int = 32
    """Number of parallel streams B, of all processes together."""
    accumulate: int = 1
    """Compute the gradient in so many parts of the streams, one after another: less memory."""
    seq_len: int = 64
    """Steps T of a window: how far gradients reach back."""
    sampling: Literal["consecutive", "random"] = "consecutive"
    """Windows that follow each other, the state carried; or random ones from a zero state."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    """The optimiser."""
    lr: float | None = None
    """Peak learning rate (default: 0.004 for adam and adamw, 1.0 for sgd)."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """Learning rate after the warm-up: constant, cosine to a fiftieth, or tenths at 1/2 and 3/4."""
    warmup: int = 50
    """Steps over which the learning rate rises linearly."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices for adamw, added to the gradient for sgd and adam."""
    clip: float = 1.0
    """Largest global norm of the gradient; 0 for no clipping."""
    epochs: int | None = None
    """Stop after so many passes over the training text."""
    steps: int | None = None
    """Stop after so many steps."""
    minutes: float | None = None
    """Stop after about so many minutes (the first seconds are measured, then the steps fixed)."""
    patience: int = 10
    """Stop after so many evaluations without improvement; 0 for never."""
    eval_every: int | None = None
    """Steps between evaluations on the validation split."""
    checkpoint_every: int | None = None
    """Steps between checkpoints, from which a training goes on (default: at each evaluation)."""
    checkpoint_minutes: float = 5.0
    """Most minutes between checkpoints."""
    keep: int = 2
    """How many of the latest checkpoints are kept, beside the best."""
    shard: bool = False
    """Share weights, gradients and the optimiser's memory out among the processes, too."""
    timeout: float = 300.0
    """Seconds until processes that train together give up one that doesn't answer."""
    gates: bool = False
    """At each evaluation, record what share of each gate is shut or open."""
    detect_anomaly: bool = False
    """Look for the first operation whose result isn't finite, and name it (slow)."""

    def check(self) -> None:
        """Raise OptionError for impossible values and for two budgets at once."""
        for part in (ModelConfig, TextConfig, ComputeConfig):
            part.check(self)
        for name in ("batch", "accumulate", "seq_len"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        require(self.keep >= 1, "keep", self.keep, "must be at least 1")
        require(0 < self.timeout < 1e6, "timeout", self.timeout, "must be above 0 and below 1e6")
        numbers = ("epochs", "steps", "minutes", "lr", "eval_every", "checkpoint_every")
        for name in (*numbers, "checkpoint_minutes"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "must be above 0")
        for name in ("warmup", "weight_decay", "clip", "patience"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        if self.gates and self.cell == "rnn":
            raise OptionError("--gates: the rnn cell has none; choose --cell gru or lstm")
        if self.cuda_graphs:
            self._check_recorded()
        budgets = [name for name in BUDGETS if getattr(self, name)]
        if len(budgets) > 1:
            raise OptionError(f"{' and '.join(map(flag, budgets))}: give only one budget")

    def _check_recorded(self) -> None:
        """OptionError for steps that have to wait for the GPU, or differ from each other."""
        others = {
            "--objective cloze": self.objective == "cloze",
            "--precision float16": self.precision == "float16",
            "--backend numba": self.backend == "numba",
            "--accumulate": self.accumulate > 1,
            "--shard": self.shard,
            "--detect-anomaly": self.detect_anomaly,
        }
        for other, given in others.items():
            if given:
                raise OptionError(f"--cuda-graphs: can't be had with {other}; leave out one")

    @property
    def peak_lr(self) -> float:
        """The learning rate that the schedule starts from, once warm."""
        return self.lr if self.lr is not None else 1.0 if self.optimizer == "sgd" else 4e-3


@dataclass(frozen=True, kw_only=True)
class StudyConfig(TrainConfig):
    """The settings of a study: each of its cells is trained with the same."""

    hidden: int | None = None  # type: ignore[assignment]
    """Hidden size H of each layer and direction (default: 256, in a memory task 64)."""


@dataclass(frozen=True, kw_only=True)
class DecodingConfig(Settings):
    """How the next character is chosen from the model's distribution."""

    temperature: float = 0.8
    """Divides the logits: below 1 safer, above 1 bolder."""
    top_k: int | None = None
    """Choose among the k most probable characters only."""
    top_p: float | None = None
    """Choose among the fewest characters whose probabilities reach p."""
    greedy: bool = False
    """Always take the most probable character."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of a character that has been written (−100 to 100)."""
    frequency_penalty: float = 0.0
    """Subtracted from the logit of a character as often as it has been written (−100 to 100)."""

    def check(self) -> None:
        """Raise OptionError for controls that leave nothing to choose from."""
        hot = self.temperature is None or self.temperature > 0
        require(hot, "temperature", self.temperature, "must be above 0 (--greedy)")
        for name in ("presence_penalty", "frequency_penalty"):
            penalty = getattr(self, name)
            within = penalty is None or -100 <= penalty <= 100
            require(within, name, penalty, "must be from -100 to 100")
        if self.top_k is not None:
            require(self.top_k >= 1, "top_k", self.top_k, "must be at least 1")
        if self.top_p is not None:
            require(0 < self.top_p <= 1, "top_p", self.top_p, "must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class AskedDecoding(DecodingConfig):
    """What a user says of the decoding; what is None is left to the run."""

    temperature: float | None = None  # type: ignore[assignment]
    """Divides the logits: below 1 safer, above 1 bolder (default: the run's, 0.8)."""
    greedy: bool | None = None  # type: ignore[assignment]
    """Always take the most probable character (default: the run's, no)."""
    presence_penalty: float | None = None  # type: ignore[assignment]
    """Subtracted from the logit of a character that has been written (default: the run's, 0)."""
    frequency_penalty: float | None = None  # type: ignore[assignment]
    """Subtracted from the logit of a character as often as it has been written (default: the run's,
    0)."""

    def over(self, run: DecodingConfig) -> DecodingConfig:
        """The run's settings with the user's in their places."""
        said = {name: value for name, value in self.as_dict().items() if value is not None}
        return dataclasses.replace(run, **said)

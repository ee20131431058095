"""What a search may vary: settings of a training, each over a span of numbers or among choices.

`lr=0.001..0.02`, `hidden=128,256,512`: as the command line and a recipe's [search] table have it.
It knows no sampler.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_type_hints

from rondeau.config import ComputeConfig, TextConfig, TrainConfig, flag
from rondeau.errors import OptionError
from rondeau.formats import shown

Value = str | int | float | bool

BY_LOGARITHM = ("hidden", "embedding", "batch", "seq_len", "lr", "weight_decay", "clip")
"""Settings whose double matters as much everywhere: spans of them are log-uniform."""
YARDSTICK = "decides what is held out, by which trials are compared; set it for all of them with"
MEASURE = "changes what the held-out loss measures; set it for all trials with"
BUDGET = "is the same for all trials, so that they can be compared; set it with"
SAME = "changes nothing that is learned; set it for all trials with"
FIXED = {
    **dict.fromkeys(TextConfig.field_names(), YARDSTICK),
    **dict.fromkeys(ComputeConfig.field_names(), SAME),
    **dict.fromkeys(("objective", "bidirectional"), MEASURE),
    **dict.fromkeys(("epochs", "steps", "minutes", "patience", "eval_every"), BUDGET),
    **dict.fromkeys(("checkpoint_every", "checkpoint_minutes", "keep", "gates"), SAME),
    **dict.fromkeys(("detect_anomaly", "accumulate", "shard", "timeout"), SAME),
}
"""Why a setting can't be searched."""


@dataclass(frozen=True)
class Choices:
    """Some values, of which none is nearer to another."""

    values: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that must make a training for all to make one."""
        return self.values

    def __str__(self) -> str:
        """As the user gives it."""
        return ",".join(map(spelled, self.values))


@dataclass(frozen=True)
class Span:
    """Numbers from low to high, both included; whole: only whole ones; log: by their logarithm."""

    low: int | float
    high: int | float
    whole: bool
    log: bool

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that must make a training for all to make one."""
        return self.low, self.high

    def share(self, value: float) -> float:
        """How far a value lies on the way from low (0) to high (1)."""
        low, high, at = (
            math.log(number) if self.log else number for number in (self.low, self.high, value)
        )
        return (at - low) / (high - low)

    def __str__(self) -> str:
        """As the user gives it."""
        return f"{spelled(self.low)}..{spelled(self.high)}"


Space = Mapping[str, Choices | Span]
"""By the names of settings, in the order given."""


def parse_space(searched: Sequence[str]) -> Space:
    """A space from texts like `lr=0.001..0.02` and `hidden=128,256`.

    Raises OptionError for a setting that is unknown, named twice or not to be searched, and for
    a span or choices that leave nothing to search.
    """
    space: dict[str, Choices | Span] = {}
    for text in searched:
        name, _, words = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        source = f"--search {shown(text)}"
        if name not in TrainConfig.field_names():
            TrainConfig.from_mapping({name: words}, source)  # raises, and names the nearest
        if name in FIXED:
            raise OptionError(f"{source}: {name} {FIXED[name]} {flag(name)}")
        if name in space:
            raise OptionError(f"{source}: {name} is named twice; give it one range")
        space[name] = _parse_range(name, words.strip(), source)
    return space


def default_space(config: TrainConfig) -> Space:
    """Around the settings of a recipe: what matters most in most trainings."""
    hidden = (max(1, config.hidden // 2), config.hidden, 2 * config.hidden)
    return {
        "lr": Span(config.peak_lr / 4, config.peak_lr * 5, whole=False, log=True),
        "hidden": Choices(tuple(dict.fromkeys(hidden))),
        "layers": Span(1, 3, whole=True, log=False),
        "dropout": Span(0.0, 0.6, whole=False, log=False),
    }


def check_space(space: Space, config: TrainConfig) -> None:
    """Raise OptionError, naming the range, where one of its ends makes no training.

    The other settings are at their first values then, so that those that need each other pass.
    """
    first = {name: range_.ends[0] for name, range_ in space.items()}
    for name, range_ in space.items():
        for end in range_.ends:
            try:
                with_settings(config, first | {name: end})
            except OptionError as error:
                raise OptionError(f"--search {name}={range_}: {error}") from None


def largest(space: Space, config: TrainConfig) -> TrainConfig:
    """The settings of the trial that needs most memory."""
    numbers = {
        name: max(range_.ends)
        for name, range_ in space.items()
        if name in ("hidden", "layers", "embedding", "batch", "seq_len")
    }
    return with_settings(config, numbers)


def with_settings(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """A recipe with some of its settings replaced; OptionError for impossible values."""
    return replace(config, **settings)


def spelled(value: Value) -> str:
    """A value as a recipe and a command line have it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _parse_range(name: str, words: str, source: str) -> Choices | Span:
    kinds = _kinds(name)
    low, dots, high = words.partition("..")
    if not dots:
        given = [word.strip() for word in words.split(",")]
        if len(given) < 2:
            raise OptionError(
                f"{source}: leaves nothing to search; give a span, {name}=LOW..HIGH, or choices, "
                f"{name}=A,B"
            )
        values = tuple(_parse_value(name, word, source) for word in given)
        if len(set(values)) < len(values):
            raise OptionError(f"{source}: names a value twice; name each of them once")
        return Choices(values)
    if not {int, float} & set(kinds):
        raise OptionError(f"{source}: {name} is no number; give choices, {name}=A,B")
    ends = [_parse_value(name, word.strip(), source) for word in (low, high)]
    start, end = (end for end in ends if isinstance(end, (int, float)))
    if start >= end:
        raise OptionError(
            f"{source}: the span is empty; give its lower end first, {name}=LOW..HIGH"
        )
    log = name in BY_LOGARITHM
    if log and start <= 0:
        raise OptionError(
            f"{source}: a span of {name} is searched by its logarithm and begins above 0; give "
            f"{name}=LOW..HIGH so, or choices"
        )
    return Span(start, end, whole=float not in kinds, log=log)


def _parse_value(name: str, word: str, source: str) -> Value:
    kinds = _kinds(name)
    if bool in kinds:
        if word not in ("true", "false"):
            raise OptionError(f"{source}: {shown(word)} is neither true nor false")
        return word == "true"
    if not {int, float} & set(kinds):
        if word not in kinds:
            raise OptionError(f"{source}: {shown(word)} is none of {', '.join(kinds)}; choose one")
        return word
    try:
        value = float(word) if float in kinds else int(word)
        if not math.isfinite(value):
            raise ValueError
    except (ValueError, OverflowError):
        wanted = "a number" if float in kinds else "a whole number"
        raise OptionError(f"{source}: {shown(word)} is not {wanted}; give one") from None
    return value


def _kinds(name: str) -> tuple[Any, ...]:
    """The types of a setting's values, or the texts that it may be."""
    hint = get_type_hints(TrainConfig)[name]
    return tuple(part for part in get_args(hint) or (hint,) if part is not type(None))

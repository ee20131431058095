"""What a search has found: the best trial, what mattered, and how far that can be trusted."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

from rondeau.config import TrainConfig
from rondeau.formats import shown
from rondeau.report.words import listed
from rondeau.studies.importance import ENOUGH, Importance, importance
from rondeau.studies.search_space import Space, Span, Value, spelled, with_settings
from rondeau.studies.trials import Trial

FORMAT_VERSION = 1
END = 0.05
"""A best value within this share of its span from an end may lie beyond it."""
COMPUTE = ("threads", "backend", "device", "precision", "cuda_graphs")
"""Settings that are the machine's, not the recipe's."""
ENDS = {
    "complete": "came to the end",
    "pruned": "pruned",
    "failed": "given up",
    "running": "cut off",
}
"""What became of trials, in words."""


@dataclass(frozen=True)
class Findings:
    """All trials of a search so far.

    config: what they share; sources: the text's; planned: trials in all; has_test: whether there is
    a test split, which nobody has read; folder: where everything lies.
    """

    trials: tuple[Trial, ...]
    space: Space
    config: TrainConfig
    sources: tuple[str, ...]
    planned: int
    has_test: bool
    folder: str

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest held-out loss among those that came to their end."""
        return next(iter(self.ranked), None) if self.count("complete") else None

    @property
    def ranked(self) -> list[Trial]:
        """All trials: those that came to their end by loss, then the pruned by loss, the others."""
        order = ("complete", "pruned", "running", "failed")
        return sorted(
            self.trials,
            key=lambda t: (order.index(t.state), math.inf if t.loss is None else t.loss, t.number),
        )

    def count(self, state: str) -> int:
        """How many trials are in a state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def measure(self) -> str:
        """What e to the loss is."""
        return "pseudo-perplexity" if self.config.objective == "cloze" else "perplexity"

    @functools.cached_property
    def importance(self) -> Importance | None:
        """What mattered, if there are enough trials to tell."""
        return importance(self.trials, self.space, seed=self.config.seed)

    @property
    def recipe(self) -> dict[str, Value]:
        """The best trial's settings as a recipe has them: what isn't a default, and its budget."""
        assert self.best is not None
        default = TrainConfig().as_dict()
        config = with_settings(self.config, self.best.settings).as_dict()
        return {
            name: value
            for name, value in config.items()
            if value is not None
            and name not in COMPUTE
            and (value != default[name] or name in self.best.settings)
        }

    @property
    def recipe_comment(self) -> tuple[str, ...]:
        """What stands above the recipe."""
        assert self.best is not None
        text = ", ".join(map(shown, self.sources))
        return (
            f"The best of {len(self.trials)} trials on {text}, by validation: trial "
            f"{self.best.number}, {self.loss_of(self.best)}.",
            "rondeau train CORPUS --config best.toml trains it and measures on the test split.",
        )

    def loss_of(self, trial: Trial) -> str:
        """A trial's lowest held-out loss in words."""
        assert trial.loss is not None
        return (
            f"validation {self.measure} {math.exp(min(trial.loss, 700)):.2f} "
            f"({trial.loss:.4f} nats a target) after step {trial.best_step:,}"
        )

    @property
    def sentences(self) -> list[str]:
        """What there is to say, whatever it is."""
        return [*self._best(), self._counts(), *self._ends(), self._mattered()]

    def as_dict(self) -> dict[str, Any]:
        """What `tune --json` gives, and tune.json holds; `importance` only once all have ended."""
        ended = not self.count("running") and len(self.trials) >= self.planned
        found = self.importance if ended else None
        return {
            "format_version": FORMAT_VERSION,
            "sources": list(self.sources),
            "planned": self.planned,
            "measure": self.measure,
            "settings": self.config.as_dict(),
            "search": {name: str(range_) for name, range_ in self.space.items()},
            "best": None if self.best is None else self.best.number,
            "sentences": self.sentences if ended else [],
            "importance": found and {"divergence": found.divergence, "chance": found.chance},
            "trials": [trial.as_dict() for trial in self.trials],
        }

    def _best(self) -> list[str]:
        best = self.best
        if best is None:
            return []
        untouched = (
            "the test split has not been read: training with best.toml measures on it"
            if self.has_test
            else "this text has no test split to measure on"
        )
        return [
            f"The best is trial {best.number} ({settings_shown(best)}): {self.loss_of(best)}.",
            f"It was chosen by this figure among {len(self.trials)} trials, so that the figure is "
            f"a little too good; {untouched}.",
        ]

    def _counts(self) -> str:
        parts = []
        for state, words in ENDS.items():
            count = self.count(state)
            verb = "" if state == "complete" else "was " if count == 1 else "were "
            parts += [f"{count} {verb}{words}"] if count else []
        return f"Of {len(self.trials)} trials {listed(parts)}." if parts else "No trial was begun."

    def _ends(self) -> list[str]:
        """Where the best value lies at an end of its span."""
        if self.best is None:
            return []
        found = []
        for name, range_ in self.space.items():
            value = self.best.settings[name]
            if isinstance(range_, Span) and isinstance(value, (int, float)):
                share = range_.share(value)
                lower = not range_.whole and range_.low > 0  # whether there is anything below
                if share > 1 - END or (lower and share < END):
                    found.append(f"{name} {value_shown(value)} of {range_}")
        if not found:
            return []
        if len(found) == 1:
            return [f"{found[0]} lies at an end of its span: a wider one may do better."]
        return [f"{listed(found)} lie at ends of their spans: wider ones may do better."]

    def _mattered(self) -> str:
        found = self.importance
        if found is None:
            counted = sum(bool(trial.looks) and trial.state != "failed" for trial in self.trials)
            return (
                f"What mattered can't be told from {counted} trials that were looked at; "
                f"it takes {ENOUGH}."
            )
        rest = [name for name in found.divergence if name not in found.mattered]
        if not found.mattered:
            return (
                f"In {len(self.trials)} trials no setting mattered more than chance explains; more "
                "trials may tell."
            )
        said = f"What mattered: {listed(found.mattered)}"
        return f"{said}; {listed(rest)} no more than chance explains." if rest else f"{said}."


def settings_shown(trial: Trial) -> str:
    """A trial's searched settings in words, numbers with the digits that matter."""
    return ", ".join(f"{name} {value_shown(value)}" for name, value in trial.settings.items())


def value_shown(value: Value) -> str:
    """A value as it stands in a table: 0.00412, 256, gru."""
    return f"{value:.3g}" if isinstance(value, float) else spelled(value)

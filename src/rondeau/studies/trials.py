"""The trials of a search, kept by optuna in a journal that outlasts any kill.

Which settings come next is a function of the seed, of the trial's number and of the trials that
have ended: there is no random state to save. It knows no training; nobody else knows optuna, but
for `importance`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rondeau.errors import RunError, UnsupportedError
from rondeau.studies.search_space import Choices, Space, Span, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

State = Literal["running", "complete", "pruned", "failed"]
NAME = "rondeau"
"""Of the one study in a journal."""
DRAWN = 8
"""Trials whose settings are drawn at random, before earlier ones tell where to look."""
UNPRUNED, WARM = 4, 1 / 5
"""Trials that must have come to their end, and the share of its own steps that a trial must have
had, before it can be pruned."""


@dataclass(frozen=True)
class Trial:
    """One trial: its settings, and how it went.

    looks: (step, held-out loss in nats) of each; seconds: on the clock; parameters: of its model;
    error: why it failed, or had to begin again.
    """

    number: int
    settings: dict[str, Value]
    state: State = "running"
    looks: tuple[tuple[int, float], ...] = ()
    seconds: float | None = None
    parameters: int | None = None
    error: str | None = None

    @property
    def loss(self) -> float | None:
        """Its lowest held-out loss so far, in nats."""
        return min((loss for _, loss in self.looks), default=None)

    @property
    def best_step(self) -> int | None:
        """The step at which it had its lowest held-out loss."""
        return min(self.looks, key=lambda look: look[1])[0] if self.looks else None

    def as_dict(self) -> dict[str, Any]:
        """The trial, for programs."""
        return asdict(self) | {"loss": self.loss, "best_step": self.best_step}


class Journal:
    """The trials of one search in a file, of which this process is the only writer."""

    def __init__(self, path: Path, space: Space, *, seed: int, steps: int, parallel: bool) -> None:
        """Open a journal, or begin one.

        steps: of a whole trial. Raises RunError where the file is damaged, UnsupportedError where
        optuna isn't installed.
        """
        self._optuna = optuna = import_optuna()
        self.seed, self.parallel = seed, parallel
        self.distributions = {name: distribution(range_) for name, range_ in space.items()}
        _mend(path)
        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=UNPRUNED, n_warmup_steps=int(WARM * steps)
        )
        with _damage_told(path):
            backend = optuna.storages.journal.JournalFileBackend(str(path))
            self._study = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                study_name=NAME,
                pruner=pruner,
                load_if_exists=True,
            )
            trials = self.trials()
        if any(trial.settings.keys() - space.keys() for trial in trials):
            raise RunError(f"{path}: its trials are of another search")
        self._open = {
            trial.number: optuna.trial.Trial(self._study, trial._trial_id)
            for trial in self._study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        }

    @property
    def cut_off(self) -> list[int]:
        """The numbers of the trials that were begun and haven't ended."""
        return sorted(self._open)

    def trials(self) -> list[Trial]:
        """All trials, in the order in which they were begun."""
        return [_trial(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    def trial(self, number: int) -> Trial:
        """One of them."""
        return self.trials()[number]

    def begin(self) -> Trial:
        """Another trial, with settings where the ended ones say that it is worth looking."""
        number = len(self.trials())
        self._study.sampler = self._sampler(number, 0)
        self._open[number] = self._study.ask()
        return self.go_on(number)

    def go_on(self, number: int) -> Trial:
        """A trial that was cut off, maybe between its settings: it gets those it would have had."""
        trial = self._open[number]
        self._study.sampler = self._sampler(number, 0)
        _ = trial.relative_params  # those that are drawn together are drawn now
        for place, (name, given) in enumerate(self.distributions.items()):
            self._study.sampler = self._sampler(number, 1 + place)
            suggest(trial, name, given)
        return self.trial(number)

    def look(self, number: int, step: int, loss: float) -> bool:
        """Write down a look, once; whether the trial is worth going on with."""
        trial = self._open[number]
        if step not in dict(self.trial(number).looks):
            trial.report(loss, step)
        return not trial.should_prune()

    def note(self, number: int, **facts: Any) -> None:
        """Write down facts of a trial, by the names of `Trial`'s fields."""
        for name, fact in facts.items():
            self._open[number].set_user_attr(name, fact)

    def tries(self, number: int) -> int:
        """How often a trial's process has died without a word."""
        return int(self._open[number].user_attrs.get("tries", 0))

    def end(self, number: int, state: State) -> Trial:
        """Write down how a trial ended.

        One that failed counts for the sampler as one that was pruned, so that it keeps away.
        """
        states = self._optuna.trial.TrialState
        self.note(number, failed=state == "failed")
        if state == "complete":
            self._study.tell(self._open.pop(number), self.trial(number).loss)
        else:
            self._study.tell(self._open.pop(number), state=states.PRUNED)
        return self.trial(number)

    def _sampler(self, number: int, place: int) -> Any:
        seed = np.random.SeedSequence([self.seed, number, place]).generate_state(1)[0]
        return self._optuna.samplers.TPESampler(
            seed=int(seed), n_startup_trials=DRAWN, constant_liar=self.parallel
        )


def import_optuna() -> Any:
    """The package optuna; UnsupportedError, naming the extra, where it isn't installed."""
    try:
        import optuna
    except ImportError:
        raise UnsupportedError(
            "tune: needs the package optuna: pip install 'rondeau[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def distribution(range_: Choices | Span) -> BaseDistribution:
    """A range as optuna has it."""
    kinds = import_optuna().distributions
    if isinstance(range_, Choices):
        return kinds.CategoricalDistribution(range_.values)  # type: ignore[no-any-return]
    kind = kinds.IntDistribution if range_.whole else kinds.FloatDistribution
    return kind(range_.low, range_.high, log=range_.log)  # type: ignore[no-any-return]


def suggest(trial: Any, name: str, given: Any) -> None:
    """Have optuna's trial settle a setting, if it hasn't."""
    if hasattr(given, "choices"):
        trial.suggest_categorical(name, given.choices)
    elif isinstance(given.low, float):
        trial.suggest_float(name, given.low, given.high, log=given.log)
    else:
        trial.suggest_int(name, given.low, given.high, log=given.log)


def _trial(frozen: FrozenTrial) -> Trial:
    facts = frozen.user_attrs
    state: State = "running"
    if frozen.state.is_finished():
        state = "complete" if frozen.state.name == "COMPLETE" else "pruned"
        state = "failed" if facts.get("failed") else state
    return Trial(
        number=frozen.number,
        settings=dict(frozen.params),
        state=state,
        looks=tuple(sorted(frozen.intermediate_values.items())),
        seconds=facts.get("seconds"),
        parameters=facts.get("parameters"),
        error=facts.get("error"),
    )


def _mend(path: Path) -> None:
    """Drop what a kill has left: a last line that isn't whole, and the lock of a writer."""
    for left in path.parent.glob(f"{path.name}.lock*"):
        left.unlink()
    if path.exists():
        if not path.is_file():
            raise RunError(f"{path}: is not a file; remove it")
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with path.open("r+b") as file:
                file.truncate(whole)


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise RunError(
            f"{path}: is damaged ({type(error).__name__}); restore it from a copy, or begin anew"
        ) from None

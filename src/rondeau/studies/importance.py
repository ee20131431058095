"""Which settings of a search mattered: PED-ANOVA, beside what chance would make of the same trials.

PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) asks how differently a setting is spread among
the better trials and among all. It needs no more than to know which trials are the better ones, so
that pruned ones, which aren't, count as well. It sees settings one by one, not what two of them
do together, and it sees only where the sampler has looked.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rondeau.studies.search_space import Space
from rondeau.studies.trials import Trial, distribution, import_optuna

BETTER = 0.5
"""The share of trials that count as the better ones."""
ENOUGH = 12
"""Trials below which nothing is said."""
SHUFFLES = 99
CHANCE = 0.95


@dataclass(frozen=True)
class Importance:
    """How much each setting mattered, the most first, and how much chance makes of one.

    divergence: of its spread among the better trials from that among all (Pearson's; 0: the same);
    chance: the 95 % quantile of the largest of them when the losses are shuffled among the trials.
    """

    divergence: dict[str, float]
    chance: float

    @property
    def mattered(self) -> list[str]:
        """The settings that matter more than chance explains, the most first."""
        return [name for name, found in self.divergence.items() if found > self.chance]


def importance(trials: Sequence[Trial], space: Space, *, seed: int) -> Importance | None:
    """What mattered; None for too few trials to tell. A trial counts by its lowest loss."""
    counted = [trial for trial in trials if trial.looks and trial.state != "failed"]
    if len(counted) < ENOUGH:
        return None
    losses = np.array([trial.loss for trial in counted])
    found = _divergence(counted, space, losses)
    generator = np.random.default_rng(seed)
    highest = [
        max(_divergence(counted, space, generator.permutation(losses)).values())
        for _ in range(SHUFFLES)
    ]
    ordered = dict(sorted(found.items(), key=lambda item: -item[1]))
    return Importance(ordered, float(np.quantile(highest, CHANCE)))


def _divergence(trials: Sequence[Trial], space: Space, losses: np.ndarray) -> dict[str, float]:
    optuna = import_optuna()
    study = optuna.create_study()
    given = {name: distribution(range_) for name, range_ in space.items()}
    study.add_trials(
        [
            optuna.trial.create_trial(params=trial.settings, distributions=given, value=float(loss))
            for trial, loss in zip(trials, losses, strict=True)
        ]
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BETTER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of losses that are all equal: then nothing mattered
        found = optuna.importance.get_param_importances(
            study, evaluator=evaluator, params=list(space), normalize=False
        )
    return {name: float(share) for name, share in found.items()}

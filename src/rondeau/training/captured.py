"""A step of learning as one CUDA graph: recorded once, then replayed without the interpreter.

What differs from step to step lies in tensors that stay where they are: ids, state, learning rate,
and the seed of dropout's generator. Nothing waits for the GPU: a loss or gradient that isn't finite
leaves the weights alone from then on, and is found when somebody asks. It knows no files and no
clock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from rondeau.config import TrainConfig
from rondeau.errors import OptionError
from rondeau.network.capture import Capture, capture_on_gpu, refuse_graphs
from rondeau.network.cells import carry_parts, map_carry
from rondeau.network.stack import StackCarry
from rondeau.training.group import Group
from rondeau.training.learning import Learner
from rondeau.training.optimisation import clip_unseen

WARM_UP = 3
"""Steps before the recorded one, in which libraries make what they need."""


def refuse_uncaptured(config: TrainConfig, device: torch.device, group: Group) -> None:
    """OptionError for a device and a group whose steps can't be recorded."""
    refuse_graphs(config.cuda_graphs, device)
    if config.cuda_graphs and group.size > 1:
        raise OptionError("--cuda-graphs: is for one process; leave it out with several")


class CapturedStep:
    """Steps of learning for one model and optimiser, for as long as their tensors are the same."""

    def __init__(
        self,
        learner: Learner,
        optimizer: torch.optim.Optimizer,
        *,
        clip: float,
        capture: Capture | None = None,
    ) -> None:
        """Make a place for what differs from step to step; nothing is recorded yet.

        capture: what records (default: a CUDA graph).
        """
        self.learner, self.optimizer, self.clip = learner, optimizer, clip
        self._capture = capture or partial(capture_on_gpu, generator=learner.generator)
        self._ids = learner.window(0)[:2]
        self._carry = map_carry(torch.clone, learner.initial_carry)
        self._rate, self._loss, self._norm, self._failed = torch.zeros(4, device=learner.device)
        self._told: list[tuple[Tensor, Tensor]] = []
        self._replay: Callable[[], None] | None = None
        self._warm = 0

    def __call__(
        self, step: int, rate: float, carry: StackCarry
    ) -> tuple[Tensor, Tensor, StackCarry]:
        """Learn from a step's window at a rate: its loss, its gradient's norm, and the state.

        The state is good until the next step, which may go on from it.
        """
        for place, ids in zip(self._ids, self.learner.window(step)[:2], strict=True):
            place.copy_(ids)
        self._keep(carry)
        self._rate.fill_(rate)
        self._run(step)
        self._told.append((self._loss.clone(), self._norm.clone()))
        return *self._told[-1], self._carry

    def failure(self) -> tuple[int, str] | None:
        """How many steps ago learning ended, and whether by the loss or the gradient.

        Of those since the last call; None where it goes on. The last step is 0 steps ago.
        """
        told, self._told = self._told, []
        if not self._failed:
            return None
        finite = [[bool(value.isfinite()) for value in pair] for pair in told]
        first = next(i for i, pair in enumerate(finite) if not all(pair))
        return len(told) - 1 - first, "gradient" if finite[first][0] else "loss"

    def _run(self, step: int) -> None:
        """The step itself: as it is at first, then recorded, then repeated."""
        if self._replay is None and self._warm == WARM_UP:
            self._replay = self._capture(self._learn)
        self.learner.seed(step)
        if self._replay is None:
            self._warm += 1
            self._learn()
        else:
            self._replay()

    def _learn(self) -> None:
        groups = self.optimizer.param_groups
        settings = [dict(group) for group in groups]
        for group in groups:
            group["lr"] = self._rate
            if "capturable" in group:
                group["capturable"] = True
        loss, carry = self.learner.learn(*self._ids, self._carry)
        norm = clip_unseen(self.learner.model, self.clip)
        failed = (loss.isfinite() & norm.isfinite()).logical_not()
        self._failed.copy_(torch.maximum(self._failed, failed))
        self.optimizer.found_inf = self._failed  # type: ignore[attr-defined]
        self.optimizer.step()
        self._loss.copy_(loss)
        self._norm.copy_(norm)
        self._keep(carry)
        for group, before in zip(groups, settings, strict=True):
            group.update(before)

    def _keep(self, carry: StackCarry) -> None:
        """Have a state in its place."""
        for place, part in zip(carry_parts(self._carry), carry_parts(carry), strict=True):
            if place is not part:
                place.copy_(part)

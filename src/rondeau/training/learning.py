"""One step of learning: the window, its loss, and the gradient, on all processes of a group.

Each process reads its share of the batch's streams, in `--accumulate` parts one after another;
what is drawn at random is drawn for the whole batch, so that the gradient doesn't depend on how it
is shared out. It keeps no state of its own: a step is a function of the weights, the carry and its
number. PyTorch's DistributedDataParallel adds the gradients up while the backward pass goes on, or
FSDP2 where the weights are shared out, too.
"""

from __future__ import annotations

import contextlib
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rondeau.config import TrainConfig
from rondeau.network.cells import carry_parts, detach, map_carry
from rondeau.network.model import Model
from rondeau.network.stack import Masks, StackCarry
from rondeau.text.batches import Windows
from rondeau.text.masking import chosen, first, mask
from rondeau.text.tokenizer import BOS, Ids
from rondeau.training.anomaly import anomalies_named
from rondeau.training.group import Group, check_shares, parts_of
from rondeau.training.optimisation import unscale_gradient

SCALES = (2.0**12, 2.0**6, 1.0)
"""What a loss in float16 is multiplied by, in turn until no gradient overflows.

Small gradients would be nothing there. Each step begins with the largest: it depends on no other.
"""


class Learned(NamedTuple):
    """What a step has come to: the mean loss in nats over all streams, and this process's carry.

    told: the sums of what everybody has told.
    """

    loss: Tensor
    carry: StackCarry
    told: list[float]


class Learner:
    """Gives a model the gradient of its loss, step by step.

    initial_carry: the zero state of this process's streams.
    """

    def __init__(
        self,
        model: Model,
        windows: Windows,
        config: TrainConfig,
        *,
        group: Group,
        device: torch.device,
    ) -> None:
        """Share out the streams; OptionError for fewer than there are processes and parts."""
        with group.together():
            check_shares(group, windows.batch, config)
        self.model, self.windows, self.config = model, windows, config
        self.group, self.device = group, device
        self.streams = group.share(windows.batch)
        self.parts = parts_of(self.streams, config.accumulate)
        self.generator = torch.Generator(device)
        self.initial_carry = model.initial_carry(self.streams.stop - self.streams.start)
        self.loss: nn.Module = _Loss(model)
        self.tables: list[Tensor] = []
        if config.shard:
            from rondeau.training.sharding import share_out  # takes a second to import

            share_out(self.loss, device=device.type, size=group.size)
        elif group.size > 1:
            self._join()

    def _join(self) -> None:
        """Have the gradients of all processes added up, those of input tables by rows."""
        self.tables = self.model.tables
        tables = set(map(id, self.tables))
        names = [name for name, p in self.loss.named_parameters() if id(p) in tables]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self.loss, names)  # type: ignore[no-untyped-call]
        cuda = self.device.type == "cuda"
        self.loss = DistributedDataParallel(
            self.loss, device_ids=[self.device] if cuda else None, gradient_as_bucket_view=True
        )
        # After its first pass it lays gradients out anew, in the order in which they came, and sums
        # depend on the layout: one pass that isn't counted makes a resumed training the same.
        self.gradient(0, self.initial_carry)
        self.model.zero_grad()

    def gradient(self, step: int, carry: StackCarry, *told: float) -> Learned:
        """Set the gradient of the mean loss of all streams at a step."""
        for scale in SCALES if self.config.precision == "float16" else (1.0,):
            learned = self._gradient(step, carry, scale, *told)
            if scale == 1 or unscale_gradient(self.model, scale):
                break
        return learned

    def learn(
        self, inputs: Tensor, targets: Tensor, carry: StackCarry
    ) -> tuple[Tensor, StackCarry]:
        """The loss of a window (T, B), whose gradient it sets, and the state after it.

        For one process, all streams at once, after `seed`: with nothing but work for the device.
        """
        self.model.zero_grad()
        masks = Masks(self.generator, self.streams, self.windows.batch)
        loss, carry = self.loss(inputs, targets, carry, masks=masks)
        loss.backward()
        return loss.detach(), carry

    def _gradient(self, step: int, carry: StackCarry, scale: float, *told: float) -> Learned:
        """The gradient of the loss times a number."""
        inputs, targets, asked, count = self.window(step)
        read = self.group.shares_later(inputs.t(), self.windows.batch) if self.tables else None
        self.model.zero_grad()
        total, carries = torch.zeros((), device=self.device), []
        with anomalies_named(step) if self.config.detect_anomaly else contextlib.nullcontext():
            for part in self.parts:
                own = slice(part.start - self.streams.start, part.stop - self.streams.start)
                hidden = None if asked is None else asked[:, own]
                share = (targets[:, own].numel() if hidden is None else int(hidden.sum())) / count
                last = part is self.parts[-1]
                with self._reduced(last):
                    loss, after = self.loss(
                        inputs[:, own],
                        targets[:, own],
                        map_carry(itemgetter(own), carry),
                        asked=hidden,
                        masks=self._masks(step, part),
                    )
                    total = total + share * loss.detach()
                    if last:
                        sums = self.group.sum_later(total, *told)
                    # Processes' gradients are averaged, parts' are added.
                    weight = scale * share * self.group.size
                    (loss if weight == 1 else weight * loss).backward()
                carries.append(after)
        if read is not None:
            rows = [torch.unique(share) for share in read()]
            for table in self.tables:
                assert table.grad is not None
                self.group.add_rows(table.grad, rows)
        loss, *sums_told = sums()
        return Learned(
            total if self.group.size == 1 else torch.tensor(loss, dtype=total.dtype),
            carries[0] if len(carries) == 1 else _joined(carries),
            sums_told,
        )

    def _reduced(self, last: bool) -> Any:
        """Gradients are sent once, with the last part."""
        loss: Any = self.loss
        if self.config.shard:
            loss.set_requires_gradient_sync(last)
        elif self.group.size > 1 and not last:
            return loss.no_sync()
        return contextlib.nullcontext()

    def seed(self, step: int) -> None:
        """Have dropout draw what it draws at a step."""
        self.generator.manual_seed((self.windows.seed % 2**31 << 32) + step)

    def _masks(self, step: int, streams: slice) -> Masks:
        self.seed(step)
        return Masks(self.generator, streams, self.windows.batch)

    def window(self, step: int) -> tuple[Tensor, Tensor, Tensor | None, int]:
        """Inputs and targets (T, B) of this process's streams, which targets count, and how many.

        How many: of all processes; which: None for all.
        """
        streams, windows = self.streams, self.windows
        inputs, targets = windows.at(step, streams=streams)
        asked, count = None, windows.batch * windows.seq_len
        if self.model.config.objective == "cloze":
            targets = inputs
            seed = windows.seed, step
            hidden = chosen(targets, seed, streams=streams, batch=windows.batch)
            count = int(self.group.sum(int(hidden.sum()))[0])
            if not count:
                count = 1
                self._hide_first(targets, hidden)
            inputs = mask(targets, hidden)
            asked = torch.from_numpy(hidden).to(self.device)
        read, wanted = (self._sent(ids) for ids in (inputs, targets))
        return read, wanted, asked, count

    def _sent(self, ids: Ids) -> Tensor:
        """Ids on the device, or on their way there: nobody waits."""
        host = torch.from_numpy(ids)
        if self.device.type == "cuda":
            host = host.pin_memory()
        return host.to(self.device, non_blocking=True)

    def _hide_first(self, ids: np.ndarray[Any, Any], hidden: np.ndarray[Any, Any]) -> None:
        """Where chance hides nothing at all: the first id that may be, of all streams' ids."""
        row, column = divmod(first(ids), ids.shape[1])
        place = row * self.windows.batch + self.streams.start + column
        if ids[row, column] == BOS:
            place = self.windows.batch * self.windows.seq_len
        if min(self.group.each(place)) == place:
            hidden[row, column] = True


class _Loss(nn.Module):
    """A model's loss as what a module computes, which is what PyTorch shares out."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **named: Any) -> tuple[Tensor, StackCarry]:
        loss, carry = self.model.loss(*arguments, **named)
        return loss, detach(carry)


def _joined(carries: list[StackCarry]) -> StackCarry:
    """The carries of parts of the streams as one."""
    joined = iter([torch.cat(parts) for parts in zip(*map(carry_parts, carries), strict=True)])
    whole: StackCarry = map_carry(lambda _: next(joined), carries[0])
    return whole

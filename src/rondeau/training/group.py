"""The processes of one training: who they are, and what they tell each other. It knows no model.

torchrun starts them and torch.distributed carries what they say. A training in one process is a
group of one, to which all of this is nothing. Every method but `share` is for all of them at once.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from rondeau.config import TrainConfig
from rondeau.errors import OptionError, PeerError, RondeauError, TrainingError
from rondeau.machine import out_of_memory, processors
from rondeau.network.device import set_threads

LOST = re.compile(r"gloo|nccl|connection|timed? ?out|store|rank ", re.IGNORECASE)
"""What the messages of torch.distributed have in them where another process can't be reached."""


@dataclass(frozen=True)
class Group:
    """Process number `rank`, from 0 on, of `size`; the first one writes and prints for all."""

    rank: int = 0
    size: int = 1
    timeout: float = 0.0

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def set_threads(self, count: int | None) -> None:
        """Use so many threads (default: a fair share of the processors)."""
        if count is None and self.size > 1:
            count = max(1, processors() // processes(local=True))
        set_threads(count)

    def share(self, count: int) -> slice:
        """The part of `count` things that is this process's: each has its own."""
        return parts_of(slice(0, count), self.size)[self.rank]

    def sum(self, *values: float) -> list[float]:
        """The sums of everybody's numbers, the same to the bit for all."""
        return self.sum_later(*values)()

    def sum_later(self, *values: float | Tensor) -> Callable[[], list[float]]:
        """The same begun now, for when it is asked for."""
        if self.size == 1:
            return lambda: [float(value) for value in values]
        sums = torch.tensor([float(value) for value in values], dtype=torch.float64)
        work = dist.all_reduce(sums, async_op=True)

        def wait() -> list[float]:
            work.wait()
            return sums.tolist()

        return wait

    def each(self, value: int) -> list[int]:
        """Everybody's number, by rank."""
        if self.size == 1:
            return [value]
        return [int(number) for number in self._all(torch.tensor([value]))]

    def tell(self, data: bytes = b"") -> bytes:
        """What the first one says, to all."""
        if self.size == 1:
            return data
        length = torch.tensor([len(data)])
        dist.broadcast(length, 0)
        said = torch.frombuffer(bytearray(data or b"\0"), dtype=torch.uint8)
        if not self.first:
            said = torch.zeros(max(1, int(length)), dtype=torch.uint8)
        dist.broadcast(said, 0)
        return said.numpy().tobytes()[: int(length)]

    def joined(self, part: Tensor, count: int) -> Tensor:
        """Everybody's share (n, …) of `count` rows, one after another."""
        return torch.cat(self.shares_later(part, count)())

    def shares_later(self, part: Tensor, count: int) -> Callable[[], list[Tensor]]:
        """The same begun now, for when it is asked for, by rank."""
        if self.size == 1:
            return lambda: [part]
        sizes = [share.stop - share.start for share in parts_of(slice(0, count), self.size)]
        padded = part.new_zeros(max(sizes), *part.shape[1:])
        padded[: len(part)] = part
        tensors, work = self._all_later(padded)

        def wait() -> list[Tensor]:
            work.wait()
            return [tensor[:size] for tensor, size in zip(tensors, sizes, strict=True)]

        return wait

    def _all(self, own: Tensor) -> list[Tensor]:
        """Everybody's tensor of the same shape, by rank."""
        tensors, work = self._all_later(own)
        work.wait()
        return tensors

    def _all_later(self, own: Tensor) -> tuple[list[Tensor], Any]:
        """The same begun now: there once the work has been waited for."""
        tensors = [torch.empty_like(own) for _ in range(self.size)]
        return tensors, dist.all_gather(tensors, own, async_op=True)

    def leave_together(self) -> None:
        """Wait for all, so that none is gone while another still hears what it has said."""
        if self.size > 1:
            with contextlib.suppress(RuntimeError):  # who is gone by now has heard all
                dist.barrier()

    def add_rows(self, gradient: Tensor, rows: Sequence[Tensor]) -> None:
        """Everybody's mean of a gradient (V, …) in its place, which is zero but for some rows.

        rows: the numbers of each process's, by rank. Only these rows are sent, where that is less
        than all of them.
        """
        most = max(map(len, rows))
        if most * self.size >= 2 * len(gradient):  # a ring sends nearly two of everything
            dist.all_reduce(gradient)
        else:
            own = rows[self.rank]
            parts = self._all(functional.pad(gradient[own], (0, 0, 0, most - len(own))))
            gradient[own] = 0
            for numbers, part in zip(rows, parts, strict=True):  # in one order for all
                gradient.index_add_(0, numbers, part[: len(numbers)])
        gradient /= self.size

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What each does for itself: where it fails for one it fails for all, and one tells why."""
        failure: RondeauError | None = None
        try:
            yield
        except RondeauError as error:
            failure = error
        failed = [rank for rank, count in enumerate(self.each(int(failure is not None))) if count]
        if failure is not None and self.rank == failed[0]:
            if len(failed) < self.size:
                self._sign(failure)
            raise failure
        if failed:
            raise PeerError(f"process {failed[0]} of this training tells why it failed")

    @contextlib.contextmanager
    def in_contact(self, when: Callable[[], str]) -> Iterator[None]:
        """`reached`, and this process's own errors with its name on them."""
        with self.reached(when):
            try:
                yield
            except RondeauError as error:
                if self.size > 1 and not isinstance(error, PeerError):
                    self._sign(error)
                raise

    @contextlib.contextmanager
    def reached(self, when: Callable[[], str]) -> Iterator[None]:
        """Tell, as a TrainingError, that another process doesn't answer."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or out_of_memory(error) or not LOST.search(str(error)):
                raise
            if not self.first:
                raise PeerError("another process of this training is gone") from error
            raise TrainingError(
                f"{when()}: another process of this training is gone, or hasn't answered for "
                f"{self.timeout:g} s (--timeout), and tells why, if it can; the same command again "
                "goes on after the last checkpoint"
            ) from error

    def _sign(self, error: RondeauError) -> None:
        """Note on an error whose it is."""
        error.add_note(f"process {self.rank} of {self.size}")


ALONE = Group()
"""A training in one process."""


def processes(local: bool = False) -> int:
    """How many processes torchrun has started: in all, or on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE" if local else "WORLD_SIZE", "1"))


def join(config: TrainConfig) -> Group:
    """The group that torchrun has started, or a group of one.

    Raises TrainingError where the others don't come within `--timeout`.
    """
    if processes() == 1:
        return ALONE
    if not dist.is_initialized():
        import torch.distributed.nn.functional  # imported later it keeps the group for ever

        cuda = config.device != "cpu" and torch.cuda.is_available()
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        try:
            dist.init_process_group(backend, timeout=timedelta(seconds=config.timeout))
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(
                f"the processes of this training don't find each other: {reason}; start them with "
                "torchrun, and let all reach its --rdzv-endpoint"
            ) from error
        atexit.register(_end)
    return Group(dist.get_rank(), dist.get_world_size(), config.timeout)


def _end() -> None:
    """End the threads of gloo before the interpreter: one that outlives it can abort the process.

    They let go of tensors, for which they need the interpreter.
    """
    gc.collect()  # DistributedDataParallel, which is in a cycle, has the group
    dist.destroy_process_group()


def is_launched() -> bool:
    """Whether torchrun has started this process: it may start the same command again."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def check_shares(group: Group, batch: int, config: TrainConfig) -> None:
    """OptionError for a batch that has no stream for every part of every process.

    And for nobody to share weights with.
    """
    if config.shard and group.size == 1:
        raise OptionError(
            "--shard: there is one process only; start several with torchrun, or have rondeau "
            "gather RUN make a run for one of what several have begun"
        )
    accumulate = config.accumulate
    fewest = group.size * accumulate
    if batch < fewest:
        processes = f"{group.size} processes" if group.size > 1 else "one process"
        raise OptionError(
            f"--batch {batch}: is less than a stream for each of {processes}, {accumulate} times "
            f"(--accumulate): at least {fewest}; the text must be long enough for it"
        )


def parts_of(whole: slice, count: int) -> Sequence[slice]:
    """A range in `count` parts that follow each other, as equal as can be."""
    start, size = whole.start, whole.stop - whole.start
    return [slice(start + size * i // count, start + size * (i + 1) // count) for i in range(count)]

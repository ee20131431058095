"""One thread for each model, in which all that is asked of it is written together.

The thread owns the batch. The event loop hands prompts over a queue and takes what was written in
lists, one a turn; who waits, and for how many places, is counted on the loop alone, so that nothing
is locked. A client that is slow to read lets its own updates pile up (at most what it asked for),
and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Protocol

import torch

from rondeau.generation.batching import Batch, Prompt, Update
from rondeau.language_model import LanguageModel
from rondeau.server.errors import ApiError, busy, stopping
from rondeau.server.limits import Limits

log = logging.getLogger("rondeau.server")
TURN_SECONDS = 0.02
"""A turn should take about so long: who joins waits for one of them."""
LEAST_STEPS, MOST_STEPS = 16, 32
"""Of a turn: each costs every client an event, whatever is in it."""


class Observer(Protocol):
    """Who counts what an engine does."""

    def written(self, updates: Sequence[Update]) -> None:
        """Of a turn."""

    def first(self, seconds: float) -> None:
        """From a request to its first character."""


def places(prompt: Prompt) -> int:
    """The places that a prompt takes: one for each of its texts, one where it is only read."""
    return max(1, len(prompt.seeds))


class Ticket:
    """Some prompts of one request, and what has been written of them."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        """Nothing has been written."""
        self.prompts = prompts
        self.asked = time.monotonic()
        self._left = sum(1 + len(p.seeds) * (p.length > 0) for p in prompts)
        self._updates: list[Update] = []
        self._news = asyncio.Event()
        self._error: ApiError | None = None

    @property
    def complete(self) -> bool:
        """Whether all has been written."""
        return self._left == 0

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.complete or self._error is not None

    def deliver(self, update: Update) -> None:
        """Something was written."""
        self._updates.append(update)
        self._left -= update.finish_reason is not None
        self._news.set()

    def fail(self, error: ApiError) -> None:
        """Nothing more will be."""
        self._error = self._error or error
        self._news.set()

    async def turns(self) -> AsyncIterator[list[Update]]:
        """What was written since it was last asked, until all of it was; ApiError where it fails.

        A slow reader gets several turns at once.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            updates, self._updates = self._updates, []
            if updates:
                yield updates
            if self.done and not self._updates:
                if self._error is not None:
                    raise self._error
                return


class Engine:
    """All that one causal model writes."""

    def __init__(self, model: LanguageModel, limits: Limits, observer: Observer) -> None:
        """Nothing runs before `start`."""
        self.model, self.limits, self.observer = model, limits, observer
        self.threads = torch.get_num_threads()
        self._commands: queue.SimpleQueue[Callable[[Batch], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._tickets: dict[Prompt, Ticket] = {}
        self._waiting: deque[tuple[Prompt, Ticket]] = deque()
        self.running = 0
        self._stopping = False

    @property
    def queued(self) -> int:
        """Texts that wait for a place."""
        return sum(places(prompt) for prompt, _ in self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing is written and nobody waits."""
        return not (self._tickets or self._waiting)

    def start(self) -> None:
        """Begin, from the event loop that will ask."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self, grace: float) -> None:
        """Refuse what is new, let what is under way be finished for some seconds, end the rest."""
        self._stopping = True
        until = time.monotonic() + grace
        while not self.idle and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for ticket in {*self._tickets.values(), *(ticket for _, ticket in self._waiting)}:
            ticket.fail(stopping())
        self._commands.put(None)

    def submit(self, prompts: Sequence[Prompt], *, at_once: bool = False) -> Ticket:
        """Write these as soon as there are places; ApiError where too many wait.

        at_once: whether there are places or not, for what belongs to a request that has one
        already. Whoever submits must `release`.
        """
        if self._stopping:
            raise stopping()
        ticket = Ticket(prompts)
        free = self.limits.queue + self.limits.streams - self.running - self.queued
        if at_once:
            for prompt in prompts:
                self._begin(prompt, ticket)
        elif sum(map(places, prompts)) > free:
            raise busy("generation")
        else:
            self._waiting.extend((prompt, ticket) for prompt in prompts)
            self._admit()
        return ticket

    def release(self, ticket: Ticket) -> None:
        """Forget a ticket, whether it is done or not: its places are free."""
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not ticket)
        for prompt in ticket.prompts:
            if self._tickets.pop(prompt, None) is not None:
                self.running -= places(prompt)
                self._commands.put(partial(Batch.cancel, prompt=prompt))
        self._admit()

    def _admit(self) -> None:
        """Begin with what has waited longest, in order."""
        while self._waiting:
            prompt, ticket = self._waiting[0]
            if self.running and self.running + places(prompt) > self.limits.streams:
                return
            self._waiting.popleft()
            self._begin(prompt, ticket)

    def _begin(self, prompt: Prompt, ticket: Ticket) -> None:
        self.running += places(prompt)
        self._tickets[prompt] = ticket
        self._commands.put(partial(Batch.add, prompt=prompt))

    def _deliver(self, updates: Sequence[Update]) -> None:
        for update in updates:
            ticket = self._tickets.get(update.prompt)
            if ticket is None:
                continue
            if update.stream is not None and ticket.asked:
                self.observer.first(time.monotonic() - ticket.asked)
                ticket.asked = 0.0
            ticket.deliver(update)
        self.observer.written(updates)

    def _fail(self) -> None:
        for ticket in set(self._tickets.values()):
            ticket.fail(ApiError(500, "the server has failed; its log says why"))

    def _run(self) -> None:
        torch.set_num_threads(self.threads)
        batch, steps = self.model.batch(), LEAST_STEPS
        while True:
            try:
                while not (batch.busy and self._commands.empty()):
                    command = self._commands.get()
                    if command is None:
                        return
                    command(batch)
                begun = time.monotonic()
                updates = batch.turn(steps)
                share = TURN_SECONDS / max(time.monotonic() - begun, 1e-9)
                steps = max(LEAST_STEPS, min(MOST_STEPS, 2 * steps, round(steps * share)))
                self._loop.call_soon_threadsafe(self._deliver, updates)
            except Exception:
                log.exception("a turn has failed")
                batch = self.model.batch()
                self._loop.call_soon_threadsafe(self._fail)

"""What the routes share: the models, the sessions, the limits and the counters of one server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from rondeau.server.errors import ApiError
from rondeau.server.limits import Limits
from rondeau.server.metrics import Metrics
from rondeau.server.models import Models
from rondeau.server.store import SessionStore

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """One server."""

    models: Models
    sessions: SessionStore
    limits: Limits
    metrics: Metrics

    @contextlib.asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """A request's time; ApiError when it is over."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                yield
        except TimeoutError:
            message = f"the request took longer than {self.limits.seconds:g} s"
            raise ApiError(504, message, code="timeout") from None

    async def answer(self, request: Request, result: Awaitable[T]) -> T:
        """A result, in time, given up when the client has gone."""
        gone = asyncio.ensure_future(disconnected(request))
        task = asyncio.ensure_future(result)
        try:
            async with self.in_time():
                await asyncio.wait({gone, task}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ApiError(408, "the client has gone")
            return task.result()
        finally:
            gone.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})


async def disconnected(request: Request) -> None:
    """Return when the client has gone; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

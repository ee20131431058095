"""The routes of sessions: begin, continue, fork, go back, look, delete."""

from __future__ import annotations

import contextlib
import math
import secrets
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from rondeau.generation.batching import Update
from rondeau.generation.trace import Trace
from rondeau.server.choices import character, pending
from rondeau.server.completions import SEEDS, decoding_of
from rondeau.server.context import Context
from rondeau.server.errors import ApiError, declared
from rondeau.server.events import DOCUMENTED, EventStream, Json
from rondeau.server.schemas import (
    Continuation,
    ContinueRequest,
    Deleted,
    ForkRequest,
    SessionRequest,
    UndoCharacters,
    UndoTo,
)
from rondeau.server.schemas import Session as SessionSchema
from rondeau.server.store import Session
from rondeau.text.tokenizer import UNK

UNITS = 64
"""Most units of a state that are told."""
MADE = declared(400, 404, 408, 413, 415, 429, 504)
USED = declared(400, 404, 408, 409, 413, 415, 429, 504)


def routes(context: Context) -> APIRouter:
    """The routes of one server."""
    router = APIRouter(prefix="/v1/sessions", tags=["sessions"])
    store, limits = context.sessions, context.limits

    @router.post("", response_model=SessionSchema, responses=MADE)
    async def create_session(body: SessionRequest, request: Request) -> Response:
        """Begin a text, empty or with what is given; its id is a secret."""
        served = context.models.get(body.model)
        served.writer()
        session = Session(served)
        if body.text:
            reading = _Continuing(context, session, ContinueRequest(text=body.text))
            await context.answer(request, reading.whole())
        return Json(store.add(session).describe(limits))

    @router.get("/{session_id}", response_model=SessionSchema, responses=declared(404))
    async def get_session(session_id: str) -> Response:
        """The text so far."""
        return Json(store.get(session_id).describe(limits))

    @router.post(
        "/{session_id}/continue",
        response_model=Continuation,
        responses={200: {"content": DOCUMENTED}, **USED},
    )
    async def continue_session(
        session_id: str, body: ContinueRequest, request: Request
    ) -> Response:
        """Add a text, or have some characters written, or both, in this order."""
        using = contextlib.ExitStack()
        session = using.enter_context(store.using(session_id))
        try:
            continuing = _Continuing(context, session, body)
            if body.stream:
                continuing.submit()
                using.callback(continuing.release)
                return EventStream(continuing.events(), using.pop_all().close)
            return Json(await context.answer(request, continuing.whole()))
        finally:
            using.close()

    @router.post("/{session_id}/fork", response_model=SessionSchema, responses=USED)
    async def fork_session(session_id: str, body: ForkRequest, request: Request) -> Response:
        """Another session that begins with the same text, all of it or up to a position."""
        with store.using(session_id) as session:
            forked = session.fork()
            position = len(session.text) if body.position is None else body.position
            await context.answer(request, forked.rewind(_inside(session, position)))
        return Json(store.add(forked).describe(limits))

    @router.post("/{session_id}/undo", response_model=SessionSchema, responses=USED)
    async def undo_session(
        session_id: str, body: UndoCharacters | UndoTo, request: Request
    ) -> Response:
        """Go back by some characters, one where nothing is said, or to a position."""
        with store.using(session_id) as session:
            if isinstance(body, UndoTo):
                position = body.position
            else:
                position = len(session.text) - body.characters
            await context.answer(request, session.rewind(_inside(session, position)))
            return Json(session.describe(limits))

    @router.delete("/{session_id}", response_model=Deleted, responses=declared(404, 409))
    async def delete_session(session_id: str) -> Response:
        """Forget a session."""
        store.delete(session_id)
        return Json({"id": session_id, "object": "session", "deleted": True})

    return router


def _inside(session: Session, position: int) -> int:
    """A position of the session's; ApiError for another one."""
    if not 0 <= position <= len(session.text):
        message = f"the session has {len(session.text)} characters"
        raise ApiError(409, message, code="session_too_short")
    return position


class _Continuing:
    """One continuation of a session, which grows as it is told."""

    def __init__(self, context: Context, session: Session, body: ContinueRequest) -> None:
        """Check it, and make its prompt; ApiError for what can't be served."""
        self.context, self.session, self.body = context, session, body
        served, limits = session.served, context.limits
        self.engine, self.tokenizer = served.writer(), served.model.tokenizer
        text = served.model.normalise(body.text)
        if len(session.text) + len(text) + body.length > limits.session_length:
            message = f"a session has at most {limits.session_length:,} characters"
            raise ApiError(409, message, param="length", code="session_full")
        self.characters = list(text)
        """Of the text that is read, those that are still to be read."""
        decoding, bias = decoding_of(body, served)
        self.seed = secrets.randbelow(SEEDS) if body.seed is None else body.seed
        self.told = -1 if body.alternatives is None else body.alternatives
        self.prompt = served.model.prompt(
            self.tokenizer.encode(text),
            length=body.length,
            decoding=decoding,
            seed=self.seed,
            stops=body.stops,
            bias=bias,
            told=self.told,
            tell=self.told >= 0,
            carry=session.carry,
            keep=True,
            traced=body.state,
        )
        self.ids = np.empty(0, np.int64)
        """What was written."""
        self.held: list[dict[str, Any]] = []
        """The last of it, which may yet be the beginning of a stop."""

    def submit(self) -> None:
        """Ask for a place."""
        self.ticket = self.engine.submit([self.prompt])

    def release(self) -> None:
        """Give the place back."""
        self.engine.release(self.ticket)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What is added, part by part."""
        start = len(self.session.text)
        async with self.context.in_time():
            async for updates in self.ticket.turns():
                for update in updates:
                    found = self._take(update)
                    reason = update.finish_reason
                    if update.stream is None and self.prompt.length:
                        reason = None
                    if reason == "stop":
                        await self.session.rewind(len(self.session.text) - update.stop)
                        found = found[: len(found) - update.stop]
                    elif reason is None and update.stream is not None:
                        self.ids = np.concatenate([self.ids, update.ids])
                        decided = len(found) - pending(self.ids, self.prompt.stops)
                        found, self.held = found[:decided], found[decided:]
                    if found or reason:
                        start += sum(len(c["character"]) for c in found)
                        yield self._told(found, start, reason)

    async def whole(self) -> dict[str, Any]:
        """All that is added, at once."""
        self.submit()
        try:
            parts = [part async for part in self.events()]
        finally:
            self.release()
        text = "".join(part["text"] for part in parts)
        told = [c for part in parts for c in part.get("characters", [])]
        return parts[-1] | {"text": text} | ({"characters": told} if self._tells else {})

    @property
    def _tells(self) -> bool:
        return self.told >= 0 or self.body.state

    def _told(
        self, characters: list[dict[str, Any]], length: int, reason: str | None
    ) -> dict[str, Any]:
        told = {
            "object": "session.continuation",
            "session": self.session.id,
            "text": "".join(c["character"] for c in characters),
            "length": length,
            "finish_reason": reason,
        }
        if self.prompt.length:
            told["seed"] = self.seed
        return told | ({"characters": characters} if self._tells else {})

    def _take(self, update: Update) -> list[dict[str, Any]]:
        """An update's characters, after those held back; the session grows."""
        if update.stream is None:
            count = len(update.ids)
            characters, self.characters = self.characters[:count], self.characters[count:]
        else:
            characters = [character(self.tokenizer, index) for index in update.ids.tolist()]
        if update.carry is not None:
            self.session.extend("".join(characters), update.carry)
        held, self.held = self.held, []
        return held + [self._character(update, at, c) for at, c in enumerate(characters)]

    def _character(self, update: Update, at: int, text: str) -> dict[str, Any]:
        found: dict[str, Any] = {"character": text}
        if update.told is not None:
            unknown = update.ids[at] == UNK
            found["bits"] = float(-update.told.nats[at]) / math.log(2)
            found["bits"] += self.tokenizer.unknown_bits if unknown else 0.0
            found["alternatives"] = [
                {"character": character(self.tokenizer, int(i)), "probability": math.exp(p)}
                for i, p in zip(update.told.likely[at], update.told.likely_nats[at], strict=True)
            ]
        if update.trace is not None:
            found["state"] = _state(update.trace, at)
        return found


def _state(trace: Trace, at: int) -> dict[str, Any]:
    """What is told of the state after one character."""
    h = trace.h[at].numpy()
    units = np.linspace(0, len(h) - 1, min(UNITS, len(h))).round().astype(int)
    levels = np.clip((h[units] + 1) * 127.5, 0, 255).round().astype(int)
    gates = {name: float(mean[at]) for name, mean in trace.gates.items()}
    return {"hidden": levels.tolist(), "gates": gates}

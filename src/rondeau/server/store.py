"""Sessions: texts with the state after them, so that going on costs a step, however long they are.

Checkpoints of the state every so many characters make every position a short way to go back to. An
id is a secret of 192 bits and the only way to a session. All of it belongs to the event loop.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from rondeau.network.cells import carry_parts
from rondeau.network.stack import StackCarry
from rondeau.server.errors import ApiError
from rondeau.server.limits import Limits
from rondeau.server.models import Served

CHECKPOINT = 256
"""Characters from one kept state to the next."""


class Session:
    """A text, the state after it (None: after `<bos>`), and states on the way."""

    def __init__(self, served: Served) -> None:
        """An empty text."""
        self.id = f"sess_{secrets.token_urlsafe(24)}"
        self.served = served
        self.text = ""
        self.carry: StackCarry | None = None
        self.checkpoints: list[tuple[int, StackCarry | None]] = [(0, None)]
        self.created = self.used = time.time()
        self.busy = False

    @property
    def bytes(self) -> int:
        """What is kept of it: states, the last one once, and the text."""
        last = self.carry is not None and self.carry is not self.checkpoints[-1][1]
        states = len(self.checkpoints) - 1 + last
        return states * sum(part.nbytes for part in self._parts()) + 4 * len(self.text)

    def _parts(self) -> list[Tensor]:
        """A state, none for an empty text."""
        return [] if self.carry is None else carry_parts(self.carry)

    def extend(self, text: str, carry: StackCarry) -> None:
        """Some more characters, and the state after them."""
        self.text += text
        self.carry = carry
        if len(self.text) - self.checkpoints[-1][0] >= CHECKPOINT:
            self.checkpoints.append((len(self.text), carry))

    def fork(self) -> Session:
        """Another session with the same text."""
        other = Session(self.served)
        other.text, other.carry = self.text, self.carry
        other.checkpoints = list(self.checkpoints)
        return other

    async def rewind(self, position: int) -> None:
        """Back to a position: the characters since the checkpoint before it are read again."""
        if position == len(self.text):
            return
        kept = [entry for entry in self.checkpoints if entry[0] <= position]
        at, carry = kept[-1]
        if at < position:
            engine, ids = self.served.writer(), self.served.model.tokenizer.encode(self.text)
            prompt = self.served.model.prompt(ids[at:position], carry=carry, keep=True)
            ticket = engine.submit([prompt], at_once=True)
            try:
                async for updates in ticket.turns():
                    carry = updates[-1].carry
            finally:
                engine.release(ticket)
        self.text, self.carry, self.checkpoints = self.text[:position], carry, kept

    def describe(self, limits: Limits) -> dict[str, Any]:
        """What is told of it."""
        return {
            "id": self.id,
            "object": "session",
            "model": self.served.name,
            "text": self.text,
            "length": len(self.text),
            "bytes": self.bytes,
            "created": int(self.created),
            "expires": int(self.used + limits.session_seconds),
        }


class SessionStore:
    """All sessions, those used longest ago first."""

    def __init__(self, limits: Limits) -> None:
        """None yet."""
        self.limits = limits
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        """How many there are."""
        self._expire()
        return len(self._sessions)

    @property
    def bytes(self) -> int:
        """What they have together."""
        return sum(session.bytes for session in self._sessions.values())

    def add(self, session: Session) -> Session:
        """Keep a session; others go where there is no room."""
        self._sessions[session.id] = session
        self.make_room()
        return session

    def get(self, name: str) -> Session:
        """A session by its id, used now; ApiError where there is none."""
        self._expire()
        session = self._sessions.get(name)
        if session is None:
            message = "there is no such session: it was deleted, unused for too long, or never made"
            raise ApiError(404, message, code="session_not_found")
        session.used = time.time()
        self._sessions.move_to_end(name)
        return session

    @contextlib.contextmanager
    def using(self, name: str) -> Iterator[Session]:
        """A session for one request alone; ApiError while another has it."""
        session = self.get(name)
        if session.busy:
            raise ApiError(409, "another request is using this session", code="session_busy")
        session.busy = True
        try:
            yield session
        finally:
            session.busy, session.used = False, time.time()
            self.make_room()

    def delete(self, name: str) -> None:
        """Forget a session; ApiError where there is none, or it is in use."""
        with self.using(name):
            del self._sessions[name]

    def make_room(self) -> None:
        """Let go of what is too much, those used longest ago first, none that is in use."""
        self._expire()
        held = self.bytes
        for name, session in list(self._sessions.items())[:-1]:
            if len(self._sessions) <= self.limits.sessions and held <= self.limits.session_bytes:
                return
            if not session.busy:
                held -= session.bytes
                del self._sessions[name]

    def _expire(self) -> None:
        before = time.time() - self.limits.session_seconds
        for name, session in list(self._sessions.items()):
            if session.used < before and not session.busy:
                del self._sessions[name]

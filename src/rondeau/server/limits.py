"""How much of everything a server gives, to one request and to all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one server."""

    body: int = 2**21
    """Bytes of a request's body."""
    streams: int = 64
    """Texts of one model that are written at once, and of one request at most."""
    queue: int = 256
    """Texts of one model that wait for a place."""
    aside: int = 16
    """Requests that wait while a text is scored, filled or looked up."""
    seconds: float = 300
    """A request's time, waiting included."""
    body_seconds: float = 30
    """In which a body must arrive."""
    send_seconds: float = 60
    """In which a client must take what it is sent."""
    grace_seconds: float = 5
    """In which texts may be finished when the server is told to stop."""
    sessions: int = 1000
    """Sessions kept; the one that was used longest ago goes first."""
    session_bytes: int = 2**28
    """Bytes that they have together."""
    session_length: int = 100_000
    """Characters of one session."""
    session_seconds: float = 3600
    """How long a session is kept that nobody uses."""

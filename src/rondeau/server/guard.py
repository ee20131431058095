"""Who may ask, and how much: what is looked at before a request reaches its route.

A page of somebody else's, open in the user's browser, can send requests to this machine. So on a
loopback address the Host must be one of the loopback names (DNS rebinding), a request from another
origin is refused unless that was allowed, and bodies must be JSON, which a page can't send
elsewhere without asking. Bodies are read here, bounded in size and time.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rondeau.server.errors import ApiError
from rondeau.server.limits import Limits
from rondeau.server.metrics import Metrics

log = logging.getLogger("rondeau.server")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
KEYED = ("/v1/", "/tokenize", "/detokenize", "/tokenizer_info", "/metrics")
DISCARDED = 16
"""So many times the largest body are read and thrown away, so that a client hears its refusal."""
SECURITY = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask: with which key, under which names of this machine, from which other origins."""

    api_key: str | None = None
    hosts: Sequence[str] | None = LOOPBACK
    origins: Sequence[str] = ()


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits, metrics: Metrics) -> None:
        """Guard an application."""
        self.app, self.access, self.limits, self.metrics = app, access, limits, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or pass on the request with its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(scope, send, self.limits, self.metrics)
        body: bytes | None = None
        try:
            self._check(scope)
            body = await self._body(Headers(scope=scope), receive)
        except ApiError as error:
            await error.response()(scope, receive, answer)
            return
        except ConnectionError:
            return

        async def again() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            sent, body = body, None
            return {"type": "http.request", "body": sent, "more_body": False}

        try:
            await self.app(scope, again, answer)
        except _StalledError:
            log.warning("a client took nothing for %s s and was left", self.limits.send_seconds)

    def _check(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if self.access.hosts is not None and _name(host) not in self.access.hosts:
            raise ApiError(403, "the Host header names another machine", code="host")
        origin = headers.get("origin")
        own = f"{scope['scheme']}://{host}"
        if origin not in (None, own, *self.access.origins):
            message = "requests from another origin need rondeau serve --allow-origin"
            raise ApiError(403, message, code="origin")
        preflight = scope["method"] == "OPTIONS"
        if self.access.api_key and path.startswith(KEYED) and not preflight:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            given, wanted = key.strip().encode("latin-1"), self.access.api_key.encode()
            if scheme.lower() != "bearer" or not hmac.compare_digest(given, wanted):
                challenge = {"WWW-Authenticate": "Bearer"}
                message = "the API key is missing or wrong; send Authorization: Bearer KEY"
                raise ApiError(401, message, code="invalid_api_key", headers=challenge)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body; ApiError for one that is too large, too slow or of another kind."""
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size <= self.limits.body:
                        parts.append(part)
                    elif size > DISCARDED * self.limits.body:
                        more = False
        except TimeoutError:
            raise ApiError(408, "the body didn't arrive in time", code="slow") from None
        if size > self.limits.body:
            what = f"the body is larger than {self.limits.body:,} bytes"
            raise ApiError(413, what, code="too_large")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if size and kind != "application/json":
            raise ApiError(415, "the body's content type must be application/json")
        return b"".join(parts)


class _StalledError(Exception):
    """A client takes nothing of what it is sent."""


class _Answer:
    """`send`, with headers added, bounded in time, and counted."""

    def __init__(self, scope: Scope, send: Send, limits: Limits, metrics: Metrics) -> None:
        self.scope, self.send, self.limits, self.metrics = scope, send, limits, metrics

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
            route = self.scope.get("route")
            path = getattr(route, "path", None) or "other"
            self.metrics.requests.labels(path, str(message["status"])).inc()
        try:
            async with asyncio.timeout(self.limits.send_seconds):
                await self.send(message)
        except TimeoutError:
            raise _StalledError from None


def _name(host: str) -> str:
    """The name of a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""

"""How answers are sent: JSON, or events `data: {json}` and at the end `data: [DONE]`.

A vocabulary may hold half of a surrogate pair, which UTF-8 has no bytes for: it is sent as ?.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from rondeau.server.errors import ApiError

DOCUMENTED = {
    "text/event-stream": {
        "schema": {
            "description": "with `stream`: an event of JSON, or [DONE], which is the last",
            "type": "object",
            "properties": {"data": {"type": "string"}},
            "required": ["data"],
        }
    }
}
"""The content of a streamed answer, for the OpenAPI document."""


class Json(JSONResponse):
    """One JSON object."""

    def render(self, content: Any) -> bytes:
        """Its bytes."""
        return encoded(content)


class EventStream(StreamingResponse):
    """An answer of events; `close` is called at its end, however that comes."""

    def __init__(self, objects: AsyncIterator[dict[str, Any]], close: Callable[[], None]) -> None:
        """An ApiError among the objects is the last event but `[DONE]`."""
        super().__init__(_lines(objects), media_type="text/event-stream")
        self.close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.close()


async def _lines(objects: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    try:
        async for value in objects:
            yield event(value)
    except ApiError as error:
        yield event(error.body())
    yield b"data: [DONE]\n\n"


def event(value: dict[str, Any]) -> bytes:
    """One event."""
    return b"data: " + encoded(value) + b"\n\n"


def encoded(value: Any) -> bytes:
    """JSON in UTF-8, in one line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")

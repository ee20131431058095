"""The application: routes, errors, the page, and the guard around them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from rondeau.language_model import LanguageModel
from rondeau.server import analysis, catalogue, completions, errors, sessions
from rondeau.server.context import Context
from rondeau.server.guard import Access, Guard
from rondeau.server.limits import Limits
from rondeau.server.metrics import Metrics
from rondeau.server.models import Models
from rondeau.server.schemas import TOKEN_ID
from rondeau.server.store import SessionStore
from rondeau.version import __version__

PAGE = Path(__file__).parent / "page"


class Application:
    """An ASGI application with the models behind it."""

    def __init__(
        self,
        models: Sequence[LanguageModel],
        *,
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Serve models; OptionError where two have the same name."""
        access, limits = access or Access(), limits or Limits()
        metrics = Metrics()
        served, store = Models(models, limits, metrics), SessionStore(limits)
        self.context = Context(served, store, limits, metrics)
        self._watch()
        self.api = FastAPI(
            title="Rondeau",
            version=__version__,
            description="Recurrent language models: completions, sessions, scores, gaps.",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            lifespan=self._lifespan,
        )
        errors.install(self.api)
        for room in (completions, sessions, analysis, catalogue):
            self.api.include_router(room.routes(self.context))
        self._document(access)
        # Not mounted: a path of the API's with another method is no page.
        self.api.router.default = StaticFiles(directory=PAGE, html=True)
        inside: ASGIApp = self.api
        if access.origins:
            inside = CORSMiddleware(
                inside,
                allow_origins=access.origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["authorization", "content-type"],
            )
        self.app = Guard(inside, access, limits, metrics)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.context.models.start()
        yield
        await self.context.models.stop(0)

    def _watch(self) -> None:
        engines, sessions = self.context.models.engines, self.context.sessions
        watched: dict[str, tuple[str, Callable[[], float]]] = {
            "streams_running": ("Texts being written", lambda: sum(e.running for e in engines)),
            "streams_queued": ("Texts that wait", lambda: sum(e.queued for e in engines)),
            "sessions": ("Sessions kept", lambda: len(sessions)),
            "session_bytes": ("Bytes of them", lambda: sessions.bytes),
        }
        for name, (about, value) in watched.items():
            self.context.metrics.watch(f"rondeau_{name}", about, value)

    def _document(self, access: Access) -> None:
        """The OpenAPI document without FastAPI's own 422, which is never answered."""
        document = self.api.openapi()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        schemas: dict[str, Any] = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        bound_ids(
            schemas, max(len(s.model.tokenizer) for s in self.context.models.by_name.values())
        )
        bearer = {"type": "http", "scheme": "bearer"}
        if access.api_key is not None:
            document["components"]["securitySchemes"] = {"key": bearer}
            document["security"] = [{"key": []}]
        self.api.openapi_schema = document


def bound_ids(schema: Any, V: int) -> None:
    """Say in a document which ids there are: those of the largest vocabulary."""
    if isinstance(schema, dict):
        if schema.get("title") == TOKEN_ID:
            schema["maximum"] = V - 1
        for bias in schema.pop("patternProperties", {}).values():
            schema["propertyNames"] = {"pattern": f"^({below(V)})$"}
            schema["additionalProperties"] = bias
        for part in schema.values():
            bound_ids(part, V)
    elif isinstance(schema, list):
        for part in schema:
            bound_ids(part, V)


def below(count: int) -> str:
    """A regular expression for the whole numbers below one above 1."""
    last = str(count - 1)
    parts = ["0", last]
    if len(last) > 1:
        parts.append(f"[1-9][0-9]{{0,{len(last) - 2}}}")
    for at, digit in enumerate(last):
        least = 1 if at == 0 else 0
        if int(digit) > least:
            parts.append(f"{last[:at]}[{least}-{int(digit) - 1}][0-9]{{{len(last) - at - 1}}}")
    return "|".join(parts)

"""Whole calls of the library: a text scored, its gaps filled, its copies found."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from rondeau.formats import finite
from rondeau.generation.infill import Infilling
from rondeau.server.context import Context
from rondeau.server.errors import ApiError, declared
from rondeau.server.events import Json
from rondeau.server.schemas import (
    Infill,
    InfillRequest,
    Novelty,
    NoveltyRequest,
    Score,
    ScoreRequest,
)

MOST_GAPS = 50
ERRORS = declared(400, 404, 408, 413, 415, 429, 504)


def routes(context: Context) -> APIRouter:
    """The routes of one server."""
    router = APIRouter(prefix="/v1", tags=["texts"])
    aside = context.models.aside

    @router.post("/score", response_model=Score, responses=ERRORS)
    async def score(body: ScoreRequest, request: Request) -> Response:
        """The surprisal of a text, read as one document: the sum over documents is `evaluate`'s."""
        served = context.models.get(body.model)
        model, text = served.model, served.model.normalise(body.text)
        found = await context.answer(request, aside.call(lambda: model.score(text)))
        characters = [
            {
                "character": scored.character,
                "bits": scored.bits,
                "alternatives": [
                    {"character": c, "probability": p} for c, p in scored.alternatives
                ],
            }
            for scored in found.characters
        ]
        return Json(
            finite(
                {
                    "object": "score",
                    "model": served.name,
                    "bits": found.bits,
                    "bits_per_character": found.bits / len(text),
                    "bits_per_byte": found.bits / len(text.encode("utf-8", "surrogatepass")),
                    "unknown": model.unknown(text),
                    "characters": characters,
                }
            )
        )

    @router.post("/infill", response_model=Infill, responses=ERRORS)
    async def infill(body: InfillRequest, request: Request) -> Response:
        """A text with its gaps filled, the likeliest first; none where it has no gap."""
        served = context.models.get(body.model)
        settings = body.model_dump(exclude={"model", "text"})
        gaps = served.model.normalise(body.text).count(body.gap)
        if gaps > MOST_GAPS:
            message = f"text: {gaps} gaps, at most {MOST_GAPS} are filled"
            raise ApiError(400, message, param="text", code="too_many")
        found: list[Infilling] = []
        if gaps:
            filling = aside.call(lambda: served.model.infill(body.text, **settings))
            found = await context.answer(request, filling)
        fillings = [{"text": f.text, "filled": list(f.filled), "bits": f.bits} for f in found]
        return Json(finite({"object": "infill", "model": served.name, "fillings": fillings}))

    @router.post("/novelty", response_model=Novelty, responses=ERRORS)
    async def novelty(body: NoveltyRequest, request: Request) -> Response:
        """What of a text stands verbatim in the training text, and where."""
        served = context.models.get(body.model)
        if not served.has_copies:
            message = (
                "this model's run keeps no index of its training text; "
                "rondeau generate RUN --novelty makes it"
            )
            raise ApiError(404, message, param="model", code="unavailable")
        found = await context.answer(
            request, aside.call(lambda: served.model.novelty(body.text, body.prefix))
        )
        return Json({"object": "novelty", "model": served.name, **found.as_dict()})

    return router

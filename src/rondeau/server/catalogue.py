"""What there is to ask: models, their reports, their ids; the server's health and its numbers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from rondeau.server.choices import character
from rondeau.server.context import Context
from rondeau.server.errors import ApiError, declared
from rondeau.server.events import Json
from rondeau.server.models import Served
from rondeau.server.schemas import (
    Detokenized,
    DetokenizeRequest,
    Health,
    ModelList,
    ServedModel,
    TokenizeRequest,
    TokenizerInfo,
    Tokens,
)
from rondeau.text.tokenizer import BOS, SPECIALS
from rondeau.version import __version__

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)
"""A report brings its own style and pictures, and runs nothing."""
TEXT = {"text/plain": {"schema": {"type": "string"}}}
PAGE = {"text/html": {"schema": {"type": "string"}}}
ERRORS = declared(400, 404, 408, 413, 415)


def routes(context: Context) -> APIRouter:
    """The routes of one server."""
    router = APIRouter()
    models, limits = context.models, context.limits

    @router.get("/v1/models", response_model=ModelList, responses=declared(), tags=["OpenAI"])
    async def list_models() -> Response:
        """The runs that are served, the default one first."""
        data = [served.describe() for served in models.by_name.values()]
        return Json({"object": "list", "data": data})

    @router.get(
        "/v1/models/{model_id}",
        response_model=ServedModel,
        responses=declared(404),
        tags=["OpenAI"],
    )
    async def get_model(model_id: str) -> Response:
        """One of them."""
        return Json(models.get(model_id).describe())

    @router.get(
        "/v1/models/{model_id}/report",
        response_class=Response,
        responses={200: {"content": PAGE}, **declared(404)},
        tags=["models"],
    )
    async def get_report(model_id: str) -> Response:
        """The page of the run's training; it quotes the text."""
        served = models.get(model_id)
        if not served.has_report:
            raise ApiError(404, "this model's run has no report", code="no_report")
        headers = {"content-security-policy": REPORT_POLICY}
        return HTMLResponse(served.report(), headers=headers)

    @router.post("/tokenize", response_model=Tokens, responses=ERRORS, tags=["tokens"])
    async def tokenize(body: TokenizeRequest) -> Response:
        """The ids of a text, one a character; of a special token's name alone, that token's."""
        served = models.get(body.model)
        if body.prompt in SPECIALS:
            ids = [SPECIALS.index(body.prompt)]
        else:
            text = served.model.normalise(body.prompt)
            ids = [BOS] * body.add_special_tokens + served.model.tokenizer.encode(text).tolist()
        return Json({"tokens": ids, "count": len(ids), "max_model_len": limits.session_length})

    @router.post("/detokenize", response_model=Detokenized, responses=ERRORS, tags=["tokens"])
    async def detokenize(body: DetokenizeRequest) -> Response:
        """The text of ids: nothing for `<bos>`, U+FFFD for `<unk>`."""
        tokenizer = models.get(body.model).model.tokenizer
        if any(index >= len(tokenizer) for index in body.tokens):
            message = f"tokens: an id is outside the vocabulary of {len(tokenizer)}"
            raise ApiError(400, message, param="tokens")
        return Json({"prompt": "".join(character(tokenizer, i) for i in body.tokens)})

    @router.get(
        "/tokenizer_info", response_model=TokenizerInfo, responses=declared(404), tags=["tokens"]
    )
    async def tokenizer_info(model: str | None = None) -> Response:
        """The special tokens and the characters, in the order of their ids."""
        return Json(_tokenizer(models.get(model)))

    @router.get("/health", response_model=Health, responses=declared(), tags=["server"])
    async def health() -> Response:
        """Whether the server takes requests."""
        return Json({"status": "ok", "version": __version__})

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": TEXT}, **declared()},
        tags=["server"],
    )
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(context.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def _tokenizer(served: Served) -> dict[str, Any]:
    unk, bos, mask = SPECIALS
    tokenizer = served.model.tokenizer
    return {
        "tokenizer_class": "CharTokenizer",
        "unk_token": unk,
        "bos_token": bos,
        "eos_token": bos,
        "mask_token": mask,
        "pad_token": None,
        "vocab_size": len(tokenizer),
        "characters": "".join(tokenizer.characters),
    }

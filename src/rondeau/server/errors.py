"""Everything that goes wrong, in the form of OpenAI's API: one object with message and type.

No message holds a path, a line of code, or anything of another request's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from rondeau.errors import RunError, UserError

log = logging.getLogger("rondeau.server")
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "timeout_error",
}
"""The type of an error by its status."""


class ErrorDetail(BaseModel):
    """What went wrong: message, type, the field that is meant, and a short code."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """An error as it is answered."""

    error: ErrorDetail


class ApiError(Exception):
    """What a client is answered instead of a result."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """A status with what is said of it; param: the field that is meant."""
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        self.detail = {"message": message, "type": KINDS[status], "param": param, "code": code}

    def body(self) -> dict[str, Any]:
        """The JSON object."""
        return {"error": self.detail}

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body(), self.status, self.headers)


def busy(what: str) -> ApiError:
    """There is no place left, for now."""
    message = f"{what}: too many are waiting; try again in a second"
    return ApiError(429, message, code="busy", headers={"Retry-After": "1"})


def stopping() -> ApiError:
    """The server has been told to stop."""
    message = "the server is stopping; try again when it is back"
    return ApiError(503, message, code="stopping", headers={"Retry-After": "5"})


def of_user_error(error: UserError) -> ApiError:
    """What the library refuses, as the client's mistake; a run's message may name a path."""
    if isinstance(error, RunError):
        log.warning("%s", error)
        return ApiError(400, "this model's run hasn't got what that needs", code="unavailable")
    return ApiError(400, str(error), code="unsupported")


def of_validation(errors: Sequence[Any]) -> ApiError:
    """The first field of a body that isn't as the document says."""
    first = errors[0]
    # The kinds of a union stand in the place too, under the names of their classes.
    names = [part for part in first["loc"][1:] if isinstance(part, str) and part[:1].islower()]
    name = names[0] if names else None
    if first["type"] == "extra_forbidden":
        message = f"{name}: is not supported"
    elif first["type"] == "json_invalid":
        name, message = None, "the body is not JSON"
    elif first["type"] == "missing" and name is None:
        message = "a JSON object is needed as the body"
    else:
        message = f"{name or 'the body'}: {first['msg'].removeprefix('Value error, ')}"
    return ApiError(400, message, param=name, code=first["type"])


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer with, for the OpenAPI document."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({401, 403, 405, 500, 503, *statuses}):
        entry: dict[str, Any] = {"model": ErrorBody, "description": DESCRIPTIONS[status]}
        if status in (429, 503):
            header = {"description": "Seconds to wait", "schema": {"type": "string"}}
            entry["headers"] = {"Retry-After": header}
        found[status] = entry
    return found


DESCRIPTIONS = {
    400: "The request can't be served as it is",
    401: "The API key is missing or wrong",
    403: "The request comes from, or is meant for, another place",
    404: "There is no such model, session or page",
    405: "The path knows no such method",
    408: "The body didn't arrive in time",
    409: "The session is in use by another request",
    413: "The body is too large",
    415: "The body's content type isn't application/json",
    429: "Too many requests are waiting",
    500: "A failure of the server's",
    503: "The server is stopping",
    504: "The request took too long",
}


def _methods(app: FastAPI, request: Request) -> list[str]:
    """The methods that a request's path knows, all routes taken together."""

    def known(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes)

    return [method for method in ("DELETE", "GET", "HEAD", "POST") if known(method)]


def install(app: FastAPI) -> None:
    """Answer every exception in this form."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(UserError)
    async def user_error(request: Request, error: UserError) -> JSONResponse:
        return of_user_error(error).response()

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return of_validation(error.errors()).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        said = {404: "there is no such path", 405: "this path knows no such method"}
        message = said.get(error.status_code, "the request can't be read")
        status = error.status_code if error.status_code in KINDS else 400
        headers = dict(error.headers or {})
        if status == 405:
            headers["Allow"] = ", ".join(_methods(app, request)) or headers.get("Allow", "")
        return ApiError(status, message, headers=headers).response()

    @app.exception_handler(Exception)
    async def failure(request: Request, error: Exception) -> JSONResponse:
        # The server's own log has the traceback.
        return ApiError(500, "the server has failed; its log says why").response()

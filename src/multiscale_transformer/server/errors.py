"""Errors as answers: the right status, in the shape that the clients of each route read.

OpenAI clients read `{"error": {message, type, param, code}}`, Anthropic clients `{"type": "error", "error": {type, message}}`,
Ollama clients `{"error": text}`. Every handler raises `ApiError`
or `AxlError`; the shape follows from the path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from multiscale_transformer.errors import AxlError

ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "unavailable_error",
}


ANTHROPIC_TYPES = {413: "request_too_large", 500: "api_error", 503: "overloaded_error"}  # where its words are others


class StoppedError(AxlError):
    """A request that the server ended for a reason of its own, so that a client may try again."""


class ApiError(Exception):
    """An error with the status of its answer."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_after = status, message, param, code, retry_after


def as_api_error(error: AxlError) -> ApiError:
    """The answer to an error of the engine: 503 for what is the server's, 400 for what is the request's."""
    if isinstance(error, StoppedError):
        return ApiError(503, str(error), retry_after=1)
    return ApiError(400, str(error))


def error_body(path: str, error: ApiError) -> dict[str, Any]:
    """The body of an answer to `path`."""
    if path.startswith("/api/"):
        return {"error": error.message}
    kind = ERROR_TYPES.get(error.status, "invalid_request_error")
    if path.startswith("/v1/messages"):
        return {"type": "error", "error": {"type": ANTHROPIC_TYPES.get(error.status, kind), "message": error.message}}
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def error_response(path: str, error: ApiError) -> JSONResponse:
    """The answer to `path` with its status and headers."""
    headers: Mapping[str, str] = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(error_body(path, error), error.status, headers)


def too_large(max_body_bytes: int) -> ApiError:
    """The refusal of a body."""
    return ApiError(413, f"the body is larger than {max_body_bytes:,} bytes")


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure of a route an answer in its clients' shape."""

    @app.exception_handler(ApiError)
    async def _api_error(request: Request, error: ApiError) -> JSONResponse:
        return error_response(request.url.path, error)

    @app.exception_handler(AxlError)
    async def _axl_error(request: Request, error: AxlError) -> JSONResponse:
        return error_response(request.url.path, as_api_error(error))

    @app.exception_handler(RecursionError)
    @app.exception_handler(UnicodeEncodeError)
    async def _unreadable(request: Request, error: Exception) -> JSONResponse:
        return error_response(request.url.path, ApiError(400, f"the body cannot be read: {type(error).__name__}"))

    @app.exception_handler(ValidationError)  # of what a route makes out of a body: sampling, tools
    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError | ValidationError) -> JSONResponse:
        return error_response(request.url.path, _validation_error(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        answer = error_response(request.url.path, ApiError(error.status_code, _http_message(request, error)))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> JSONResponse:
        return error_response(request.url.path, ApiError(500, "the server has a defect; its log says more"))


def _validation_error(error: RequestValidationError | ValidationError) -> ApiError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {first.get('ctx', {}).get('error', message)}")
    return ApiError(400, f"{where or 'the body'}: {message}", param=where or None)


def _http_message(request: Request, error: HTTPException) -> str:
    if error.status_code == 404:
        return f"there is no {request.url.path} here; /docs lists what there is"
    if error.status_code == 413:
        return too_large(request.app.state.server.settings.max_body_bytes).message
    if error.status_code == 405:
        return f"{request.url.path} does not take {request.method}"
    return str(error.detail)

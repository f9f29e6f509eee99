"""Middleware: refuses foreign hosts, foreign pages, wrong keys and large bodies, and counts and logs every request.

These are plain ASGI layers, because the framework's own middleware would hide from the routes that a client has hung up. A page
on some website can make a browser send requests to 127.0.0.1: requests with a foreign Host (DNS rebinding) or a foreign
Origin are refused, so only pages of this machine get answers.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
from collections.abc import Collection, Iterable

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from multiscale_transformer.server.errors import ApiError, error_response, too_large
from multiscale_transformer.server.metrics import Metrics

LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?|(vscode-webview|vscode-file|app|tauri)://.*"
PUBLIC_PATHS = {"/", "/health", "/v1/health", "/v1/models", "/models", "/playground.css", "/playground.js"}

log = structlog.get_logger("axl.access")


class SecurityMiddleware:
    """Refuses foreign hosts, foreign pages, wrong keys and bodies whose stated length is too large.

    Bodies of unknown length are counted by starlette's RequestBodyLimitMiddleware.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], keys: Iterable[str], max_body_bytes: int) -> None:
        self._app, self._keys, self._max_body_bytes = app, [key.encode() for key in keys], max_body_bytes
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is not None:
            await error_response(scope["path"], refused)(scope, receive, send)
            return
        _set_json(scope)
        await self._app({**scope, "method": "GET"} if scope["method"] == "HEAD" else scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        if not self._is_permitted_host(headers.get("host", "")):
            return ApiError(403, "this host name is not the server's; start it with --allow-host to permit it")
        origin = headers.get("origin")
        if origin and not re.fullmatch(LOCAL_ORIGIN, origin) and not self._is_same_origin(origin, headers.get("host", "")):
            return ApiError(403, "pages of other sites are not answered")
        path = scope["path"]
        if self._keys and scope["method"] != "OPTIONS" and path not in PUBLIC_PATHS and not self._has_key(headers):
            return ApiError(
                401, "the API key is missing or wrong; send it as Authorization: Bearer KEY", code="invalid_api_key"
            )
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return too_large(self._max_body_bytes)
        return None

    def _is_permitted_host(self, host: str) -> bool:
        """Whether a host is a permitted name or an address; DNS rebinding needs a name."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        if name in self._hosts or "*" in self._hosts or name == "":
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    @staticmethod
    def _is_same_origin(origin: str, host: str) -> bool:
        return origin.split("://", 1)[-1] == host

    def _has_key(self, headers: Headers) -> bool:
        bearer = headers.get("authorization", "")
        given = [bearer[7:]] if bearer[:7].lower() == "bearer " else []
        given += [headers.get(name, "") for name in ("x-api-key", "api-key")]
        return any([hmac.compare_digest(value.encode("latin-1", "replace"), key) for value in given for key in self._keys])  # noqa: C419  # all of them


def _set_json(scope: Scope) -> None:
    """Every body here is JSON, and some clients (LiteLLM towards Ollama, curl) do not say so."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    scope["headers"] = [*headers, (b"content-type", b"application/json")]


class AccessLog:
    """Counts and logs each request when it has ended; the log never holds prompts or answers.

    Of the routes in `unlogged` it holds refusals and failures only.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, unlogged: Collection[str] = ()) -> None:
        self._app, self._metrics, self._unlogged = app, metrics, unlogged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, sent = time.monotonic(), 499, 0

        async def counting_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counting_send)
        except Exception:
            status = 500
            raise
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(seconds)
            if route not in self._unlogged or status >= 400:
                client = Request(scope).client
                log.info(
                    "request", method=scope["method"], route=route, status=status, ms=round(1000 * seconds, 1), bytes=sent,
                    client=client.host if client else "",
                )  # fmt: skip

"""One request through the gateway: read what it asks for, have it answered, and pass the answer on as it comes.

Streams are passed on event by event. When a member dies in the middle of one, its client gets one event that says so, and the
stream ends; nothing is asked again that a client has read from. When a client hangs up, so does the gateway towards the member.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import structlog
from starlette.datastructures import Headers as GivenHeaders
from starlette.types import Receive, Scope, Send

from multiscale_transformer.mesh.attempts import Attempts, Begun, MakeRequest
from multiscale_transformer.mesh.events import failure_event
from multiscale_transformer.mesh.routing import Target, wanted_of
from multiscale_transformer.mesh.upstream import LostError, UpstreamRequest
from multiscale_transformer.server.core.disconnects import CLIENT_CLOSED_REQUEST
from multiscale_transformer.server.core.routing import LARGE, check_shape
from multiscale_transformer.server.errors import ApiError, error_response

PASSED_ON = frozenset(b"accept accept-language user-agent anthropic-version anthropic-beta x-request-id traceparent".split())
NOT_PASSED_BACK = frozenset(b"date server access-control-allow-origin set-cookie".split())
SESSION_HEADER = "x-session-id"
MEMBER_HEADER = b"x-axl-member"

log = structlog.get_logger("axl.mesh")


class Proxy:
    """An ASGI application for every route that a member answers. At most `most` requests are at it."""

    def __init__(self, attempts: Attempts, most: int = 1024) -> None:
        self._attempts, self._most, self._now = attempts, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self._now >= self._most:
            error = ApiError(503, f"{self._most:,} requests are at the gateway, which is the most", retry_after=1)
            await error_response(scope["path"], error)(scope, receive, send)
            return
        self._now += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._now -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        answering = asyncio.ensure_future(self._passed_on(scope, body, send))
        leaving = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
            else:
                await error_response(scope["path"], ApiError(CLIENT_CLOSED_REQUEST, "the client has gone"))(
                    scope, receive, send
                )
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _passed_on(self, scope: Scope, body: bytes, send: Send) -> None:
        try:
            given = GivenHeaders(scope=scope)
            fields = await _parsed(body)
            wanted = wanted_of(fields, given.get(SESSION_HEADER), self._attempts.directory.members())
            begun = await self._attempts.begin(wanted, self._maker(scope, given, body, fields))
        except ApiError as error:
            await error_response(scope["path"], error)(scope, _nothing, send)
            return
        try:
            await self._pass_on(scope, begun, send)
        finally:
            self._attempts.finish(begun)

    def _maker(self, scope: Scope, given: GivenHeaders, body: bytes, fields: dict[str, Any]) -> MakeRequest:
        """Makes the request for a member: its name of the model, its key, and no header that is none of its business."""
        path = scope.get("raw_path") or scope["path"].encode()
        query = scope.get("query_string", b"")
        target = (path.split(b"?")[0] + (b"?" + query if query else b"")).decode("ascii", "replace")
        passed = [(name, value) for name, value in given.raw if name in PASSED_ON]

        def make(chosen: Target) -> UpstreamRequest:
            same = chosen.model is None or fields.get("model") == chosen.model
            content = body if same else json.dumps({**fields, "model": chosen.model}).encode()
            key = self._attempts.upstreams.authorization(chosen.member.said)
            headers = [*passed, *key, (b"content-type", b"application/json")]
            return UpstreamRequest(scope["method"], target, headers, content)

        return make

    async def _pass_on(self, scope: Scope, begun: Begun, send: Send) -> None:
        headers = [(name, value) for name, value in begun.headers if name not in NOT_PASSED_BACK]
        headers.append((MEMBER_HEADER, begun.target.member.said.name.encode()))
        if begun.reply is None:
            headers.append((b"content-length", b"%d" % len(begun.first)))
        await send({"type": "http.response.start", "status": begun.status, "headers": headers})
        if begun.reply is None or begun.cutter is None:
            await send({"type": "http.response.body", "body": begun.first})
            return
        traffic = self._attempts.traffic.of(begun.target.member.said)
        piece, last = begun.first, b""
        try:
            while True:
                if piece:
                    traffic.sent_bytes += len(piece)
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                came = await begun.reply.piece()
                if not came:
                    break
                piece = begun.cutter.feed(came)
            last = begun.cutter.rest()
        except LostError as error:
            last = self._broken(scope["path"], begun, str(error))
        await send({"type": "http.response.body", "body": last})

    def _broken(self, path: str, begun: Begun, reason: str) -> bytes:
        """The event that ends a stream whose member has died."""
        said = begun.target.member.said
        self._attempts.metrics.broken.inc()
        self._attempts.traffic.failed(said, reason)
        self._attempts.traffic.events.add(said.name, f"broke a stream off: {reason}")
        log.warning("a stream broke off", member=said.name, reason=reason)
        error = ApiError(502, f"the member that wrote this has broken off; ask again ({reason})", code="member_lost")
        return failure_event(path, begun.content_type, error)


async def _read(receive: Receive) -> bytes:
    """The body, whose length the middleware limits."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _parsed(body: bytes) -> dict[str, Any]:
    """The fields of a body. Raises ApiError for one that is no JSON object, or has too many parts."""
    if len(body) > LARGE:
        return await asyncio.to_thread(_fields, body)
    return _fields(body)


def _fields(body: bytes) -> dict[str, Any]:
    check_shape(body)
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "the body is no JSON object")
    return fields


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}

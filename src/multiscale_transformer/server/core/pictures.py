"""Pictures in requests, and answers about them, for the chat routes of every dialect.

A picture comes with the request, as base64: none is ever fetched from the network. A request has one, in whichever message.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from multiscale_transformer.server.core.disconnects import unless_disconnected
from multiscale_transformer.server.core.streams import NO_CACHE, StreamFormat
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.state import ServerState


@dataclass(frozen=True)
class Sight:
    """An answer about a picture: the text, and the bytes of the picture and of the text, which usage counts."""

    text: str
    picture_bytes: int

    @property
    def text_bytes(self) -> int:
        """As usage counts it."""
        return len(self.text.encode())


def from_url(url: str) -> bytes:
    """The picture in a data: URL. Raises ApiError for another address, or what is no base64."""
    head, _, content = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise ApiError(400, "image_url: pictures are not fetched; send one as data:image/png;base64,…", param="messages")
    return from_base64(content)


def from_base64(content: str) -> bytes:
    """The bytes behind base64. Raises ApiError for what is none, or nothing."""
    try:
        decoded = base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "messages: the picture is no base64", param="messages") from error
    if not decoded:
        raise ApiError(400, "messages: the picture is empty", param="messages")
    return decoded


async def look(http: Request, state: ServerState, name: str, pictures: Sequence[bytes], *, as_json: bool) -> Sight:
    """What the model `name` sees on the one picture of a request.

    Raises ApiError where there is not exactly one, AxlError for one that cannot be opened.
    """
    if len(pictures) != 1:
        raise ApiError(400, f"messages: {name} sees one picture a request, and {len(pictures)} are given", param="messages")
    seen = await unless_disconnected(http, state.seers.see(name, pictures[0]))
    return Sight(seen.answer(as_json=as_json), len(pictures[0]))


def answered(whole: Callable[[], dict[str, Any]], events: Callable[[], Iterator[str]], stream: StreamFormat | None) -> Response:
    """An answer that is complete already, as one body or as the events of a stream."""
    if stream is None:
        return JSONResponse(whole())
    frames = [stream.frame(event) for event in events()] + ([stream.done] if stream.done else [])
    return StreamingResponse(iter(frames), media_type=stream.media_type, headers=NO_CACHE)

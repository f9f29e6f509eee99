"""Answers about pictures in OpenAI's shape."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import Response

from multiscale_transformer.server.core.pictures import answered, from_url, look
from multiscale_transformer.server.core.streams import EVENTS, new_id
from multiscale_transformer.server.openai.schemas import envelope
from multiscale_transformer.server.state import ServerState

if TYPE_CHECKING:
    from multiscale_transformer.server.openai.chat import ChatBody


async def see_chat(body: ChatBody, http: Request, state: ServerState, name: str) -> Response:
    """What the model `name` sees: the layout and elements as text, or as JSON where a response_format asks for it."""
    urls = [url for message in body.messages for url in message.picture_urls()]
    sight = await look(http, state, name, [from_url(url) for url in urls], as_json=body.response_format.type != "text")
    answer, created = new_id("chatcmpl"), int(time.time())
    counts = {"prompt_tokens": sight.picture_bytes, "completion_tokens": sight.text_bytes}
    usage = {**counts, "total_tokens": sum(counts.values())}

    def of(kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return envelope(state, name, answer, created, kind, choices, **more)

    def whole() -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": sight.text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return of("chat.completion", [choice], usage=usage)

    def events() -> Iterator[str]:
        first = {"role": "assistant", "content": sight.text, "refusal": None}
        for delta, reason in ((first, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            yield json.dumps(of("chat.completion.chunk", [choice]))
        if body.stream_options.include_usage:
            yield json.dumps(of("chat.completion.chunk", [], usage=usage))

    return answered(whole, events, EVENTS if body.stream else None)

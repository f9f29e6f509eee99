"""Answers about pictures in Anthropic's shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import Response

from multiscale_transformer.server.core.pictures import answered, look
from multiscale_transformer.server.core.streams import NAMED_EVENTS, named_event, new_id
from multiscale_transformer.server.state import ServerState

if TYPE_CHECKING:
    from multiscale_transformer.server.anthropic.schemas import MessagesBody


async def see_message(body: MessagesBody, http: Request, state: ServerState, name: str) -> Response:
    """What the model `name` sees: the layout and elements as text, or as JSON where a format asks for it."""
    pictures = [picture for turn in body.messages for picture in turn.pictures()]
    sight = await look(http, state, name, pictures, as_json=body.output_config.format is not None)
    usage = {"input_tokens": sight.picture_bytes, "output_tokens": sight.text_bytes}
    usage |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    head = {"id": new_id("msg"), "type": "message", "role": "assistant", "model": name}
    ending = {"stop_reason": "end_turn", "stop_sequence": None}

    def whole() -> dict[str, Any]:
        return {**head, "content": [{"type": "text", "text": sight.text}], "usage": usage, **ending}

    def events() -> Iterator[str]:
        begun: dict[str, Any] = {
            **head,
            "content": [],
            "usage": {**usage, "output_tokens": 0},
            "stop_reason": None,
            "stop_sequence": None,
        }
        yield named_event("message_start", message=begun)
        yield named_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield named_event("content_block_delta", index=0, delta={"type": "text_delta", "text": sight.text})
        yield named_event("content_block_stop", index=0)
        yield named_event("message_delta", delta=ending, usage={"output_tokens": sight.text_bytes})
        yield named_event("message_stop")

    return answered(whole, events, NAMED_EVENTS if body.stream else None)

"""Answers about pictures in Ollama's shape."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import Response

from multiscale_transformer.server.core.pictures import answered, from_base64, look
from multiscale_transformer.server.core.streams import JSON_LINES
from multiscale_transformer.server.state import ServerState

if TYPE_CHECKING:
    from multiscale_transformer.server.ollama.schemas import ChatBody, GenerateBody


async def see_images(
    body: GenerateBody | ChatBody,
    http: Request,
    state: ServerState,
    name: str,
    images: list[str],
    rendering: Callable[[str], dict[str, Any]],
    stamp: Callable[[], str],
) -> Response:
    """What the model `name` sees; `rendering` puts the text into an answer, `stamp` says when it was made."""
    began = time.monotonic()
    sight = await look(http, state, name, [from_base64(image) for image in images], as_json=bool(body.format))
    took = max(0, int((time.monotonic() - began) * 1e9))
    end = {"done": True, "done_reason": "stop", "total_duration": took, "load_duration": 0}
    end |= {"prompt_eval_count": sight.picture_bytes, "prompt_eval_duration": took}
    end |= {"eval_count": sight.text_bytes, "eval_duration": 0}
    head = {"model": body.model_name or name, "created_at": stamp()}

    def whole() -> dict[str, Any]:
        return {**head, **rendering(sight.text), **end}

    def events() -> Iterator[str]:
        yield json.dumps({**head, **rendering(sight.text), "done": False})
        yield json.dumps({**head, **rendering(""), **end})

    return answered(whole, events, JSON_LINES if body.stream else None)

"""`GET /v1/models` and `POST /v1/embeddings`."""

from __future__ import annotations

import base64
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from multiscale_transformer.server.core.disconnects import unless_disconnected
from multiscale_transformer.server.core.embeddings import Vector, embed, shortened
from multiscale_transformer.server.core.schemas import Body, TokenId, prompts_of
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.runtime.registry import ModelEntry
from multiscale_transformer.server.state import server_state

router = APIRouter(tags=["OpenAI"])


class EmbeddingBody(Body):
    """OpenAI's CreateEmbeddingRequest."""

    model: str = ""
    input: str | list[TokenId] | list[str] | list[list[TokenId]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)


@router.get("/v1/models", summary="All models")
@router.get("/models", include_in_schema=False)
async def models(http: Request) -> dict[str, Any]:
    """The models that can be asked for, loaded or not."""
    return {"object": "list", "data": [_model_object(entry) for entry in server_state(http).registry.entries()]}


@router.get("/v1/models/{name:path}", summary="One model")
async def model(name: str, http: Request) -> dict[str, Any]:
    """A model by its name; 404 for another."""
    return _model_object(server_state(http).registry.find(name))


@router.post("/v1/embeddings", summary="Texts as vectors")
@router.post("/embeddings", include_in_schema=False)
async def embeddings(body: EmbeddingBody, http: Request) -> Response:
    """The mean of the net's last states over each text, of length 1."""
    state = server_state(http)
    entry = state.registry.find(body.model)
    width = entry.config.d_model
    if body.dimensions is not None and body.dimensions > width:
        raise ApiError(400, f"dimensions: the model has {width}", param="dimensions")
    async with state.models.use(entry) as model:
        vectors, count = await unless_disconnected(http, embed(state.models, model, prompts_of(body.input)))
    if body.dimensions is not None:
        vectors = [shortened(vector, body.dimensions) for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return JSONResponse({"object": "list", "data": data, "model": entry.name, "usage": usage})


def _model_object(entry: ModelEntry) -> dict[str, Any]:
    return {"id": entry.name, "object": "model", "created": entry.created, "owned_by": "axl"}


def _encoded(vector: Vector, encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]

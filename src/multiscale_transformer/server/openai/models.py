"""`GET /v1/models` and `POST /v1/embeddings`."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import MODEL_TYPE
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.disconnects import unless_disconnected
from multiscale_transformer.server.core.embeddings import Vector, embed, shortened
from multiscale_transformer.server.core.schemas import Body, TokenId, prompts_of
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.runtime.registry import ModelEntry
from multiscale_transformer.server.state import server_state

router = routing.router("OpenAI")


class EmbeddingBody(Body):
    """OpenAI's CreateEmbeddingRequest."""

    WITHOUT_EFFECT = frozenset({"user"})

    model: str = ""
    input: str | list[TokenId] | list[str] | list[list[TokenId]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)


@router.get("/v1/models", summary="All models")
@router.get("/models", include_in_schema=False)
async def models(http: Request) -> dict[str, Any]:
    """The models that can be asked for, loaded or not."""
    state = server_state(http)
    found = [_model_object(entry) for entry in state.registry.entries()]
    found += [_seer_object(name, folder) for name, folder in state.seers.folders.items()]
    ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"], "has_more": False}  # for Anthropic's clients
    return {"object": "list", "data": found, **ends}


@router.get("/api/v0/models", summary="All models, as LM Studio lists them")
async def lm_studio_models(http: Request) -> dict[str, Any]:
    """With what clients look for there: kind, state and context."""
    state = server_state(http)
    listed = [
        {
            "id": entry.name,
            "object": "model",
            "type": "llm",
            "publisher": "axl",
            "arch": MODEL_TYPE,
            "compatibility_type": "safetensors",
            "quantization": "Q8",
            "state": "loaded" if entry.folder in state.models.loaded else "not-loaded",
            "max_context_length": entry.config.max_seq_len,
        }
        for entry in state.registry.entries()
    ]
    return {"object": "list", "data": listed}


@router.get("/v1/models/{name:path}", summary="One model")
async def model(name: str, http: Request) -> dict[str, Any]:
    """A model by its name; 404 for another."""
    state = server_state(http)
    if seer := state.seers.named(name):
        return _seer_object(seer, state.seers.folders[seer])
    return _model_object(state.registry.named(name))


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
        vectors, count = await unless_disconnected(http, embed(model, prompts_of(body.input)))
    if body.dimensions is not None:
        vectors = [shortened(vector, body.dimensions) for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return JSONResponse({"object": "list", "data": data, "model": entry.name, "usage": usage})


def _model_object(entry: ModelEntry) -> dict[str, Any]:
    """As OpenAI has it; besides, Anthropic's fields, and the context where vLLM's clients look for it."""
    created = datetime.fromtimestamp(entry.created, UTC).isoformat().replace("+00:00", "Z")
    ours = {"id": entry.name, "object": "model", "created": entry.created, "owned_by": "axl"}
    return {**ours, "type": "model", "display_name": entry.name, "created_at": created, "max_model_len": _context(entry)}


def _seer_object(name: str, folder: Path) -> dict[str, Any]:
    """A model that sees: as another, but that it takes pictures."""
    return {**_model_object(ModelEntry(name, folder)), "capabilities": ["vision"]}


def _context(entry: ModelEntry) -> int | None:
    try:
        return entry.config.max_seq_len
    except AxlError:
        return None


def _encoded(vector: Vector, encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]

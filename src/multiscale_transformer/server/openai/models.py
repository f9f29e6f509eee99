"""`GET /v1/models` and `POST /v1/embeddings`."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.server.core.generation import unless_gone
from multiscale_transformer.server.core.prompts import MAX_PROMPT_BYTES, id_prompt, plain_prompt
from multiscale_transformer.server.core.schemas import Body
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.openai.completions import Id
from multiscale_transformer.server.runtime.model_manager import Loaded, Loader
from multiscale_transformer.server.runtime.registry import Entry
from multiscale_transformer.server.state import service_of

MAX_INPUTS = 2048

router = APIRouter(tags=["OpenAI"])


class EmbeddingBody(Body):
    """OpenAI's CreateEmbeddingRequest."""

    model: str = ""
    input: str | list[Id] | list[str] | list[list[Id]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)

    @property
    def inputs(self) -> list[str | list[int]]:
        """One or several, each a text or ids."""
        if isinstance(self.input, str):
            return [self.input]
        if self.input and isinstance(self.input[0], int):
            return [self.input]
        return list(self.input)  # type: ignore[arg-type]


def described(entry: Entry) -> dict[str, Any]:
    """OpenAI's model object."""
    return {"id": entry.name, "object": "model", "created": entry.created, "owned_by": "axl"}


@router.get("/v1/models", summary="All models")
@router.get("/models", include_in_schema=False)
async def models(http: Request) -> dict[str, Any]:
    """The models that can be asked for, loaded or not."""
    return {"object": "list", "data": [described(entry) for entry in service_of(http).catalogue.entries()]}


@router.get("/v1/models/{name:path}", summary="One model")
async def model(name: str, http: Request) -> dict[str, Any]:
    """A model by its name; 404 for another."""
    return described(service_of(http).catalogue.find(name))


@router.post("/v1/embeddings", summary="Texts as vectors")
@router.post("/embeddings", include_in_schema=False)
async def embeddings(body: EmbeddingBody, http: Request) -> Response:
    """The mean of the net's last states over each text, of length 1."""
    service = service_of(http)
    entry = service.catalogue.find(body.model)
    width = entry.config.d_model
    if body.dimensions is not None and body.dimensions > width:
        raise ApiError(400, f"dimensions: the model has {width}", param="dimensions")
    async with service.loader.use(entry) as loaded:
        vectors, count = await unless_gone(http, embed(service.loader, loaded, body.inputs))
    cut = [unit(vector[: body.dimensions]) if body.dimensions else vector for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
        for index, vector in enumerate(cut)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return JSONResponse({"object": "list", "data": data, "model": entry.name, "usage": usage})


async def embed(
    loader: Loader, model: Loaded, inputs: list[str | list[int]]
) -> tuple[list[np.ndarray[Any, np.dtype[np.float32]]], int]:
    """A vector (E,) for each text, and how many ids were read."""
    if not inputs or len(inputs) > MAX_INPUTS:
        raise ApiError(400, f"input: 1 to {MAX_INPUTS} texts, got {len(inputs)}", param="input")
    if any(len(given.encode("utf-8", "replace") if isinstance(given, str) else given) > MAX_PROMPT_BYTES for given in inputs):
        raise ApiError(400, f"input: a text may have {MAX_PROMPT_BYTES:,} bytes at most", param="input")
    context = model.config.max_seq_len
    prompts = [
        plain_prompt(given.encode("utf-8", "replace"), context) if isinstance(given, str) else id_prompt(given, context)
        for given in inputs
    ]
    memory = loader.memory(model, None)
    scans = [ScoreRequest(prompt.ids, memory, pool=True) for prompt in prompts]
    for scan in scans:  # one after the other: a batch of texts takes one place in the queue
        await model.worker.submit(scan, live=False).whole()
        await asyncio.sleep(0)
    return [scan.state for scan in scans if scan.state is not None], sum(len(scan.ids) for scan in scans)


def unit(vector: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vector at length 1."""
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _encoded(vector: np.ndarray[Any, np.dtype[np.float32]], form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]

"""Texts as vectors: the mean of the net's last states over each text, without a memory."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt

from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.server.core.prompts import MAX_PROMPT_BYTES, byte_count, literal_prompt
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.runtime.model_manager import LoadedModel

MAX_INPUTS = 2048  # texts of one request
MAX_TOTAL_BYTES = 1 << 20  # of all of them: about a minute of one core

Vector = npt.NDArray[np.float32]


async def embed(model: LoadedModel, inputs: list[str | list[int]]) -> tuple[list[Vector], int]:
    """A vector (E,) of length 1 for each text, and how many ids were read."""
    if not inputs or len(inputs) > MAX_INPUTS:
        raise ApiError(400, f"input: 1 to {MAX_INPUTS} texts, got {len(inputs)}", param="input")
    if any(byte_count(given) > MAX_PROMPT_BYTES for given in inputs):
        raise ApiError(400, f"input: a text may have {MAX_PROMPT_BYTES:,} bytes at most", param="input")
    if sum(map(byte_count, inputs)) > MAX_TOTAL_BYTES:
        raise ApiError(400, f"input: all texts of a request may have {MAX_TOTAL_BYTES:,} bytes; send less", param="input")
    prompts = [literal_prompt(given, model.config.max_seq_len) for given in inputs]
    requests = [ScoreRequest(prompt.ids, pool=True) for prompt in prompts]
    for request in requests:  # one after the other: a batch of texts takes one place in the queue
        await model.worker.submit(request, live=False).whole()
        await asyncio.sleep(0)
    return [request.state for request in requests if request.state is not None], sum(len(request.ids) for request in requests)


def shortened(vector: Vector, dimensions: int | None) -> Vector:
    """The first `dimensions` of a vector, at length 1."""
    cut = vector[:dimensions]
    unit: Vector = cut / max(float(np.linalg.norm(cut)), 1e-12)
    return unit

"""The status of the server in llama.cpp's routes, and its metrics. Bytes are the tokens."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response

from multiscale_transformer.model.sampling import DEFAULT_SAMPLING
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.state import server_state

router = routing.router("llama.cpp")


@router.get("/health", summary="Whether the server answers")
@router.get("/v1/health", include_in_schema=False)
async def health() -> dict[str, str]:
    """Public, also where keys are asked for."""
    return {"status": "ok"}


@router.get("/metrics", summary="Counters for Prometheus")
async def metrics(http: Request) -> Response:
    """Requests, bytes, times to the first byte, what runs and waits."""
    state = server_state(http)
    for model in state.models.loaded.values():
        running, waiting = model.worker.counts
        state.metrics.requests_running.labels(model.worker.name).set(running)
        state.metrics.requests_waiting.labels(model.worker.name).set(waiting)
    return PlainTextResponse(state.metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/props", summary="The server's settings")
async def props(http: Request) -> dict[str, Any]:
    """Of the first model. A token is a byte."""
    state = server_state(http)
    entry = state.registry.find(None)
    defaults = DEFAULT_SAMPLING.model_dump(exclude_unset=True)
    return {
        "default_generation_settings": {"n_ctx": entry.config.max_seq_len, "params": defaults},
        "total_slots": state.settings.limits.max_queue,
        "model_path": str(entry.folder),
        "model_alias": entry.name,
        "chat_template": state.template(entry).text,
        "bos_token": "<|bos|>",
        "eos_token": "<|eos|>",
        "token_unit": "byte",
        "modalities": {"vision": False, "audio": False},
        "projects": [{"name": name, "indexed": name in state.models.projects} for name in state.settings.projects],
        "build_info": state.fingerprint,
    }


@router.get("/slots", summary="What runs and waits")
async def slots(http: Request) -> list[dict[str, Any]]:
    """One line a loaded model."""
    loaded = server_state(http).models.loaded.values()
    counted = ((model.worker.name, model.config.max_seq_len, *model.worker.counts) for model in loaded)
    return [
        {"id": number, "model": name, "n_ctx": context, "is_processing": bool(running), "running": running, "waiting": waiting}
        for number, (name, context, running, waiting) in enumerate(counted)
    ]

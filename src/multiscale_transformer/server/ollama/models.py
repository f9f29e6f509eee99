"""Ollama's routes about models: what there is, what is loaded, and variants of them to make, copy and delete."""

from __future__ import annotations

import hashlib
import json
import math
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from multiscale_transformer.model.folder import MODEL_TYPE
from multiscale_transformer.model.vision_config import VISION_TYPE, read_vision_config, sees
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.ollama.go_templates import to_jinja
from multiscale_transformer.server.ollama.schemas import CopyBody, CreateBody, NamedBody, Options
from multiscale_transformer.server.runtime.registry import ModelEntry, Variant
from multiscale_transformer.server.state import server_state
from multiscale_transformer.zoo.prompt_formats import format_of

router = routing.router("Ollama")

OLLAMA_VERSION = "0.13.5"  # Codex asks for 0.13.4 at least, VS Code for 0.6.4
NEVER_SECONDS = 365 * 86_400  # from now, which stands for never
# Clients take .Suffix as a sign that the model fills in the middle.
_TEMPLATE = "{{{{ if .Suffix }}}}{{{{ .Suffix }}}}{{{{ else }}}}{go}{{{{ end }}}}"


@router.get("/api/version", summary="The server's version")
async def version() -> dict[str, str]:
    """That of the Ollama whose routes these are: clients refuse what is too old to have them."""
    return {"version": OLLAMA_VERSION}


@router.get("/api/tags", summary="All models")
async def tags(http: Request) -> dict[str, Any]:
    """The models that can be asked for, loaded or not."""
    state = server_state(http)
    seers = [ModelEntry(name, folder) for name, folder in state.seers.folders.items()]
    return {"models": [_listed(entry) for entry in (*state.registry.entries(), *seers)]}


@router.get("/api/ps", summary="Loaded models")
async def loaded(http: Request) -> dict[str, Any]:
    """The models in RAM, and until when."""
    state, listed = server_state(http), []
    for entry in state.registry.entries():
        model = state.models.loaded.get(entry.folder)
        if model is not None and entry.variant is None:
            left = min(model.expires - time.monotonic(), NEVER_SECONDS) if math.isfinite(model.expires) else NEVER_SECONDS
            until = _timestamp(time.time() + left)
            listed.append({**_listed(entry), "size": model.ram_bytes, "size_vram": 0, "expires_at": until})
    return {"models": listed}


@router.post("/api/show", summary="What is known of a model")
async def show(body: NamedBody, http: Request) -> dict[str, Any]:
    """Its size, context, options and what it can do."""
    state = server_state(http)
    if seer := state.seers.named(body.model_name):
        return _shown(ModelEntry(seer, state.seers.folders[seer]))
    entry = state.registry.named(body.model_name)
    config, variant = entry.config, entry.variant or Variant(folder=str(entry.folder))
    modelfile = [f"FROM {entry.folder}", *([f'SYSTEM """{variant.system}"""'] if variant.system else [])]
    options = [f"{name:<30} {json.dumps(value)}" for name, value in variant.options.items()]
    return {
        "modelfile": "\n".join(modelfile),
        "parameters": "\n".join(options),
        "template": _TEMPLATE.format(go=format_of(entry.folder).go),
        "system": variant.system,
        "details": _details(entry),
        "model_info": {
            "general.architecture": MODEL_TYPE,
            "general.basename": entry.name,
            "general.parameter_count": config.parameters(),
            f"{MODEL_TYPE}.context_length": config.max_seq_len,
            f"{MODEL_TYPE}.embedding_length": config.d_model,
            f"{MODEL_TYPE}.vocab_size": config.vocab_size,
            "tokenizer.ggml.model": "bytes",
        },
        "capabilities": ["completion", "insert", "tools", "embedding"],
        "modified_at": _timestamp(entry.created),
    }


def _shown(entry: ModelEntry) -> dict[str, Any]:
    """What is known of a model that sees."""
    info: dict[str, Any] = {"general.architecture": VISION_TYPE, "general.basename": entry.name}
    info["general.parameter_count"] = read_vision_config(entry.folder).parameters()
    head = {"modelfile": f"FROM {entry.folder}", "parameters": "", "template": "", "system": "", "details": _details(entry)}
    return {**head, "model_info": info, "capabilities": ["vision"], "modified_at": _timestamp(entry.created)}


@router.post("/api/create", summary="Make a variant of a model")
async def create(body: CreateBody, http: Request) -> Response:
    """The weights of `from` with another system prompt, template or default options, under a new name."""
    registry = server_state(http).registry
    if not body.from_:
        raise ApiError(400, "from: the name of the model to build on is missing", param="from")
    source = registry.named(body.from_)
    Options.model_validate(body.parameters)
    old = source.variant or Variant(folder=str(source.folder))
    template = to_jinja(body.template) if body.template else old.template
    options = {**old.options, **body.parameters}
    variant = Variant(folder=old.folder, system=body.system or old.system, template=template, options=options)
    registry.create(body.model_name, variant)
    return _statuses(["writing manifest", "success"], body.stream)


@router.post("/api/copy", summary="A second name for a model")
async def copy(body: CopyBody, http: Request) -> Response:
    """As Ollama's."""
    server_state(http).registry.copy(body.source, body.destination)
    return Response(status_code=200)


@router.delete("/api/delete", summary="Forget a variant")
async def delete(body: NamedBody, http: Request) -> Response:
    """Only what `create` or `copy` made: folders of weights are not touched."""
    if not body.model_name:
        raise ApiError(400, "model: a name is missing")
    server_state(http).registry.delete(body.model_name)
    return Response(status_code=200)


@router.post("/api/pull", summary="Nothing is downloaded")
async def pull(body: NamedBody, http: Request) -> Response:
    """Succeeds for a model that is here, so that clients that pull before they ask go on."""
    server_state(http).registry.named(body.model_name)
    return _statuses(["success"], True)


def _statuses(lines: list[str], stream: bool) -> Response:
    if not stream:
        return JSONResponse({"status": lines[-1]})
    return StreamingResponse((json.dumps({"status": line}) + "\n" for line in lines), media_type="application/x-ndjson")


def _listed(entry: ModelEntry) -> dict[str, Any]:
    name = entry.name if ":" in entry.name else f"{entry.name}:latest"
    digest = hashlib.sha256(f"{entry.name} {entry.folder} {entry.created}".encode()).hexdigest()
    size = entry.weight_bytes
    listed = {"name": name, "model": name, "modified_at": _timestamp(entry.created), "size": size, "digest": digest}
    return {**listed, "details": _details(entry)}


def _details(entry: ModelEntry) -> dict[str, Any]:
    count = (read_vision_config(entry.folder) if sees(entry.folder) else entry.config).parameters()
    size = f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}K"
    return {
        "parent_model": "" if entry.variant is None else entry.folder.name,
        "format": "safetensors",
        "family": MODEL_TYPE,
        "families": [MODEL_TYPE],
        "parameter_size": size,
        "quantization_level": "Q8",
    }


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()

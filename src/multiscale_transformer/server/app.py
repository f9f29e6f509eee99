"""Builds the application: routes, middleware, and what runs in the background between start and stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware

import multiscale_transformer
from multiscale_transformer.server import playground, skills
from multiscale_transformer.server.anthropic import messages as anthropic_messages
from multiscale_transformer.server.errors import install_error_handlers
from multiscale_transformer.server.llamacpp import completion as llamacpp_completion
from multiscale_transformer.server.llamacpp import status as llamacpp_status
from multiscale_transformer.server.llamacpp import texts as llamacpp_texts
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.middleware import LOCAL_ORIGIN, AccessLog, SecurityMiddleware
from multiscale_transformer.server.mistral import fim as mistral_fim
from multiscale_transformer.server.ollama import generate as ollama_generate
from multiscale_transformer.server.ollama import models as ollama_models
from multiscale_transformer.server.openai import chat, completions, responses
from multiscale_transformer.server.openai import models as openai_models
from multiscale_transformer.server.runtime.model_manager import ModelManager
from multiscale_transformer.server.runtime.registry import ModelRegistry
from multiscale_transformer.server.runtime.seers import Seers
from multiscale_transformer.server.settings import Settings
from multiscale_transformer.server.state import ServerState

UNLOAD_SECONDS = 1.0  # between two looks for models that nobody has used for as long as they are kept alive
REFRESH_SECONDS = 0.5  # between two looks for indexes that have changed
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
ROUTES = (
    completions,
    chat,
    responses,
    openai_models,
    anthropic_messages,
    mistral_fim,
    ollama_generate,
    ollama_models,
    llamacpp_completion,
    llamacpp_status,
    llamacpp_texts,
    skills,
    playground,
)

log = structlog.get_logger("axl.server")


def build_app(settings: Settings) -> FastAPI:
    """The server for these settings; models are loaded when they are first asked for."""
    metrics = Metrics()
    models = ModelManager(settings.limits, metrics, settings.indexes, settings.shipped)
    registry = ModelRegistry(dict(settings.models), settings.variants)
    app = FastAPI(title="AXL", version=multiscale_transformer.__version__, lifespan=_lifespan, docs_url=None, redoc_url=None)
    app.state.server = ServerState(registry, models, metrics, settings, Seers(settings.seers, settings.limits.max_queue))
    for module in ROUTES:
        app.include_router(module.router)
    install_error_handlers(app)
    _install_middleware(app, settings, metrics)
    return app


def _install_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """The last one added is the first that a request meets."""
    limit = settings.max_body_bytes
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=limit)
    app.add_middleware(SecurityMiddleware, hosts=(*LOCAL_HOSTS, *settings.hosts), keys=settings.keys, max_body_bytes=limit)
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=LOCAL_ORIGIN,
        allow_methods=["*"],
        allow_headers=["*"],
        max_age=600,
    )
    app.add_middleware(AccessLog, metrics=metrics)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: ServerState = app.state.server
    tasks = [asyncio.create_task(_unload_expired(state.models)), asyncio.create_task(_refresh_indexes(state.models))]
    for name, root in state.settings.projects.items():
        tasks.append(asyncio.create_task(_follow(root, name, state.models)))
    if state.settings.learning is not None:
        from multiscale_transformer.server.runtime.learning import learn_daily

        roots = list(state.settings.projects.values())
        tasks.append(asyncio.create_task(learn_daily(state.settings.learning, roots, state.registry, state.models)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await state.models.close()
        await asyncio.to_thread(state.seers.close)


async def _follow(root: Path, name: str, models: ModelManager) -> None:
    from multiscale_transformer.server.runtime.projects import Project, follow, project_index  # only projects need what reads

    try:
        await follow(Project(root, project_index(root)), name, models)
    except Exception:
        log.exception("a project is no longer followed", root=str(root))


async def _unload_expired(models: ModelManager) -> None:
    while True:
        await asyncio.sleep(UNLOAD_SECONDS)
        await models.unload_expired()


async def _refresh_indexes(models: ModelManager) -> None:
    """Open indexes anew that have changed; a failure with one of them does not end this task."""
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        try:
            await models.memories.refresh()
        except Exception:
            log.exception("indexes could not be read again")

"""The application: all routes, all manners, and what happens between start and stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

import multiscale_transformer
from multiscale_transformer.server import playground
from multiscale_transformer.server.errors import install_error_handlers
from multiscale_transformer.server.llamacpp import completion as llamacpp
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.middleware import LOCAL_ORIGIN, AccessLog, SecurityMiddleware
from multiscale_transformer.server.ollama import generate as ollama
from multiscale_transformer.server.ollama import models as ollama_models
from multiscale_transformer.server.openai import chat, completions, responses
from multiscale_transformer.server.openai import models as openai_models
from multiscale_transformer.server.runtime.model_manager import Limits, Loader
from multiscale_transformer.server.runtime.registry import Catalogue
from multiscale_transformer.server.state import Service

EXPIRY_SECONDS = 1.0
REFRESH_SECONDS = 0.5  # between two looks at whether an index has changed
log = structlog.get_logger("axl.server")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Settings:
    """What a server is started with. `kept` is where variants of models are kept."""

    models: dict[str, Path]
    kept: Path
    indexes: dict[str, Path] | None = None
    shipped: Path | None = None
    hosts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    body_bytes: int = 8 << 20
    hole_seconds: float | None = None
    most_seconds: float | None = None
    limits: Limits = field(default_factory=Limits)


def build_app(settings: Settings) -> FastAPI:
    """The server for these settings; models are loaded when they are first asked for."""
    metrics = Metrics()
    loader = Loader(settings.limits, metrics, settings.indexes, settings.shipped)
    catalogue = Catalogue(dict(settings.models), settings.kept)
    service = Service(catalogue, loader, metrics, settings.hole_seconds, settings.most_seconds)
    app = FastAPI(title="AXL", version=multiscale_transformer.__version__, lifespan=_lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    for part in (completions, chat, responses, openai_models, ollama, ollama_models, llamacpp, playground):
        app.include_router(part.router)
    install_error_handlers(app)
    _install_manners(app, settings, metrics, (*LOCAL_HOSTS, *settings.hosts))
    return app


def _install_manners(app: FastAPI, settings: Settings, metrics: Metrics, hosts: Iterable[str]) -> None:
    """The last one added is the first that a request meets."""
    app.add_middleware(SecurityMiddleware, hosts=hosts, keys=settings.keys, body_bytes=settings.body_bytes)
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
    service: Service = app.state.service
    watching = [asyncio.create_task(_expire(service)), asyncio.create_task(_refresh(service))]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await service.loader.close()


async def _expire(service: Service) -> None:
    while True:
        await asyncio.sleep(EXPIRY_SECONDS)
        await service.loader.expire()


async def _refresh(service: Service) -> None:
    """See that indexes have changed, whatever goes wrong with one of them."""
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        try:
            await service.loader.memories.refresh()
        except Exception:
            log.exception("indexes could not be read again")

"""The application of a registry and of a gateway: both route, a registry takes heartbeats besides."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

import structlog
from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match, Route
from starlette.types import Scope

import multiscale_transformer
from multiscale_transformer.errors import AxlError
from multiscale_transformer.mesh import routes
from multiscale_transformer.mesh.attempts import Attempts
from multiscale_transformer.mesh.follow import PATH, Followed
from multiscale_transformer.mesh.metrics import MeshMetrics
from multiscale_transformer.mesh.proxy import Proxy
from multiscale_transformer.mesh.registry import Directory, Registry
from multiscale_transformer.mesh.traffic import Traffic
from multiscale_transformer.mesh.upstreams import Upstreams
from multiscale_transformer.server.app import LOCAL_HOSTS
from multiscale_transformer.server.errors import install_error_handlers
from multiscale_transformer.server.middleware import LOCAL_ORIGIN, AccessLog, SecurityMiddleware

WATCH_SECONDS = 0.25  # between two looks at who is gone
ANSWERED_BY_MEMBERS = (
    "/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages", "/v1/messages/count_tokens",
    "/v1/fim/completions", "/completions", "/chat/completions", "/completion", "/infill", "/embedding", "/embeddings",
    "/tokenize", "/detokenize", "/apply-template", "/api/generate", "/api/chat", "/api/embed", "/api/embeddings", "/api/show",
)  # fmt: skip

log = structlog.get_logger("axl.mesh")


@dataclass(frozen=True)
class MeshSettings:
    """What a registry or gateway is started with.

    `token` is what members and gateways show each other, `keys` are what clients must send. `patience`, `hedge` and
    `silence` are seconds: how long a request waits for a member, when a second one is asked too, and how long an answer may
    pause.
    """

    token: str | None = None
    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    max_body_bytes: int = 8 << 20
    patience: float = 20.0
    hedge: float | None = None
    silence: float = 300.0


@dataclass
class MeshState:
    """What the routes share."""

    directory: Directory
    settings: MeshSettings
    on_start: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = MeshMetrics()
        self.traffic = Traffic(self.directory.events)
        self.upstreams = Upstreams(self.settings.token, self.settings.tls, self.settings.silence)

    @property
    def registry(self) -> Registry | None:
        """The registry, where this is one."""
        return self.directory if isinstance(self.directory, Registry) else None

    def end_requests(self) -> None:
        """End what still runs: streams get an event that says so."""
        self.upstreams.give_up()


class _Passed(Route):
    """A route that says its name to the log and the metrics, as those of FastAPI do."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is for it."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}


def build_app(directory: Directory, settings: MeshSettings) -> FastAPI:
    """The application for these members."""
    state = MeshState(directory, settings)
    lifespan = partial(_lifespan, state=state)
    app = FastAPI(
        title="AXL mesh", version=multiscale_transformer.__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.server = state
    app.include_router(routes.router)
    attempts = Attempts(directory, state.upstreams, state.traffic, state.metrics, settings.patience, settings.hedge)
    proxy = Proxy(attempts)
    app.router.routes.extend(_Passed(path, proxy, methods=["POST"]) for path in ANSWERED_BY_MEMBERS)
    install_error_handlers(app)
    limit, keys = settings.max_body_bytes, settings.keys and (*settings.keys, *filter(None, [settings.token]))
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=limit)
    app.add_middleware(SecurityMiddleware, hosts=(*LOCAL_HOSTS, *settings.hosts), keys=keys, max_body_bytes=limit)
    app.add_middleware(CORSMiddleware, allow_origin_regex=LOCAL_ORIGIN, allow_methods=["*"], allow_headers=["*"], max_age=600)
    app.add_middleware(AccessLog, metrics=state.metrics, unlogged=(PATH, "/mesh/status"))
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI, state: MeshState) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_watch(state))]
    if isinstance(state.directory, Followed):
        tasks.append(asyncio.create_task(state.directory.follow()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        state.upstreams.give_up()


async def _watch(state: MeshState) -> None:
    """Note who is gone, and break the requests that are at the dead."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            if state.registry is not None:
                state.registry.watch()
            members = list(state.directory.members())
            for name in await state.upstreams.bury(members, state.traffic.in_flight()):
                log.warning("requests at a dead member were broken off", member=name)
            state.traffic.keep_only({member.said.name for member in members})
            state.upstreams.keep_only({member.said.url for member in members})
        except AxlError:
            log.exception("the mesh could not be looked after")

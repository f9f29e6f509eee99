"""The routes that the mesh answers itself: heartbeats, the list of models, the status and the page, metrics, drain."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict

from multiscale_transformer.mesh import metrics
from multiscale_transformer.mesh.attempts import unknown
from multiscale_transformer.mesh.follow import PATH, Followed
from multiscale_transformer.mesh.members import LEASE_SECONDS, Announcement, Member
from multiscale_transformer.mesh.registry import Registry
from multiscale_transformer.mesh.skills import AUTO
from multiscale_transformer.server.errors import ApiError

if TYPE_CHECKING:
    from multiscale_transformer.mesh.app import MeshState

PAGE = Path(__file__).with_name("static") / "mesh.html"

router = APIRouter(include_in_schema=False)


class DrainBody(BaseModel):
    """Whether to drain, or no longer."""

    model_config = ConfigDict(extra="forbid")

    drain: bool = True


def _state(http: Request) -> MeshState:
    state: MeshState = http.app.state.server
    return state


def _authorized(http: Request) -> MeshState:
    """The state, for who has the token of the mesh. Raises ApiError (401)."""
    state = _state(http)
    given = http.headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1", "replace")
    if state.settings.token and not hmac.compare_digest(given, state.settings.token.encode()):
        raise ApiError(401, "the token of the mesh is missing or wrong; give it with --token", code="invalid_api_key")
    return state


def _registry(http: Request) -> Registry:
    registry = _authorized(http).registry
    if registry is None:
        raise ApiError(404, "this is a gateway; ask its registry")
    return registry


@router.post(PATH)
async def announce(said: Announcement, http: Request) -> dict[str, Any]:
    """A heartbeat; the answer says whether the member is drained, and where else to report."""
    registry, state = _registry(http), _state(http)
    if said.key and not state.settings.token:
        raise ApiError(400, "a mesh without a token carries no keys; start the registry and its members with --token")
    drained = registry.announce(said)
    return {"drained": drained, "peers": list(registry.peers), "lease": LEASE_SECONDS}


@router.get(PATH)
async def members(http: Request) -> dict[str, Any]:
    """The members with all that a gateway needs to know of them."""
    state = _authorized(http)
    return {"members": [member.as_json(secret=bool(state.settings.token)) for member in state.directory.members()]}


@router.delete(PATH + "/{name}")
async def leave(name: str, http: Request, forget: bool = False) -> dict[str, Any]:
    """A member says goodbye, or somebody wants it forgotten."""
    registry = _registry(http)
    (registry.forget if forget else registry.leave)(name)
    return {"name": name}


@router.post(PATH + "/{name}/drain")
async def drain(name: str, body: DrainBody, http: Request) -> dict[str, Any]:
    """Send nothing new to a member."""
    _registry(http).drain(name, drained=body.drain)
    return {"name": name, "drained": body.drain}


@router.get("/mesh/status")
async def status(http: Request) -> dict[str, Any]:
    """What the page and `axl mesh status` show."""
    state = _authorized(http)
    directory = state.directory
    rows = []
    for member in directory.members():
        rows.append({**member.as_json(secret=False), "traffic": state.traffic.of(member.said).as_json()})
    return {
        "role": "registry" if state.registry else "gateway",
        "now": time.time(),
        "lease": LEASE_SECONDS,
        "registries": directory.registries if isinstance(directory, Followed) else {},
        "members": rows,
        "models": sorted(_models(list(directory.members()))),
        "events": [{"at": at, "member": name, "what": what} for at, name, what in directory.events.latest],
    }


@router.get("/v1/models")
@router.get("/models")
async def models(http: Request) -> dict[str, Any]:
    """The models of all members that are up."""
    found = list(_models(list(_state(http).directory.members())).values())
    ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"], "has_more": False} if found else {}
    return {"object": "list", "data": found, **ends}


@router.get("/v1/models/{name:path}")
async def model(name: str, http: Request) -> dict[str, Any]:
    """One of them; 404 for another."""
    known = list(_state(http).directory.members())
    found = _models(known).get(name.removesuffix(":latest"))
    if found is None:
        raise ApiError(404, unknown(name, known), param="model", code="model_not_found")
    return found


@router.get("/api/tags")
async def tags(http: Request) -> dict[str, Any]:
    """The same for Ollama's clients."""
    found = _models(list(_state(http).directory.members()))
    return {"models": [{"name": f"{name}:latest", "model": f"{name}:latest", "size": 0, "details": {}} for name in found]}


def _models(members: list[Member]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    skilled = False
    for member in members:
        for offer in member.said.models if member.status in ("up", "draining") else ():
            created, skills = int(member.joined), found.get(offer.id, {}).get("skills", [])
            skilled = skilled or bool(offer.skills)
            ours = {"id": offer.id, "object": "model", "created": created, "owned_by": "axl", "type": "model"}
            merged = sorted({*skills, *offer.skills})
            found[offer.id] = {**ours, "display_name": offer.id, "max_model_len": offer.context, "skills": merged}
    if skilled and AUTO not in found:
        found[AUTO] = {"id": AUTO, "object": "model", "created": 0, "owned_by": "axl", "type": "model", "display_name": AUTO}
    return found


@router.get("/health")
@router.get("/v1/health")
async def health() -> dict[str, str]:
    """Whether the gateway itself answers."""
    return {"status": "ok"}


@router.get("/metrics")
async def all_metrics(http: Request) -> Response:
    """The metrics of the gateway and of all members."""
    state = _state(http)
    known = list(state.directory.members())
    state.metrics.set_members(known, state.traffic)
    text = await metrics.page(state.metrics, known, state.upstreams)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get("/")
async def page(http: Request) -> Response:
    """A page for browsers, a line for the rest."""
    if "text/html" not in http.headers.get("accept", ""):
        return PlainTextResponse("Ollama is running")  # the words that its clients compare
    text, policy = _page()
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return HTMLResponse(text, headers=headers)


@cache
def _page() -> tuple[str, str]:
    """The page, and a policy that permits its own script and style and nothing else."""
    text = PAGE.read_text(encoding="utf-8")
    digests = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
            for part in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return text, (
        f"default-src 'none'; script-src {digests['script']}; style-src {digests['style']}; connect-src 'self'; "
        "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )

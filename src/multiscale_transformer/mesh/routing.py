"""Which member answers a request: by model or by skill, then the least busy, where possible the one that knows its beginning.

Members keep the beginnings of what they read. Requests of one session therefore go to one member: by rendezvous hashing, which
needs no table, is the same in every gateway and moves only the sessions of a member that goes (Thaler & Ravishankar 1998), and
with bounded loads: a member that is busier than others by `SLACK` requests is passed over (Mirrokni et al. 2018).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multiscale_transformer.mesh.members import Member
from multiscale_transformer.mesh.skills import AUTO, PREFIX, skill_of, text_of
from multiscale_transformer.server.errors import ApiError

SLACK = 2  # requests by which the member of a session may be busier than the least busy one
BEGINNING = 512  # characters of a prompt by which requests are of one session
SESSION_FIELDS = ("session_id", "prompt_cache_key", "user")


@dataclass(frozen=True)
class Wanted:
    """What a request asks for: a model by its name, or any with a skill, or any at all; and the session it belongs to."""

    model: str | None
    skill: str | None
    session: bytes
    by_skill: bool = False  # the client asked for a skill and not for a model


@dataclass(frozen=True)
class Target:
    """Who is to answer, under which name of a model."""

    member: Member
    model: str | None


def wanted_of(body: Mapping[str, Any], session: str | None, members: Sequence[Member]) -> Wanted:
    """What a body asks for. Raises ApiError for a model that is no text and for a skill that nobody has."""
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise ApiError(400, "model: a text is needed", param="model")
    key = session_of(body, session)
    name = (model or "").removesuffix(":latest")
    if name.startswith(PREFIX):
        skill = name.removeprefix(PREFIX)
        if skill not in skills_of(members):
            known = ", ".join(sorted(skills_of(members))) or "none"
            raise ApiError(404, f"no member has the skill {skill!r}; there are: {known}", param="model")
        return Wanted(None, skill, key, by_skill=True)
    if name == AUTO or not name:
        offered = {skill for member in members if member.status == "up" for skill in skills_of([member])}
        return Wanted(None, skill_of(dict(body), offered), key, by_skill=name == AUTO)
    return Wanted(model, None, key)


def session_of(body: Mapping[str, Any], given: str | None) -> bytes:
    """What requests of one session have in common: the name that the client gives it, or how its text begins."""
    for name in (given, *(body.get(field) for field in SESSION_FIELDS)):
        if isinstance(name, str) and name:
            return b"name:" + name[:BEGINNING].encode("utf-8", "replace")
    system = body.get("system")
    messages = body.get("messages")
    first = [text_of(one.get("content")) for one in messages[:2] if isinstance(one, dict)] if isinstance(messages, list) else []
    prompt = body.get("prompt") or body.get("input") or body.get("input_prefix")
    text = "\n".join([text_of(system), *first, prompt if isinstance(prompt, str) else text_of(prompt)])
    if not text.strip():
        text = json.dumps(prompt, default=str)[:BEGINNING]
    return b"text:" + text[:BEGINNING].encode("utf-8", "replace")


def skills_of(members: Sequence[Member]) -> set[str]:
    """What these members are good at."""
    return {skill for member in members for offer in member.said.models for skill in offer.skills}


def target_for(member: Member, wanted: Wanted) -> Target | None:
    """How a member would answer a request; None where it cannot."""
    models = member.said.models
    if wanted.model is not None:
        offer = member.said.offer(wanted.model) or member.said.offer(wanted.model.removesuffix(":latest"))
        return None if offer is None else Target(member, offer.id)
    if wanted.skill is not None:
        skilled = next((offer for offer in models if wanted.skill in offer.skills), None)
        return None if skilled is None else Target(member, skilled.id)
    return Target(member, models[0].id) if models else None


def choose_target(
    wanted: Wanted, members: Sequence[Member], in_flight: Mapping[str, int], excluded: Collection[str] = ()
) -> Target | None:
    """Who shall answer, of those that are up and not excluded: the member of the session unless it is busier by `SLACK`."""
    targets = [
        target
        for member in members
        if member.status == "up" and member.said.name not in excluded and (target := target_for(member, wanted))
    ]
    if not targets:
        return None
    least = min(load_of(target.member, in_flight) for target in targets)
    light = [target for target in targets if load_of(target.member, in_flight) <= least + SLACK]
    return max(light, key=lambda target: _weight(wanted.session, target.member.said.name))


def load_of(member: Member, in_flight: Mapping[str, int]) -> int:
    """Requests that a member is busy with: what it said last, or what this gateway knows of, if that is more."""
    return max(member.said.running + member.said.waiting, in_flight.get(member.said.name, 0))


def is_known(wanted: Wanted, members: Sequence[Member]) -> bool:
    """Whether any member, gone or not, could answer."""
    return any(target_for(member, wanted) for member in members)


def _weight(session: bytes, name: str) -> bytes:
    return hashlib.blake2b(name.encode() + b"\0" + session, digest_size=8).digest()

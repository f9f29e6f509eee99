"""What a member says of itself: its name, its address, its models with their skills, and how busy it is.

An announcement is sent twice a second and is the whole of what a registry knows of a member. It holds no time: leases are
counted by the clock of the registry that heard it, so that clocks that disagree, or jump, change nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from multiscale_transformer.errors import AxlError

HEARTBEAT_SECONDS = 0.5
LEASE_SECONDS = 2.0  # without a heartbeat, after which nothing new is sent to a member
MAX_MODELS = 256  # of one member
Status = Literal["up", "draining", "ill", "gone"]
Skill = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_PRINTED = re.compile(r"[\x21-\x7e]+")


class _Said(BaseModel):
    """Fields that a newer member sends are no error."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ModelOffer(_Said):
    """A model of a member: its name, what it is good at, and how many tokens it reads."""

    id: str = Field(min_length=1, max_length=200)
    skills: tuple[Skill, ...] = Field((), max_length=32)
    context: int | None = Field(None, ge=1)


class Announcement(_Said):
    """A heartbeat.

    `incarnation` is another for every start of a process. `running` and `waiting` are requests at this moment. `key` is what
    the member wants to be sent as an API key, where that is not the token of the mesh.
    """

    name: str = Field(max_length=100)
    url: str = Field(max_length=300)
    models: tuple[ModelOffer, ...] = Field((), max_length=MAX_MODELS)
    incarnation: str = Field("", max_length=64)
    running: int = Field(0, ge=0, le=1_000_000)
    waiting: int = Field(0, ge=0, le=1_000_000)
    healthy: bool = True
    draining: bool = False
    key: str | None = Field(None, max_length=500, repr=False)

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a member: letters, digits, dots, colons, hyphens")
        return name

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("key")
    @classmethod
    def _is_header(cls, key: str | None) -> str | None:
        if key is not None and not _PRINTED.fullmatch(key):
            raise ValueError("a key is printed characters without spaces")
        return key

    def offer(self, model: str) -> ModelOffer | None:
        """Its model of this name."""
        return next((offer for offer in self.models if offer.id == model), None)

    @property
    def lasting(self) -> Announcement:
        """What does not change with every heartbeat, which is what is kept on the disk."""
        return self.model_copy(update={"running": 0, "waiting": 0})


@dataclass(frozen=True)
class Member:
    """A member as a registry has it: what it said last, since when it is known (Unix seconds), and what became of it.

    `silent` are the seconds since its last heartbeat; None where the registry has heard none since it started. `left` says that
    it is gone because it said goodbye: what is at it may still end well.
    """

    said: Announcement
    status: Status
    joined: float
    silent: float | None = None
    left: bool = False

    def as_json(self, *, secret: bool) -> dict[str, Any]:
        """For other processes; its key only where `secret`."""
        said = self.said.model_dump(mode="json", exclude=set() if secret else {"key"})
        return {**said, "status": self.status, "joined": self.joined, "silent": self.silent, "left": self.left}

    @classmethod
    def from_json(cls, fields: Any) -> Member | None:
        """What `as_json` wrote; None for anything else."""
        try:
            said, left = Announcement.model_validate(fields), fields.get("left") is True
            return cls(said, fields["status"], float(fields["joined"]), fields.get("silent"), left)
        except (ValidationError, LookupError, TypeError, ValueError):
            return None


def checked_url(url: str) -> str:
    """An address without a slash or /v1 at its end. Raises ValueError for what is none."""
    try:
        parts = urlsplit(url)
        fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, fine = urlsplit(""), False
    plain = not (parts.query or parts.fragment or parts.username or parts.password) and _PRINTED.fullmatch(url)
    if not (fine and plain and parts.scheme in ("http", "https") and parts.hostname and _HOST.fullmatch(parts.hostname)):
        raise ValueError(f"{url!r} is no address; write http://HOST:PORT")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def address(url: str, option: str) -> str:
    """An address that a person gave. Raises AxlError with the name of the option for what is none."""
    try:
        return checked_url(url)
    except ValueError as error:
        raise AxlError(f"{option}: {error}") from None

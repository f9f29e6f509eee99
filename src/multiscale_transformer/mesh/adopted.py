"""A server that knows nothing of meshes, as a member: this process looks after it, and speaks for it.

Any server that answers `GET /v1/models` as OpenAI's does will do. Its load is what gateways have at it.
"""

from __future__ import annotations

import secrets
import ssl
import threading
from collections.abc import Sequence

from multiscale_transformer.errors import AxlError
from multiscale_transformer.mesh.member import Membership, Say, ask, refusal
from multiscale_transformer.mesh.members import MAX_MODELS, Announcement, ModelOffer

PROBE_SECONDS = 1.0  # between two looks at the server
WAIT_SECONDS = 2.0


class Adopted:
    """The server that gateways reach at `url` and this process at `looked_at`; it wants to be sent `key`."""

    def __init__(
        self, name: str, url: str, skills: tuple[str, ...], key: str | None, tls: ssl.SSLContext | None, looked_at: str
    ) -> None:
        self._url, self._skills, self._key, self._tls = looked_at, skills, key, tls
        self._said = Announcement(name=name, url=url, incarnation=secrets.token_hex(8), healthy=False, key=key)

    def describe(self) -> Announcement:
        """As it was when it was last looked at."""
        return self._said

    def look(self) -> str:
        """Look at the server, and say how it stands."""
        try:
            rows = ask("GET", f"{self._url}/v1/models", self._key, self._tls, seconds=WAIT_SECONDS)["data"][:MAX_MODELS]
            offers = tuple(ModelOffer(id=str(row["id"]), skills=self._skills) for row in rows)
        except (OSError, ValueError, LookupError, TypeError) as error:
            self._said = self._said.model_copy(update={"healthy": False})
            return f"{self._url}: ill ({refusal(error) if isinstance(error, OSError | ValueError) else error})"
        fresh = (
            {} if self._said.healthy else {"incarnation": secrets.token_hex(8)}
        )  # so that no gateway holds the past against it
        self._said = self._said.model_copy(update={"healthy": True, "models": offers, **fresh})
        return f"{self._url}: {', '.join(offer.id for offer in offers) or 'no models'}"


def adopt(
    adopted: Adopted, registries: Sequence[str], token: str | None, tls: ssl.SSLContext | None, say: Say, end: threading.Event
) -> None:
    """Report for a server until `end`."""
    membership, said = Membership(registries, adopted.describe, token, tls, say), ""
    try:
        while not end.is_set():
            now = adopted.look()
            if now != said:
                say(now)
            if not said:
                membership.start()
            said = now
            end.wait(PROBE_SECONDS)
    finally:
        membership.leave()


def default_name(url: str) -> str:
    """What a server is called that nobody named. Raises AxlError where its address makes no name."""
    name = url.split("://", 1)[-1].replace("[", "").replace("]", "").replace("/", "-")
    try:
        return Announcement(name=name, url=url).name
    except ValueError:
        raise AxlError(f"{url} makes no name of a member; give one with --name") from None

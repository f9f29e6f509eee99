"""What a member does: it tells every registry twice a second that it is there, and says goodbye when it ends.

The heartbeats have threads of their own, one for each registry, so that neither a model that computes nor a registry that does
not answer keeps them from the others.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

from multiscale_transformer.mesh.follow import PATH
from multiscale_transformer.mesh.members import HEARTBEAT_SECONDS, Announcement, ModelOffer, checked_url
from multiscale_transformer.server.state import ServerState

SECONDS = 1.0  # to wait for a registry
MAX_REGISTRIES = 8
MAX_ANSWER_BYTES = 1 << 20

Describe = Callable[[], Announcement]
Say = Callable[[str], None]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token is sent to the address that was given, and to no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def ask(
    method: str, url: str, token: str | None, tls: ssl.SSLContext | None, body: Any = None, seconds: float = SECONDS
) -> Any:
    """A request to a registry or a server, and the JSON of the answer.

    Raises OSError where nobody answers (urllib's HTTPError, one of them, for an error as an answer), ValueError for no JSON.
    """
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    secure = urllib.request.HTTPSHandler(context=tls)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect, secure)
    try:
        with opener.open(request, timeout=seconds) as answer:
            return json.loads(answer.read(MAX_ANSWER_BYTES))
    except HTTPException as error:  # which is no OSError
        raise OSError(f"what answers at {url} speaks no HTTP: {type(error).__name__}") from error


def refusal(error: OSError | ValueError) -> str:
    """What an error of `ask` says, in words."""
    if isinstance(error, urllib.error.HTTPError):
        try:
            return str(json.loads(error.read(10_000))["error"]["message"])
        except (OSError, ValueError, LookupError, TypeError):
            return f"status {error.code}"
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)


class Membership:
    """The heartbeats of one member. `say` is told what changes; it is called from other threads."""

    def __init__(
        self, registries: Sequence[str], describe: Describe, token: str | None, tls: ssl.SSLContext | None, say: Say
    ) -> None:
        self._describe, self._token, self._tls, self._say = describe, token, tls, say
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._given = list(registries)
        self.drained_by: set[str] = set()

    def start(self) -> None:
        """Begin to report."""
        for url in self._given:
            self._report_to(url)

    def leave(self) -> None:
        """Say goodbye to all registries, and report no more."""
        self._ended.set()
        end = time.monotonic() + 3 * SECONDS
        for thread in list(self._threads.values()):
            thread.join(max(0.0, end - time.monotonic()))

    def _report_to(self, url: str) -> None:
        with self._lock:
            if url in self._threads or len(self._threads) >= MAX_REGISTRIES:
                return
            thread = self._threads[url] = threading.Thread(target=self._run, args=(url,), name="axl-mesh", daemon=True)
        thread.start()

    def _run(self, url: str) -> None:
        said = ""
        while not self._ended.is_set():
            now = self._beat(url)
            if now != said:
                self._say(f"{url}: {now}")
                said = now
            self._ended.wait(HEARTBEAT_SECONDS)
        with contextlib.suppress(OSError, ValueError):  # else the lease runs out
            ask("DELETE", f"{url}{PATH}/{quote(self._describe().name)}", self._token, self._tls)

    def _beat(self, url: str) -> str:
        """One heartbeat, and how it stands."""
        try:
            body = self._describe().model_dump(mode="json")
            body["draining"] = body["draining"] or bool(self.drained_by - {url})
            answer = ask("POST", url + PATH, self._token, self._tls, body)
            drained, peers = bool(answer.get("drained")), [checked_url(str(peer)) for peer in answer.get("peers", ())]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            return f"not in the mesh ({refusal(error) if isinstance(error, OSError | ValueError) else error}); trying on"
        (self.drained_by.add if drained else self.drained_by.discard)(url)
        for peer in peers:
            self._report_to(peer)
        return "in the mesh, and drained: nothing new comes" if drained else f"in the mesh as {body['name']}"


def server_described(state: ServerState, name: str, url: str, skills: tuple[str, ...]) -> Describe:
    """How a server of this process describes itself."""
    incarnation = secrets.token_hex(8)

    def describe() -> Announcement:
        counts = [model.worker.counts for model in list(state.models.loaded.values())]
        offers = tuple(ModelOffer(id=entry.name, skills=skills) for entry in state.registry.entries())
        return Announcement(
            name=name,
            url=url,
            models=offers,
            incarnation=incarnation,
            running=sum(running for running, _ in counts),
            waiting=sum(waiting for _, waiting in counts),
        )

    return describe


def own_address(registry: str, host: str, port: int, scheme: str) -> str:
    """The address by which others reach a server of this machine: of a wildcard, the one that leads to the registry."""
    if host in ("0.0.0.0", "::"):
        parts = urlsplit(registry)
        try:
            family, kind, protocol, _, target = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind, protocol) as looking:
                looking.connect(target)  # of datagrams: nothing is sent
                host = looking.getsockname()[0]
        except OSError:
            host = socket.gethostname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

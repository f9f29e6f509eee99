"""Getting a request answered: at one member, and where that fails before the answer has begun, at another.

What may have run is not sent for ever: a request that takes members down with it is given up after `MAX_SENT`. Where no member
is left that could answer, the request waits for one to come back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from multiscale_transformer.mesh.events import JSON_LINES, EventCutter, is_stream
from multiscale_transformer.mesh.members import Member
from multiscale_transformer.mesh.metrics import MeshMetrics
from multiscale_transformer.mesh.registry import Directory
from multiscale_transformer.mesh.routing import Target, Wanted, choose_target, is_known
from multiscale_transformer.mesh.traffic import Traffic
from multiscale_transformer.mesh.upstream import Headers, LostError, Reply, UnreachableError, UpstreamRequest
from multiscale_transformer.mesh.upstreams import Upstreams
from multiscale_transformer.server.errors import ApiError

MAX_SENT = 5  # members that one request is sent to, where each dies over it
MAX_WHOLE = 16 << 20  # bytes of an answer that is no stream
LOOK_SECONDS = 0.1  # between two looks for a member, where none is left
LONGEST_PAUSE = 1.6  # between two rounds of asking members that are busy
BUSY, BROKEN = (429, 503), (502, 504)  # of an answer that another member may give better

MakeRequest = Callable[[Target], UpstreamRequest]


@dataclass
class Begun:
    """An answer that has begun: its head, and of a stream its first events, of any other all of it."""

    target: Target
    status: int
    headers: Headers
    content_type: bytes
    first: bytes
    reply: Reply | None = None  # of a stream: where the rest comes from
    cutter: EventCutter | None = None


@dataclass(frozen=True)
class Attempts:
    """How requests find an answer.

    `patience` is how long one waits for a member, `hedge` when a second one is asked, in seconds.
    """

    directory: Directory
    upstreams: Upstreams
    traffic: Traffic
    metrics: MeshMetrics
    patience: float = 20.0
    hedge: float | None = None

    async def begin(self, wanted: Wanted, make: MakeRequest) -> Begun:
        """The beginning of the answer, whoever gives it.

        Raises ApiError: 404 for what nobody has, 503 where nobody came in time, 502 where `MAX_SENT` members broke off.
        """
        deadline, sent, tried, reason = time.monotonic() + self.patience, 0, set[str](), "none has been up since"
        refusal: Begun | None = None
        pause = LOOK_SECONDS
        while True:
            target = self._choose(wanted, tried)
            if target is None:
                if refusal is not None and (refusal.status == 429 or time.monotonic() > deadline):
                    return refusal
                await self._wait(wanted, deadline, reason, pause)
                pause = LOOK_SECONDS if refusal is None else min(2 * pause, LONGEST_PAUSE)
                tried.clear()
                continue
            try:
                begun = await self._hedged(target, wanted, make, tried)
            except UnreachableError as error:
                reason = str(error)
                tried.add(target.member.said.name)
                continue
            except LostError as error:
                reason, sent = f"{target.member.said.name}: {error}", sent + 1
                tried.add(target.member.said.name)
                self.metrics.retries.inc()
                if sent >= MAX_SENT:
                    raise ApiError(502, f"{sent} members broke off before they answered; the last was {reason}") from None
                continue
            if begun.status in BUSY or begun.status in BROKEN:
                tried.add(begun.target.member.said.name)
                refusal, reason = begun, f"{begun.target.member.said.name} answers with status {begun.status}"
                sent += begun.status in BROKEN
                if sent >= MAX_SENT:
                    return refusal
                continue
            return begun

    def _choose(self, wanted: Wanted, tried: set[str]) -> Target | None:
        members = self.directory.members()
        shut = {member.said.name for member in members if not self.traffic.of(member.said).breaker.permits()}
        return choose_target(wanted, members, self.traffic.in_flight(), tried | shut)

    async def _wait(self, wanted: Wanted, deadline: float, reason: str, pause: float) -> None:
        members = self.directory.members()
        name = wanted.model or (f"the skill {wanted.skill}" if wanted.skill else "any model")
        if not is_known(wanted, members):
            raise ApiError(404, unknown(name, members), param="model", code="model_not_found")
        if time.monotonic() > deadline:
            raise ApiError(503, f"no member that serves {name} answers now ({reason}); try again", retry_after=2)
        await asyncio.sleep(pause)

    async def _hedged(self, target: Target, wanted: Wanted, make: MakeRequest, tried: set[str]) -> Begun:
        """Ask one member and, where it is slow and that is wished for, a second; the first that begins to answer does."""
        if self.hedge is None:
            return await self._ask(target, make)
        asking: set[asyncio.Future[Begun]] = {asyncio.ensure_future(self._ask(target, make))}
        winner: Begun | None = None
        try:
            done, _ = await asyncio.wait(asking, timeout=self.hedge)
            other = None if done else self._choose(wanted, tried | {target.member.said.name})
            if other is not None:
                self.metrics.hedges.inc()
                asking.add(asyncio.ensure_future(self._ask(other, make)))
            winner = await _first(asking)
            return winner
        finally:
            for task in asking:
                task.cancel()
            for answer in await asyncio.gather(*asking, return_exceptions=True):
                if isinstance(answer, Begun) and answer is not winner:
                    self.finish(answer)

    async def _ask(self, target: Target, make: MakeRequest) -> Begun:
        """The beginning of one member's answer; what goes wrong is held against the member."""
        said = target.member.said
        traffic = self.traffic.of(said)
        breaker = traffic.breaker
        breaker.begin()
        traffic.in_flight += 1
        asked, begun = time.monotonic(), None
        try:
            begun = await self._beginning(target, make(target))
        except UnreachableError as error:
            self.traffic.failed(said, str(error), at_once=True)
            raise
        except LostError as error:
            self.traffic.failed(said, str(error))
            raise
        except BaseException:
            breaker.abandoned()
            raise
        else:
            if begun.status in BROKEN:
                self.traffic.failed(said, f"status {begun.status}")
            else:
                breaker.succeeded()
            traffic.answered += 1
            seconds = time.monotonic() - asked
            traffic.first_byte_seconds.append(seconds)
            self.metrics.member_first_byte.labels(said.name).observe(seconds)
            return begun
        finally:
            if begun is None or begun.reply is None:
                traffic.in_flight -= 1

    async def _beginning(self, target: Target, request: UpstreamRequest) -> Begun:
        reply = await self.upstreams.of(target.member.said).send(request)
        kept = False
        try:
            kind = reply.content_type
            if not is_stream(kind):
                return Begun(target, reply.status, reply.headers, kind, await reply.whole(MAX_WHOLE))
            cutter, first = EventCutter(kind.startswith(JSON_LINES)), b""
            while not first and (piece := await reply.piece()):
                first = cutter.feed(piece)
            kept = True
            return Begun(target, reply.status, reply.headers, kind, first, reply, cutter)
        finally:
            if not kept:
                reply.close()

    def finish(self, begun: Begun) -> None:
        """The answer was read to its end, or its client has gone."""
        if begun.reply is not None:
            begun.reply.close()
            begun.reply = None
            self.traffic.of(begun.target.member.said).in_flight -= 1


def unknown(name: str, members: Sequence[Member]) -> str:
    """What to say about a model that no member has."""
    names = sorted({offer.id for member in members for offer in member.said.models})
    return f"{name!r} is not in the mesh; there are: {', '.join(names[:12]) or 'no models yet'}"


async def _first(asking: set[asyncio.Future[Begun]]) -> Begun:
    """The first answer that began. Raises what the last one failed with, where all did."""
    waiting, failure = set(asking), None
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is None:
                return task.result()
            failure = error
    assert failure is not None
    raise failure

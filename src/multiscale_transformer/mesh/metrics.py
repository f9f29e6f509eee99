"""Metrics for Prometheus: the gateway's own, and on the same page those of all members, told apart by the label `member`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from multiscale_transformer.mesh.members import Member
from multiscale_transformer.mesh.traffic import Traffic
from multiscale_transformer.mesh.upstream import LostError, UnreachableError, UpstreamRequest
from multiscale_transformer.mesh.upstreams import Upstreams
from multiscale_transformer.server.metrics import BUCKETS, Metrics

OWN = "gateway"  # what the label says of the gateway's own
MAX_PAGE_BYTES = 4 << 20
MAX_SAMPLES = 20_000  # of one member
SECONDS = 1.0  # to wait for a member's page
_FINE = (0.001, 0.002, 0.003, *BUCKETS)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class MeshMetrics(Metrics):
    """The counters of a gateway; requests are counted as a server counts them."""

    def __init__(self) -> None:
        super().__init__()
        registry = self.registry
        self.retries = Counter("axl_mesh_retries", "Answers that broke off before they began.", registry=registry)
        self.hedges = Counter("axl_mesh_hedges", "Second requests because the first was slow.", registry=registry)
        self.broken = Counter("axl_mesh_broken_streams", "Streams that broke off in the middle.", registry=registry)
        self.member_first_byte = Histogram(
            "axl_mesh_first_byte_seconds", "From request to first byte.", ["upstream"], buckets=_FINE, registry=registry
        )
        self.status = Gauge("axl_mesh_members", "Members, by what became of them.", ["status"], registry=registry)
        self.in_flight = Gauge("axl_mesh_in_flight", "Requests at a member.", ["upstream"], registry=registry)

    def set_members(self, members: Iterable[Member], traffic: Traffic) -> None:
        """How it stands now."""
        counts = dict.fromkeys(("up", "draining", "ill", "gone"), 0)
        self.in_flight.clear()
        for member in members:
            counts[member.status] += 1
            self.in_flight.labels(member.said.name).set(traffic.of(member.said).in_flight)
        for status, count in counts.items():
            self.status.labels(status).set(count)


async def page(own: MeshMetrics, members: Sequence[Member], upstreams: Upstreams) -> bytes:
    """All metrics as one text; `axl_mesh_member_scraped` says whose are in it."""
    asked = [member for member in members if member.status != "gone"]
    texts = await asyncio.gather(*(_text_of(member, upstreams) for member in asked))
    by_member = {member.said.name: text for member, text in zip(asked, texts, strict=True)}
    return await asyncio.to_thread(merged, own.text().decode(), by_member)


def merged(own: str, members: Mapping[str, str | None]) -> bytes:
    """One text of those of several; a member whose text is none, or cannot be read, has nothing in it but that."""
    families: dict[str, Metric] = {}
    scraped = Metric("axl_mesh_member_scraped", "Whether the page holds the metrics of a member.", "gauge")
    _add(families, own, OWN)
    for name, text in members.items():
        fine = text is not None and _add(families, text, name)
        scraped.add_sample(scraped.name, {"member": name}, float(fine))
    registry = CollectorRegistry()
    registry.register(_Given([*families.values(), scraped]))
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _add(families: dict[str, Metric], text: str, member: str) -> bool:
    """Add the samples of a text; False, and nothing added, where it is none or is too long."""
    found, count = [], 0
    try:
        for family in text_string_to_metric_families(text):
            found.append(family)
            count += len(family.samples)
            if count > MAX_SAMPLES or not _NAME.fullmatch(family.name):
                return False
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):  # the parser checks little
        return False
    for family in found:
        name = family.name.removesuffix("_total")  # a counter without its type is another family to the parser
        into = families.setdefault(name, Metric(family.name, family.documentation, family.type))
        for sample in family.samples:
            labels = {("exported_member" if name == "member" else name): value for name, value in sample.labels.items()}
            into.add_sample(sample.name, {**labels, "member": member}, sample.value)
    return True


async def _text_of(member: Member, upstreams: Upstreams) -> str | None:
    request = UpstreamRequest("GET", "/metrics", upstreams.authorization(member.said), b"")
    try:
        async with asyncio.timeout(SECONDS):
            reply = await upstreams.of(member.said).send(request)
            try:
                body = await reply.whole(MAX_PAGE_BYTES)
            finally:
                reply.close()
    except (UnreachableError, LostError, TimeoutError):
        return None
    return body.decode("utf-8", "replace") if reply.status == 200 else None

"""What the server counts, for Prometheus: requests, bytes read and written, times to the first byte, what runs and waits."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.375, 0.75, 1.5, 3, 6, 12, 30, 60)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        kept = self.registry
        self.requests = Counter("axl_requests", "Answers, by route and status.", ["route", "status"], registry=kept)
        self.seconds = Histogram("axl_request_seconds", "From request to last byte.", ["route"], buckets=SECONDS, registry=kept)
        self.first_byte = Histogram(
            "axl_first_byte_seconds", "From request to first byte.", ["model"], buckets=SECONDS, registry=kept
        )
        self.read = Counter("axl_prompt_bytes", "Bytes of prompts.", ["model"], registry=kept)
        self.written = Counter("axl_written_bytes", "Bytes written.", ["model"], registry=kept)
        self.running = Gauge("axl_requests_running", "Requests in the batch.", ["model"], registry=kept)
        self.waiting = Gauge("axl_requests_waiting", "Requests that wait.", ["model"], registry=kept)
        self.loaded = Gauge("axl_model_bytes", "Memory that a loaded model may take.", ["model"], registry=kept)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)

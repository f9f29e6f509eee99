"""The server's metrics, for Prometheus: requests, bytes read and written, times to the first byte, what runs and waits.

`middleware.AccessLog` counts requests, `runtime.worker` counts bytes, `/metrics` (`llamacpp.status`) shows them.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.375, 0.75, 1.5, 3, 6, 12, 30, 60)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter("axl_requests", "Answers, by route and status.", ["route", "status"], registry=registry)
        self.request_seconds = Histogram(
            "axl_request_seconds", "From request to last byte.", ["route"], buckets=BUCKETS, registry=registry
        )
        self.first_byte_seconds = Histogram(
            "axl_first_byte_seconds", "From request to first byte.", ["model"], buckets=BUCKETS, registry=registry
        )
        self.prompt_bytes = Counter("axl_prompt_bytes", "Bytes of prompts.", ["model"], registry=registry)
        self.written_bytes = Counter("axl_written_bytes", "Bytes written.", ["model"], registry=registry)
        self.requests_running = Gauge("axl_requests_running", "Requests in the batch.", ["model"], registry=registry)
        self.requests_waiting = Gauge("axl_requests_waiting", "Requests that wait.", ["model"], registry=registry)
        self.model_bytes = Gauge("axl_model_bytes", "RAM that a loaded model may take.", ["model"], registry=registry)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)

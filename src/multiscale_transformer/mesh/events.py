"""Streams as they pass through the gateway: whole events only, so that what comes after a broken one can be read.

A member that dies leaves half an event behind. Sent on, it would spoil the event in which the gateway says what happened. The
gateway therefore holds back what stands behind the last end of an event, which is nearly always nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from multiscale_transformer.server.errors import ApiError, error_body

MAX_HELD = 1 << 20  # bytes of one event, behind which it is sent in pieces after all
EVENT_STREAM, JSON_LINES = b"text/event-stream", b"application/x-ndjson"


@dataclass
class EventCutter:
    """Cuts what comes from a member behind events."""

    lines: bool
    _held: bytes = b""

    @property
    def _ends(self) -> tuple[bytes, ...]:
        return (b"\n",) if self.lines else (b"\n\n", b"\r\n\r\n")

    def _last_end(self, data: bytes) -> int:
        return max((data.rfind(end) + len(end) for end in self._ends if end in data), default=0)

    def feed(self, piece: bytes) -> bytes:
        """Whole events out of what has come so far."""
        data = self._held + piece if self._held else piece
        end = len(data) if data.endswith(self._ends) else self._last_end(data)
        if len(data) - end > MAX_HELD:
            end = len(data)
        self._held = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        """What a stream that ended properly has behind its last event."""
        held, self._held = self._held, b""
        return held


def is_stream(content_type: bytes) -> bool:
    """Whether an answer comes as events."""
    return content_type.startswith((EVENT_STREAM, JSON_LINES))


def failure_event(path: str, content_type: bytes, error: ApiError) -> bytes:
    """The last event of a stream that broke off, in the shape that the clients of `path` read."""
    body = json.dumps(error_body(path, error)).encode()
    if content_type.startswith(JSON_LINES):
        return body + b"\n"
    name = b"event: error\n" if path.startswith(("/v1/messages", "/v1/responses")) else b""
    return name + b"data: " + body + b"\n\n"

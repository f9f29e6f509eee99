"""Streams through the gateway: nothing is lost or reordered, only whole events pass, and what ends a broken one can be read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.mesh.events import MAX_HELD, EventCutter, failure_event, is_stream
from multiscale_transformer.server.errors import ApiError

PIECES = st.lists(st.text(alphabet="ab\n\r:", max_size=12).map(str.encode), max_size=12)


@given(PIECES, st.booleans())
def test_all_passes_in_order_and_every_piece_ends_where_an_event_ends(pieces: list[bytes], lines: bool) -> None:
    cutter = EventCutter(lines)
    out = [cutter.feed(piece) for piece in pieces]
    assert b"".join(out) + cutter.rest() == b"".join(pieces)
    assert cutter.rest() == b""
    ends = (b"\n",) if lines else (b"\n\n", b"\r\n\r\n")
    assert all(not piece or piece.endswith(ends) for piece in out)


@given(PIECES)
def test_what_can_pass_does_so_at_once(pieces: list[bytes]) -> None:
    """Behind the last end of an event nothing is whole."""
    cutter, came, passed = EventCutter(lines=False), b"", b""
    for piece in pieces:
        came += piece
        passed += cutter.feed(piece)
        assert not any(end in came[len(passed) :] for end in (b"\n\n", b"\r\n\r\n"))


def test_an_event_without_end_is_passed_on_after_all() -> None:
    cutter = EventCutter(lines=False)
    assert cutter.feed(b"x" * MAX_HELD) == b""
    assert len(cutter.feed(b"x")) == MAX_HELD + 1


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/infill", "/v1/messages", "/v1/responses", "/api/chat"]
)
def test_what_ends_a_broken_stream_is_one_event_in_the_shape_of_the_route(path: str) -> None:
    kind = b"application/x-ndjson" if path.startswith("/api/") else b"text/event-stream"
    event = failure_event(path, kind, ApiError(502, "gone\nfor good")).decode()
    assert is_stream(kind)
    if path.startswith("/api/"):
        assert json.loads(event) == {"error": "gone\nfor good"}
        return
    assert event.endswith("\n\n")
    assert event.count("\n\n") == 1
    data = json.loads(next(line[6:] for line in event.splitlines() if line.startswith("data: ")))
    assert data["error"]["message"] == "gone\nfor good"
    assert event.startswith("event: error\n") == path.startswith(("/v1/messages", "/v1/responses"))

"""The client towards members: answers in any pieces, in every framing, and what becomes of broken ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.mesh.upstream import HIGH_WATER, LostError, UnreachableError, Upstream, UpstreamRequest

GET = UpstreamRequest("POST", "/v1/completions", [(b"x-a", b"b"), (b"connection", b"close"), (b"host", b"evil")], b"{}")
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def with_server(answer: Answer, use: Callable[[Upstream], Awaitable[None]], silence: float = 5.0) -> int:
    """Use a server that answers each connection so; returns how many connections came."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", silence=silence)
    try:
        await use(upstream)
    finally:
        upstream.close_idle()
        server.close()
    return count


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(2)


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@given(
    st.binary(min_size=1, max_size=300), st.integers(1, 40), st.integers(1, 60), st.sampled_from(["length", "chunked", "close"])
)
def test_answers_come_whole_in_whatever_pieces(body: bytes, size: int, cut: int, framing: str) -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: Text/Plain\r\n"
    head += {"length": b"Content-Length: %d\r\n" % len(body), "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}[
        framing
    ]
    data = head + b"\r\n" + (chunked(body, size) if framing == "chunked" else body)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for at in range(0, len(data), cut):
            writer.write(data[at : at + cut])
            await asyncio.sleep(0)

    async def use(upstream: Upstream) -> None:
        reply = await upstream.send(GET)
        assert (reply.status, reply.content_type) == (200, b"text/plain")
        assert await reply.whole(1000) == body
        reply.close()

    asyncio.run(with_server(answer, use))


def test_connections_are_kept_and_hop_by_hop_headers_are_not_sent() -> None:
    heads = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            heads.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def use(upstream: Upstream) -> None:
        for _ in range(3):
            reply = await upstream.send(GET)
            assert await reply.whole(10) == b"ok"
            reply.close()

    assert asyncio.run(with_server(answer, use)) == 1
    assert b"x-a: b" in heads[0]
    assert b"connection" not in heads[0]
    assert b"evil" not in heads[0]


def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")  # of the next request, which it does not answer

    async def use(upstream: Upstream) -> None:
        for _ in range(3):
            reply = await upstream.send(GET)
            assert await reply.whole(10) == b"ok"
            reply.close()

    assert asyncio.run(with_server(answer, use)) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200",
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500_000,
        b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_lost_before_it_began(data: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)

    async def use(upstream: Upstream) -> None:
        with pytest.raises(LostError):
            await upstream.send(GET)

    asyncio.run(with_server(answer, use))


@pytest.mark.parametrize("rest", [b"Content-Length: 9\r\n\r\npart", b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"])
def test_what_breaks_off_gives_what_came_and_says_so(rest: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + rest)

    async def use(upstream: Upstream) -> None:
        reply = await upstream.send(GET)
        found = await reply.piece()
        assert found == b"part"
        with pytest.raises(LostError):
            await reply.piece()
        reply.close()

    asyncio.run(with_server(answer, use))


def test_a_member_that_is_given_up_breaks_off_before_and_after_the_head() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        await asyncio.sleep(30)

    async def use(upstream: Upstream) -> None:
        asking = asyncio.ensure_future(upstream.send(GET))
        await asyncio.sleep(0.05)
        assert len(upstream.silent(0.0)) == 1
        upstream.give_up("it is dead")
        with pytest.raises(LostError, match="it is dead"):
            await asking
        assert not upstream.silent(0.0)
        reply = await upstream.send(GET)
        assert await reply.piece() == b"part"
        upstream.give_up("it is dead", silence=60.0)  # it was heard of since
        reading = asyncio.ensure_future(reply.piece())
        await asyncio.sleep(0.05)
        upstream.give_up("it is dead")
        with pytest.raises(LostError, match="it is dead"):
            await reading
        reply.close()

    asyncio.run(asyncio.wait_for(with_server(answer, use), 20))


@pytest.mark.parametrize("broken", [b"zz\r\n", b"5\r\nhelloXX"])
def test_a_broken_chunk_in_a_later_packet_ends_the_answer(broken: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.1)
        writer.write(broken)
        await asyncio.sleep(30)

    async def use(upstream: Upstream) -> None:
        reply = await upstream.send(GET)
        assert await reply.piece() == b"hello"
        with pytest.raises(LostError, match="HTTP"):
            await reply.whole(100)
        reply.close()

    asyncio.run(asyncio.wait_for(with_server(answer, use), 20))


def test_a_request_whose_answer_had_begun_is_not_sent_again() -> None:
    count = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while not reader.at_eof():
            await read_request(reader)
            count += 1
            if count == 2:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
                await writer.drain()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def use(upstream: Upstream) -> None:
        reply = await upstream.send(GET)
        assert await reply.whole(10) == b"ok"
        reply.close()
        with pytest.raises(LostError):
            await upstream.send(GET)

    asyncio.run(asyncio.wait_for(with_server(answer, use), 20))
    assert count == 2


def test_a_cancelled_request_gives_its_connection_back() -> None:
    """Cancelled in the very turn in which the head comes, too."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        assert await reader.read() == b"", "the connection is closed"

    async def use(upstream: Upstream) -> None:
        for _ in range(20):
            asking = asyncio.ensure_future(upstream.send(GET))
            while not any(connection.head.done() for connection in upstream._busy if connection.head):
                await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert not upstream._busy

    asyncio.run(asyncio.wait_for(with_server(answer, use), 20))


@pytest.mark.parametrize("url", ["http://a..b", "http://.:80", "http://" + "a" * 70])
def test_names_that_are_none_lead_nowhere(url: str) -> None:
    async def use() -> None:
        with pytest.raises(UnreachableError):
            await Upstream(url).send(GET)

    asyncio.run(use())


def test_nobody_there_is_told_from_somebody_who_breaks_off() -> None:
    async def use() -> None:
        with pytest.raises(UnreachableError):
            await Upstream("http://127.0.0.1:9").send(GET)

    asyncio.run(use())


def test_silence_ends_an_answer_and_a_slow_reader_does_not() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        await asyncio.sleep(30)

    async def use(upstream: Upstream) -> None:
        reply = await upstream.send(GET)
        await asyncio.sleep(0.6)  # it has come, and nobody has read it yet
        assert await reply.piece() == b"part"
        with pytest.raises(LostError, match="nothing came"):
            await reply.piece()
        reply.close()

    asyncio.run(asyncio.wait_for(with_server(answer, use, silence=0.2), 20))


def test_a_slow_reader_holds_the_member_up_instead_of_filling_memory() -> None:
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while sent < 100_000_000:
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async def use(upstream: Upstream) -> None:
        reply = await upstream.send(GET)
        await asyncio.sleep(0.5)
        held = sum(map(len, reply.connection.pieces))
        assert HIGH_WATER <= held < 16 * HIGH_WATER
        assert sent < 50_000_000
        reply.close()

    asyncio.run(with_server(answer, use))

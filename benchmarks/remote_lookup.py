"""What a look-up in a memory on another machine costs, beside one here: the figures of docs/adr/0010.

    python -m benchmarks.remote_lookup FOLDER…

A server thread looks up and sends what it found over a TCP connection of this machine; counted is the CPU time of both ends,
the least of several rounds, so that other work on the machine does not count. What a network adds is then arithmetic: one
round trip a question, and the bytes at 1 Gbit/s.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.memory.lookup import CorpusMemory, warm_up
from multiscale_transformer.memory.reader import MemoryFeatures, TextReader, no_features
from multiscale_transformer.memory.shard import build_shard

PIECES = (1, 16, 256, 2048)  # ids of a question: one is what decoding asks, 2048 a window of training
BYTES, ROUNDS = 4096, 5
TRIPS_MS = (0.0, 0.2, 1.0)
WIRE_BYTES_PER_SECOND = 1e9 / 8


def served(memory: CorpusMemory, end: socket.socket) -> None:
    """Answer questions until the connection ends: a count (0 begins a new text) and that many ids."""
    stream, reader = end.makefile("rwb"), _reader(memory)
    while head := stream.read(4):
        (count,) = struct.unpack("<I", head)
        if not count:
            reader = _reader(memory)
            continue
        found = reader.read(np.frombuffer(stream.read(2 * count), np.uint16).tolist())
        for part in found:
            stream.write(part.tobytes())
        stream.flush()


def asked(end: socket.socket) -> Callable[[list[int]], MemoryFeatures]:
    """A look-up at the other end of a connection."""
    stream = end.makefile("rwb")

    def read(ids: list[int]) -> MemoryFeatures:
        stream.write(struct.pack("<I", len(ids)) + np.asarray(ids, np.uint16).tobytes())
        if not ids:
            return no_features(0)
        stream.flush()
        found = no_features(len(ids))
        for part in found:
            stream.readinto(part.data)
        return found

    return read


def microseconds(text: list[int], piece: int, fresh: Callable[[], Callable[[list[int]], MemoryFeatures]]) -> float:
    """CPU time of a position, both ends together."""
    best = float("inf")
    for _ in range(ROUNDS):
        read = fresh()
        begin = time.process_time()
        for at in range(0, len(text), piece):
            read(text[at : at + piece])
        best = min(best, time.process_time() - begin)
    return best / len(text) * 1e6


def _reader(memory: CorpusMemory) -> TextReader:
    return TextReader(memory)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a row for each size of a question."""
    options = argparse.ArgumentParser()
    options.add_argument("folders", nargs="+")
    corpus = load_corpus(options.parse_args(arguments).folders)
    warm_up()
    names = zip(corpus.train.names, (corpus.train[number] for number in range(len(corpus.train))), strict=True)
    memory = CorpusMemory([build_shard(list(names))[0]])
    text = list(b"\n".join(corpus.held_out[number] for number in range(len(corpus.held_out)))[:BYTES])
    here, there = _connected()
    threading.Thread(target=served, args=(memory, there), daemon=True).start()
    remote = asked(here)

    def afresh() -> Callable[[list[int]], MemoryFeatures]:
        remote([])
        return remote

    wire = sum(part.nbytes for part in no_features(1)) + 2
    for piece in PIECES:
        local = microseconds(text, piece, lambda: _reader(memory).read)
        far = microseconds(text, piece, afresh)
        row = {"corpus_bytes": corpus.train.nbytes, "piece": piece, "local_us": local, "remote_us": far, "wire_bytes": wire}
        for trip in TRIPS_MS:
            total = far + trip * 1000 / piece + wire / WIRE_BYTES_PER_SECOND * 1e6
            row[f"share_at_{trip}_ms"] = local / total
        print(json.dumps({key: round(value, 3) for key, value in row.items()}), flush=True)


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    for end in (here, there):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return here, there


if __name__ == "__main__":
    main()

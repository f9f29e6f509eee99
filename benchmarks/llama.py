"""llama.cpp as a peer: what the best-known CPU engine makes of a byte model of the same size.

A decode speed only means something beside the speed of the program everybody has: the server inside `xllamacpp` (the extra
`peers`; its published wheel is built for AVX2, without AVX-512) with a model of `llama_file.py`.

`LlamaPeer` runs in this process, `llama_process` in one of its own, so that its memory can be read and its OpenMP pool is not
that of PyTorch. The child is a plain interpreter and no `multiprocessing` one, which would first import the main module of the
caller, often with PyTorch, into the memory that is measured. OpenMP threads wait by spinning: with more threads than idle
cores llama.cpp is ten times slower, so measure it on an idle machine.
"""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from multiscale_transformer.errors import AxlError

CONTEXT = 2048
SHORT_PROMPT = 16  # bytes before what `decode_many` counts
GOODBYE_SECONDS = 5.0


class LlamaPeer:
    """A GGUF in llama.cpp on `threads` threads, with `slots` requests at once of up to `context` bytes each.

    llama.cpp gives a request no more context than the model was made for, but takes the memory.

    Greedy, nothing ends early, and no prompt is taken from a cache. Raises AxlError when xllamacpp is missing or the file does
    not load; so do its methods for what llama.cpp refuses.
    """

    def __init__(self, path: Path, threads: int, slots: int = 1, context: int = CONTEXT) -> None:
        if min(threads, slots, context) < 1:
            raise AxlError(f"threads, slots and context must be above 0, got {threads}, {slots} and {context}")
        if not path.is_file():
            raise AxlError(f"there is no model file {path}; write it with write_byte_llama")
        try:
            import xllamacpp
        except ImportError as error:
            raise AxlError(f"the llama.cpp peer needs xllamacpp ({error}); run: pip install axl[peers]") from error
        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        settings.n_parallel, settings.n_ctx = slots, slots * context
        settings.fit_params = settings.ui = settings.cache_prompt = False
        settings.cache_ram_mib = settings.n_ctx_checkpoints = 0
        settings.verbosity = 0
        self.slots = slots
        try:
            self._server = xllamacpp.Server(settings)
        except RuntimeError as error:
            raise AxlError(
                f"llama.cpp cannot load {path}: the file is damaged or not of a known kind; write it anew"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server = None  # the server ends when nothing refers to it

    def prefill(self, bytes_count: int) -> float:
        """Seconds per byte of reading a prompt of `bytes_count` bytes."""
        return self._complete(bytes_count, 1).prompt_seconds / bytes_count

    def decode(self, count: int, prompt_bytes: int) -> float:
        """Seconds per byte of `count` bytes one after the other, behind a prompt of `prompt_bytes`.

        One more is made: the first byte comes out of the prompt and costs no step of its own.
        """
        reply = self._complete(prompt_bytes, count + 1)
        if reply.decode_seconds is None:
            return (reply.wall_seconds - self._complete(prompt_bytes, 1).wall_seconds) / count
        return reply.decode_seconds / count

    def decode_many(self, requests: int, count: int, prompt_bytes: int = SHORT_PROMPT) -> float:
        """Bytes per second of all `requests` at once, `count` bytes each, by the clock and with reading their short prompts.

        Raises AxlError when there are more requests than slots: the others would wait.
        """
        if not 1 <= requests <= self.slots:
            raise AxlError(f"{requests} requests do not fit the {self.slots} slots of this peer; load it with more slots")
        with ThreadPoolExecutor(requests) as pool:
            begin = time.perf_counter()
            replies = list(pool.map(lambda _: self._complete(prompt_bytes, count), range(requests)))
            seconds = time.perf_counter() - begin
        return sum(reply.count for reply in replies) / seconds

    def _complete(self, prompt_bytes: int, count: int) -> _Reply:
        """Read random text and write `count` bytes; raises AxlError when llama.cpp did not do exactly that."""
        if prompt_bytes < 1 or count < 1:
            raise AxlError(f"llama.cpp needs a prompt and bytes to write, got {prompt_bytes} and {count}; ask for 1 or more")
        body = {
            "prompt": random.Random(prompt_bytes).choices(range(32, 127), k=prompt_bytes),
            "max_tokens": count,
            "temperature": 0.0,
            "ignore_eos": True,
            "cache_prompt": False,
        }
        begin = time.perf_counter()
        answer = self._server.handle_completions(body)
        wall = time.perf_counter() - begin
        if "error" in answer:
            raise AxlError(
                f"llama.cpp refused {prompt_bytes} + {count} bytes: {answer['error'].get('message', 'no reason given')}"
            )
        reply = _Reply.of(answer, wall)
        if (reply.prompt_bytes, reply.count) != (prompt_bytes, count):
            raise AxlError(
                f"llama.cpp read {reply.prompt_bytes} and wrote {reply.count} bytes instead of {prompt_bytes} and {count}; "
                "load it with a larger context"
            )
        return reply


class LlamaProcess:
    """A `LlamaPeer` in a process of its own: the same calls, and the memory that it takes. Made by `llama_process`."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def prefill(self, bytes_count: int) -> float:
        """See `LlamaPeer.prefill`."""
        return self.ask("prefill", bytes_count)

    def decode(self, count: int, prompt_bytes: int) -> float:
        """See `LlamaPeer.decode`."""
        return self.ask("decode", count, prompt_bytes)

    def decode_many(self, requests: int, count: int, prompt_bytes: int = SHORT_PROMPT) -> float:
        """See `LlamaPeer.decode_many`."""
        return self.ask("decode_many", requests, count, prompt_bytes)

    @property
    def resident_bytes(self) -> int:
        """Memory of the process now: weights, KV cache and buffers, and Python with the library."""
        return int(self.ask("resident"))

    def ask(self, call: str, *arguments: int) -> float:
        """Forward a call. Raises AxlError with the line of the child, or when the child is gone."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps([call, *arguments]) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise AxlError(f"the process of llama.cpp ended with status {self._child.wait()}; is there memory enough for it?")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise AxlError(answer["error"])
        return float(answer["value"])


@contextmanager
def llama_process(path: Path, threads: int, slots: int = 1, context: int = CONTEXT) -> Iterator[LlamaProcess]:
    """Load `path` in a child process for the block. Raises AxlError for what `LlamaPeer` raises it for."""
    command = [sys.executable, "-m", __name__, str(path), str(threads), str(slots), str(context)]
    pipe = subprocess.PIPE  # a session of its own keeps Ctrl-C to us; the child ends when its input does
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", start_new_session=True) as child:
        try:
            peer = LlamaProcess(child)
            peer.ask("ready")
            yield peer
        finally:
            _end(child)


@dataclass(frozen=True)
class _Reply:
    prompt_bytes: int  # read, not taken from a cache
    count: int
    wall_seconds: float
    prompt_seconds: float
    decode_seconds: float | None  # for count - 1 steps

    @classmethod
    def of(cls, answer: Mapping[str, Any], wall: float) -> _Reply:
        """The figures of a reply in OpenAI's form with llama.cpp's `timings`, or the wall clock where it gives none."""
        usage, timings = answer["usage"], answer.get("timings") or {}
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        return cls(
            prompt_bytes=usage["prompt_tokens"] - cached,
            count=usage["completion_tokens"],
            wall_seconds=wall,
            prompt_seconds=timings["prompt_ms"] / 1000 if "prompt_ms" in timings else wall,
            decode_seconds=timings["predicted_ms"] / 1000 if "predicted_ms" in timings else None,
        )


def _resident_bytes() -> int:
    """Resident memory of this process; its peak where the system does not tell the present."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        try:
            import resource
        except ImportError as error:
            raise AxlError("this system does not tell the memory of a process; measure it on Linux or macOS") from error
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _end(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    try:
        child.stdin.close()
        child.wait(GOODBYE_SECONDS)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        child.kill()


def _requests() -> Iterator[list[Any]]:
    """The lines of the input; when it ends, the process ends in the middle of whatever it does, and leaves no busy orphan."""
    lines = queue.SimpleQueue[str]()

    def read() -> None:
        with open(sys.stdin.fileno(), encoding="utf-8", closefd=False) as stream:  # a stream that no exit waits for
            for line in stream:
                lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def _serve(path: str, *numbers: str) -> None:
    """The child: one JSON line in, one out. What llama.cpp prints goes to the errors and not into the pipe."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as pipe:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        peer: LlamaPeer | None = None
        for call, *arguments in _requests():
            try:
                peer = peer or LlamaPeer(Path(path), *map(int, numbers))
                calls: dict[str, Callable[..., float]] = {
                    "ready": lambda: 0.0,
                    "prefill": peer.prefill,
                    "decode": peer.decode,
                    "decode_many": peer.decode_many,
                    "resident": _resident_bytes,
                }
                answer: dict[str, Any] = {"value": calls[call](*arguments)}
            except AxlError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), file=pipe, flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])

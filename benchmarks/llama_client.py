"""llama.cpp as a peer: how fast it reads and writes a GGUF, what the file gives the next byte, and what it continues with.

A decode speed only means something beside the speed of the program everybody has, so llama.cpp is called as its own programs
call it: no server stands between, and the build is the best for this processor (`llama_library`). Decoding is greedy.

`LlamaClient` runs in this process, `llama_process` in one of its own, so that its memory can be read and its pool of threads is
not that of PyTorch. The child is a plain interpreter and no `multiprocessing` one, which would first import the main module of
the caller, often with PyTorch, into the memory that is measured. Threads wait by spinning: with more threads than idle cores
llama.cpp is ten times slower, so measure it on an idle machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.llama_library import Token, load_library
from multiscale_transformer.errors import AxlError

CONTEXT = 2048
SHORT_PROMPT = 16  # bytes before what `decode_many` counts
SHUTDOWN_SECONDS = 5.0
PRINTABLE = range(32, 127)  # the bytes of random prompts

Logits = npt.NDArray[np.float64]


class LlamaClient:
    """A GGUF in llama.cpp on `threads` threads, with `slots` sequences at once of up to `context` bytes each.

    Greedy, nothing ends early, and no prompt is taken from a cache. Raises AxlError when llama.cpp cannot be had or the file
    does not load; so do its methods for what does not fit.
    """

    def __init__(self, path: Path, threads: int = 1, slots: int = 1, context: int = CONTEXT) -> None:
        if min(threads, slots, context) < 1:
            raise AxlError(f"threads, slots and context must be above 0, got {threads}, {slots} and {context}")
        if not path.is_file():
            raise AxlError(f"there is no model file {path}; write it with write_byte_llama")
        self._library, self.build = load_library()
        self.slots, self.context = slots, context
        self._model = self._library.llama_model_load_from_file(bytes(path), self._library.llama_model_default_params())
        if not self._model:
            raise AxlError(f"llama.cpp cannot load {path}: the file is damaged or not of a known kind; write it anew")
        self._vocabulary = self._library.llama_model_get_vocab(self._model)
        self._size = self._library.llama_vocab_n_tokens(self._vocabulary)
        params = self._library.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_seq_max = slots * context, max(context, slots), slots
        self._context = self._library.llama_init_from_model(self._model, params)
        if not self._context:
            self.close()
            raise AxlError(f"llama.cpp has no room for {slots} times {context} bytes of context; ask for less")
        self._library.llama_set_n_threads(self._context, threads, threads)
        self._batch = self._library.llama_batch_init(params.n_batch, 0, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the weights and the KV cache."""
        if getattr(self, "_context", None):
            self._library.llama_batch_free(self._batch)
            self._library.llama_free(self._context)
        if getattr(self, "_model", None):
            self._library.llama_model_free(self._model)
        self._context = self._model = None

    def prefill(self, count: int) -> float:
        """Seconds per byte of reading a prompt of `count` bytes."""
        self._check(count, 0)
        prompt = _prompt(count)
        begin = time.perf_counter()
        self._start([prompt])
        return (time.perf_counter() - begin) / count

    def decode(self, count: int, prompt_bytes: int) -> float:
        """Seconds per byte of `count` bytes one after the other, behind a prompt of `prompt_bytes` that is not counted."""
        return 1 / self.decode_many(1, count, prompt_bytes)

    def decode_many(self, requests: int, count: int, prompt_bytes: int = SHORT_PROMPT) -> float:
        """Bytes per second of all `requests` at once, `count` bytes each, once all have read their prompts.

        Raises AxlError when there are more requests than slots.
        """
        if not 1 <= requests <= self.slots:
            raise AxlError(f"{requests} requests do not fit the {self.slots} slots of this client; load it with more slots")
        self._check(prompt_bytes, count)
        tokens = self._start([_prompt(prompt_bytes)] * requests)
        begin = time.perf_counter()
        for position in range(prompt_bytes, prompt_bytes + count):
            self._decode([(token, position, slot) for slot, token in enumerate(tokens)], range(requests))
            tokens = [int(self._logits(row).argmax()) for row in range(requests)]
        return requests * count / (time.perf_counter() - begin)

    def logprobs(self, ids: Sequence[int]) -> Logits:
        """Log-probabilities (T, V) of what follows each of `ids`."""
        self._check(len(ids), 0)
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)
        self._decode([(token, position, 0) for position, token in enumerate(ids)], range(len(ids)))
        logits_TV = np.stack([self._logits(row).astype(np.float64) for row in range(len(ids))])
        logits_TV -= logits_TV.max(axis=1, keepdims=True)
        return np.asarray(logits_TV - np.log(np.exp(logits_TV).sum(axis=1, keepdims=True)))

    def greedy(self, ids: Sequence[int], count: int, *, ends: bool = False) -> list[int]:
        """The `count` likeliest ids one after the other; `ends` stops at an end of text, else none is ever taken."""
        self._check(len(ids), count)
        (token,) = self._start([ids], ends=ends)
        written: list[int] = []
        while not self._library.llama_vocab_is_eog(self._vocabulary, token):
            written.append(token)
            if len(written) == count:
                break
            self._decode([(token, len(ids) + len(written) - 1, 0)], [0])
            token = self._likeliest(0, ends=ends)
        return written

    def text(self, prompt: str, count: int) -> str:
        """What follows a text, as a user types it."""
        return self.detokenize(self.greedy(self.tokenize(prompt), count, ends=True))

    def tokenize(self, text: str) -> list[int]:
        """A text as it reaches the model, with BOS before it."""
        content = text.encode()
        tokens = (Token * (len(content) + 2))()
        count = self._library.llama_tokenize(self._vocabulary, content, len(content), tokens, len(tokens), True, False)
        return list(tokens[:count])

    def detokenize(self, tokens: Sequence[int]) -> str:
        """And back."""
        room = ctypes.create_string_buffer(4 * len(tokens) + 1)
        ids = (Token * len(tokens))(*tokens)
        count = self._library.llama_detokenize(self._vocabulary, ids, len(tokens), room, len(room), False, False)
        return room.raw[:count].decode("utf-8", "replace")

    def _check(self, prompt_bytes: int, count: int) -> None:
        if prompt_bytes < 1 or count < 0:
            raise AxlError(f"llama.cpp needs a prompt and bytes to write, got {prompt_bytes} and {count}; ask for 1 or more")
        if prompt_bytes + count > self.context:
            raise AxlError(
                f"{prompt_bytes} + {count} bytes do not fit the context of {self.context}; load the file with a larger context"
            )

    def _start(self, prompts: Sequence[Sequence[int]], *, ends: bool = False) -> list[int]:
        """Read each prompt into a sequence of its own; returns the likeliest id after each."""
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)
        tokens = []
        for slot, prompt in enumerate(prompts):
            last = len(prompt) - 1
            self._decode([(token, position, slot) for position, token in enumerate(prompt)], [last])
            tokens.append(self._likeliest(last, ends=ends))
        return tokens

    def _decode(self, rows: Sequence[tuple[int, int, int]], wanted: Sequence[int]) -> None:
        """One step over rows of (token, position, sequence); logits are kept of the `wanted` rows."""
        batch = self._batch
        batch.n_tokens = len(rows)
        for number, (token, position, sequence) in enumerate(rows):
            batch.token[number], batch.pos[number] = token, position
            batch.n_seq_id[number], batch.seq_id[number][0] = 1, sequence
            batch.logits[number] = 0
        for number in wanted:
            batch.logits[number] = 1
        status = self._library.llama_decode(self._context, batch)
        if status:
            raise AxlError(f"llama.cpp refused {len(rows)} bytes (status {status}); load the file with a larger context")

    def _logits(self, row: int) -> npt.NDArray[np.float32]:
        return np.ctypeslib.as_array(self._library.llama_get_logits_ith(self._context, row), (self._size,))

    def _likeliest(self, row: int, *, ends: bool) -> int:
        logits_V = self._logits(row).copy()
        if not ends:
            logits_V[[self._library.llama_vocab_is_eog(self._vocabulary, token) for token in range(self._size)]] = -np.inf
        return int(logits_V.argmax())


class LlamaProcess:
    """A `LlamaClient` in a process of its own: the same calls, and the memory that it takes. Made by `llama_process`."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.build = str(self.ask("build"))

    def prefill(self, count: int) -> float:
        """See `LlamaClient.prefill`."""
        return float(self.ask("prefill", count))

    def decode(self, count: int, prompt_bytes: int) -> float:
        """See `LlamaClient.decode`."""
        return float(self.ask("decode", count, prompt_bytes))

    def decode_many(self, requests: int, count: int, prompt_bytes: int = SHORT_PROMPT) -> float:
        """See `LlamaClient.decode_many`."""
        return float(self.ask("decode_many", requests, count, prompt_bytes))

    @property
    def rss_bytes(self) -> int:
        """Memory of the process now: weights, KV cache and buffers, and Python with the library."""
        return int(psutil.Process(self._child.pid).memory_info().rss)

    def ask(self, call: str, *arguments: int) -> Any:
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
        return answer["value"]


@contextmanager
def llama_process(path: Path, threads: int, slots: int = 1, context: int = CONTEXT) -> Iterator[LlamaProcess]:
    """Load `path` in a child process for the block. Raises AxlError for what `LlamaClient` raises it for."""
    command = [sys.executable, "-m", __name__, str(path), str(threads), str(slots), str(context)]
    pipe = subprocess.PIPE  # a session of its own keeps Ctrl-C to us; the child ends when its input does
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", start_new_session=True) as child:
        try:
            yield LlamaProcess(child)
        finally:
            _end(child)


def _prompt(count: int) -> list[int]:
    return random.Random(count).choices(PRINTABLE, k=count)


def _end(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    try:
        child.stdin.close()
        child.wait(SHUTDOWN_SECONDS)
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
        client: LlamaClient | None = None
        for call, *arguments in _requests():
            try:
                client = client or LlamaClient(Path(path), *map(int, numbers))
                answer: dict[str, Any] = {"value": client.build if call == "build" else getattr(client, call)(*arguments)}
            except AxlError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), file=pipe, flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])

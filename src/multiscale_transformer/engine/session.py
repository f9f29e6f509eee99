"""A model ready to continue one text at a time: what `axl complete`, `axl quickstart` and scripts write with.

The compiled engine does the work, which needs no PyTorch. The reference in PyTorch takes its place where it is asked for, or
where the engine fails its self-test and PyTorch is installed. Many texts at once are the scheduler's (`engine.scheduler`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from multiscale_transformer.engine.candidates import best_text, candidate_requests
from multiscale_transformer.engine.continuations import reference_log_probabilities
from multiscale_transformer.engine.detokenizer import stream_text
from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.infill import Cursor
from multiscale_transformer.engine.scheduler import Request, Scheduler
from multiscale_transformer.engine.self_test import check
from multiscale_transformer.engine.weights import UnfitError
from multiscale_transformer.machine import available_cores

if TYPE_CHECKING:  # the compiled engine needs no PyTorch
    from multiscale_transformer.memory.lookup import CorpusMemory
    from multiscale_transformer.model.model import MultiScaleTransformer
    from multiscale_transformer.model.sampling import Sampling


class EngineSession:
    """Writes with the compiled engine, looking up in `memory` where there is one."""

    def __init__(self, scheduler: Scheduler, memory: CorpusMemory | None) -> None:
        self.scheduler, self.memory = scheduler, memory

    def stream(self, cursor: Cursor, sampling: Sampling) -> Iterator[str]:
        """The text that follows, piece by piece."""
        request = Request(cursor.ids, sampling, self.memory, rules=cursor.rules, crlf=cursor.crlf, gap=cursor.gap)
        return (piece.text for piece in self.scheduler.stream(request))


class ReferenceSession:
    """Writes with the reference in PyTorch."""

    def __init__(self, model: MultiScaleTransformer, memory: CorpusMemory | None) -> None:
        self.model, self.memory = model, memory

    def stream(self, cursor: Cursor, sampling: Sampling) -> Iterator[str]:
        """The text that follows, piece by piece."""
        request = Request(cursor.ids, sampling, self.memory, rules=cursor.rules, crlf=cursor.crlf, gap=cursor.gap)
        parts = candidate_requests(request)
        if cursor.gap is None or not parts:
            return self._written(request)
        texts = ["".join(self._written(part)) for part in parts]

        def score(prompt: list[int], continuations: list[list[int]]) -> list[float]:
            return reference_log_probabilities(self.model, prompt, continuations, self.memory)

        return iter([best_text(cursor.gap, texts, self.model.config.max_seq_len, score)])

    def _written(self, request: Request) -> Iterator[str]:
        return stream_text(self.model, request.prompt, request.sampling, self.memory, request.rules, crlf=request.crlf)


Session = EngineSession | ReferenceSession


def open_session(
    checkpoint: Path,
    memory: CorpusMemory | None = None,
    *,
    compiled: bool = True,
    threads: int | None = None,
    on_note: Callable[[str], None] = lambda line: None,
) -> Session:
    """A session of the model in `checkpoint`; `on_note` is told in a line when the engine is not what writes.

    Raises AxlError when the folder is no checkpoint, and UnfitError when the engine fails its self-test on this machine and
    there is no PyTorch to go on with.
    """
    if compiled:
        try:
            return EngineSession(open_scheduler(checkpoint, threads=threads, on_note=on_note), memory)
        except UnfitError as error:
            if not _has_torch():
                raise
            on_note(f"{error}; going on with the reference, which is slower")
    import torch

    from multiscale_transformer.model.checkpoint import load_model

    torch.set_num_threads(threads or available_cores())
    return ReferenceSession(load_model(checkpoint), memory)


def open_scheduler(
    checkpoint: Path, *, threads: int | None = None, on_note: Callable[[str], None] = lambda line: None
) -> Scheduler:
    """A scheduler over the compiled engine, which has passed its self-test. Raises what `open_session` raises."""
    engine = load_engine(checkpoint, threads=threads or 1)
    if not_compared := check(engine, checkpoint):
        on_note(not_compared)
    return Scheduler(engine)


def _has_torch() -> bool:
    try:
        return find_spec("torch") is not None
    except ValueError:  # its place in sys.modules is taken, which is how tests block it
        return False

"""Loading what a skill proposes with: a model and its memory, as a writer or as a judge."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.compile import ensure_kernels
from multiscale_transformer.cli.memory_args import memory_for

if TYPE_CHECKING:
    from multiscale_transformer.agents.code_tools import Models
    from multiscale_transformer.agents.self_debug import Attempt
    from multiscale_transformer.engine.scheduler import Scheduler
    from multiscale_transformer.memory.lookup import CorpusMemory
    from multiscale_transformer.tasks.chat import Likelihood
    from multiscale_transformer.tasks.fix_order import Gains
    from multiscale_transformer.tasks.writer import Writer


def open_writer(model: Path, memory: list[str] | None, threads: int | None) -> Writer:
    """A model that writes proposals."""
    from multiscale_transformer.tasks.writer import Writer

    return Writer(*_opened(model, memory, threads))


def open_gains(model: Path, memory: list[str] | None, threads: int | None) -> Gains:
    """A model that says how much likelier an edited text is."""
    from multiscale_transformer.tasks.fix_order import Gains

    scheduler, corpus_memory = _opened(model, memory, threads)
    return Gains(scheduler.engine, corpus_memory)


def open_likelihood(model: Path, memory: list[str] | None, threads: int | None) -> Likelihood:
    """A model that says how likely answers to a question are."""
    from multiscale_transformer.tasks.chat import Likelihood

    scheduler, corpus_memory = _opened(model, memory, threads)
    return Likelihood(scheduler.engine, corpus_memory)


def _opened(model: Path, memory: list[str] | None, threads: int | None) -> tuple[Scheduler, CorpusMemory | None]:
    from multiscale_transformer.engine.session import open_scheduler
    from multiscale_transformer.model.folder import read_config

    corpus_memory = memory_for(read_config(model), model, memory)
    ensure_kernels()
    with ui.busy("loading the model"):
        return open_scheduler(model, threads=threads, on_note=ui.note), corpus_memory


def models_for(
    model: Path, memory: list[str] | None, threads: int | None, *, on_run: Callable[[Attempt], None] = lambda attempt: None
) -> Models:
    """The same for the tools of an agent: loaded once, when the first of them needs it."""
    from multiscale_transformer.agents.code_tools import Models
    from multiscale_transformer.tasks.fix_order import Gains
    from multiscale_transformer.tasks.writer import Writer
    from multiscale_transformer.zoo.training_record import trained_skills

    opened = cache(lambda: _opened(model, memory, threads))
    return Models(
        writer=lambda: Writer(*opened()),
        gains=lambda: Gains(opened()[0].engine, opened()[1]),
        skills=trained_skills(model),
        on_run=on_run,
    )

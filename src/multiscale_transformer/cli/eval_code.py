"""`axl eval humaneval|mbpp|infilling|humaneval-x`: benchmarks that run what a model writes, in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.memory_args import memory_for
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders, folder, seed_number
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.evaluation.pass_at_k import Rate
    from multiscale_transformer.memory.lookup import CorpusMemory
    from multiscale_transformer.sandbox.run import Sandbox
    from multiscale_transformer.tasks.code_benchmarks.measure import CodeFigures, Score
    from multiscale_transformer.tasks.code_benchmarks.problem import Problem

BenchmarkFile = Annotated[
    str,
    typer.Option("--data", metavar="FILE", help="The benchmark's file, .jsonl.gz or .json as published; or hub, or hub:ID."),
]
Each = Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Completions of each problem.")]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="T", min=0.0, max=10.0, help="0 is greedy (default: 0 for one completion, 0.8 for several)."),
]
Most = Annotated[int | None, typer.Option(metavar="N", min=1, help="Most problems; fewer are part of more.")]
MaxBytes = Annotated[int | None, typer.Option(metavar="N", min=1, help="Most bytes of a completion (default: the problem's).")]
SamplesFile = Annotated[
    Path | None,
    typer.Option(
        "--samples",
        parser=folder,
        metavar="FILE",
        help="Keep completions and what came of them there, for EvalPlus too; what was interrupted goes on.",
    ),
]
From = Annotated[
    Path | None,
    typer.Option("--from", parser=folder, metavar="FILE", help="Score the completions in this file; no model is asked."),
]
Rivals = Annotated[bool, typer.Option("--rivals/--no-rivals", help="Also measure the same indexes without a net.")]
Seed = Annotated[int, typer.Option(metavar="N", callback=seed_number, help="Decides what is drawn.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one line of JSON.")]


@dataclass(frozen=True)
class _Asked:
    """What the commands share of a call."""

    model: Path
    each: int
    temperature: float | None
    most: int | None
    max_bytes: int | None
    memory: list[str] | None
    samples: Path | None
    from_: Path | None
    rivals: bool
    seed: int
    threads: int | None
    as_json: bool
    candidates: int | None = None

    def __post_init__(self) -> None:
        drawn = (self.temperature, self.max_bytes, self.memory, self.candidates)
        if self.from_ is not None and (self.each != 1 or drawn != (None,) * 4):
            raise AxlError("--each, --temperature, --max-bytes, --memory and --candidates go with a model, not with --from")


def humaneval(
    data: BenchmarkFile,
    model: Checkpoint = SHIPPED_FOLDER,
    each: Each = 1,
    temperature: Temperature = None,
    most: Most = None,
    max_bytes: MaxBytes = None,
    memory: MemoryFolders = None,
    samples: SamplesFile = None,
    from_: From = None,
    rivals: Rivals = True,
    seed: Seed = 0,
    threads: EngineThreads = None,
    as_json: Json = False,
) -> None:
    """HumanEval: functions to write from their docstrings, run with their tests in the sandbox.

    Unbiased pass@k with 95 % intervals, the share of completions that parse, and bits per byte of the canonical solutions.
    Beside the model stand the same indexes without a net: byte by byte, and the function that is most alike.

        axl eval humaneval --data HumanEval.jsonl.gz --samples samples.jsonl
        axl eval humaneval --data HumanEval.jsonl.gz --each 20 --temperature 0.8
        axl eval humaneval --data HumanEval.jsonl.gz --from made_elsewhere.jsonl
    """
    from multiscale_transformer.tasks.code_benchmarks.humaneval import HUMANEVAL
    from multiscale_transformer.tasks.code_benchmarks.humaneval import humaneval as load

    asked = _Asked(model, each, temperature, most, max_bytes, memory, samples, from_, rivals, seed, threads, as_json)
    _run(HUMANEVAL.name, load(data), asked)


def mbpp(
    data: BenchmarkFile,
    model: Checkpoint = SHIPPED_FOLDER,
    shots: Annotated[
        bool, typer.Option("--shots", metavar="", help="Ask as the paper does, behind three solved tasks (some 1,500 bytes).")
    ] = False,
    each: Each = 1,
    temperature: Temperature = None,
    most: Most = None,
    max_bytes: MaxBytes = None,
    memory: MemoryFolders = None,
    samples: SamplesFile = None,
    from_: From = None,
    rivals: Rivals = True,
    seed: Seed = 0,
    threads: EngineThreads = None,
    as_json: Json = False,
) -> None:
    """MBPP, tasks 11 to 510: programs to write from a sentence and three assertions, run in the sandbox.

    The file is mbpp.jsonl or sanitized-mbpp.json. Figures and rivals are those of axl eval humaneval.

        axl eval mbpp --data mbpp.jsonl
    """
    from multiscale_transformer.tasks.code_benchmarks.mbpp import MBPP
    from multiscale_transformer.tasks.code_benchmarks.mbpp import mbpp as load

    asked = _Asked(model, each, temperature, most, max_bytes, memory, samples, from_, rivals, seed, threads, as_json)
    _run(MBPP.name, load(data, shots=shots), asked)


def infilling(
    data: BenchmarkFile,
    model: Checkpoint = SHIPPED_FOLDER,
    candidates: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=16, help="Texts for each gap, of which the likeliest is taken (default: 4)."),
    ] = None,
    each: Each = 1,
    temperature: Temperature = None,
    most: Most = None,
    max_bytes: MaxBytes = None,
    memory: MemoryFolders = None,
    samples: SamplesFile = None,
    from_: From = None,
    rivals: Rivals = True,
    seed: Seed = 0,
    threads: EngineThreads = None,
    as_json: Json = False,
) -> None:
    """HumanEval infilling: a line, or a span from anywhere to anywhere, of a right solution; its test decides.

    Gaps are filled as in an editor, by the best of several texts; --candidates 1 is the greedy one. The rival is the index,
    byte by byte, without a net.

        axl eval infilling --data HumanEval-SingleLineInfilling.jsonl.gz --most 200
    """
    from multiscale_transformer.tasks.code_benchmarks.humaneval import INFILLING
    from multiscale_transformer.tasks.code_benchmarks.humaneval import infilling as load

    asked = _Asked(
        model, each, temperature, most, max_bytes, memory, samples, from_, rivals, seed, threads, as_json, candidates
    )
    _run(INFILLING.name, load(data), asked)


def humaneval_x(
    data: BenchmarkFile,
    model: Checkpoint = SHIPPED_FOLDER,
    each: Each = 1,
    temperature: Temperature = None,
    most: Most = None,
    max_bytes: MaxBytes = None,
    memory: MemoryFolders = None,
    samples: SamplesFile = None,
    from_: From = None,
    rivals: Rivals = True,
    seed: Seed = 0,
    threads: EngineThreads = None,
    as_json: Json = False,
) -> None:
    """HumanEval-X: HumanEval's functions in JavaScript (needs node) or Rust (needs rustc).

    The language is that of the file. Problems that need a package or a crate are left out, and said.

        axl eval humaneval-x --data humaneval_js.jsonl.gz
    """
    from multiscale_transformer.tasks.code_benchmarks.humaneval_x import HUMANEVAL_X
    from multiscale_transformer.tasks.code_benchmarks.humaneval_x import humaneval_x as load

    asked = _Asked(model, each, temperature, most, max_bytes, memory, samples, from_, rivals, seed, threads, as_json)
    _run(HUMANEVAL_X.name, load(data), asked)


def _run(name: str, problems: list[Problem], asked: _Asked) -> None:
    """Measure what is asked for and print it."""
    from multiscale_transformer.locks import writing
    from multiscale_transformer.sandbox.run import Sandbox
    from multiscale_transformer.tasks.code_benchmarks.execution import LIMITS, need_tools
    from multiscale_transformer.tasks.code_benchmarks.measure import chosen

    kept = chosen(problems, asked.most)
    for language in {problem.language for problem in kept}:
        need_tools(language)
    with Sandbox(LIMITS) as sandbox, writing(asked.samples) if asked.samples else nullcontext():
        figures = (_score_file if asked.from_ is not None else _score_model)(name, sandbox, problems, kept, asked)
    if asked.as_json:
        ui.print_line(figures.model_dump_json())
    else:
        _show(figures)


def _score_file(name: str, sandbox: Sandbox, problems: list[Problem], kept: list[Problem], asked: _Asked) -> CodeFigures:
    from multiscale_transformer.tasks.code_benchmarks.measure import CodeFigures, evaluate
    from multiscale_transformer.tasks.code_benchmarks.samples import FileAuthor, SampleFile, file_digest, run_name

    assert asked.from_ is not None
    author = FileAuthor(asked.from_, problems)
    answered = [problem for problem in kept if problem in author]
    if not answered:
        raise AxlError(f"{asked.from_} has no completion of the chosen problems; leave --most out")
    if len(answered) < len(kept):
        ui.note(f"{asked.from_} has completions of {len(answered):,} of {len(kept):,} problems; the figures are of those")
    samples = SampleFile(asked.samples, run_name(benchmark=name, samples=file_digest(asked.from_)))
    with _progress(len(answered), "running") as advance:
        score = evaluate(sandbox, author, answered, each=author.each, samples=samples, on_problem=advance)
    return CodeFigures(**_of_file(name, problems), problems=len(answered), each=author.each, scores={asked.from_.name: score})


def _score_model(name: str, sandbox: Sandbox, problems: list[Problem], kept: list[Problem], asked: _Asked) -> CodeFigures:
    from multiscale_transformer.cli.compile import ensure_kernels
    from multiscale_transformer.engine.session import open_scheduler
    from multiscale_transformer.model.folder import read_config
    from multiscale_transformer.tasks.code_benchmarks.authors import TEMPERATURE, Drawing, ModelAuthor, model_digest
    from multiscale_transformer.tasks.code_benchmarks.measure import CodeFigures, evaluate
    from multiscale_transformer.tasks.code_benchmarks.samples import SampleFile, run_name

    temperature = asked.temperature if asked.temperature is not None else TEMPERATURE if asked.each > 1 else 0.0
    fields = {"each": asked.each, "temperature": temperature, "seed": asked.seed, "max_bytes": asked.max_bytes}
    drawing = Drawing.model_validate(fields | ({} if asked.candidates is None else {"candidates": asked.candidates}))
    memory = memory_for(read_config(asked.model), asked.model, asked.memory)
    run = run_name(
        benchmark=name,
        problems=[problem.model_dump_json() for problem in problems],
        model=model_digest(asked.model),
        memory=memory.digest() if memory is not None else None,
        drawing=drawing.model_dump(),
    )
    samples = SampleFile(asked.samples, run)  # a file of another evaluation is refused before anything is compiled
    ensure_kernels()
    author = ModelAuthor(open_scheduler(asked.model, threads=asked.threads, on_note=ui.note), memory, drawing)
    with _progress(len(kept), "writing and running") as advance:
        scores = {"this model": evaluate(sandbox, author, kept, each=asked.each, samples=samples, on_problem=advance)}
    if asked.rivals:
        scores |= _rivals(sandbox, kept, memory)
    drawn = {"each": asked.each, "temperature": temperature, "seed": asked.seed}
    return CodeFigures(**_of_file(name, problems), **drawn, problems=len(kept), scores=scores)


def _rivals(sandbox: Sandbox, kept: list[Problem], memory: CorpusMemory | None) -> dict[str, Score]:
    from multiscale_transformer.tasks.code_benchmarks.measure import evaluate
    from multiscale_transformer.tasks.code_benchmarks.rivals import MemoryAlone, NearestFunction

    rivals: list[MemoryAlone | NearestFunction] = [MemoryAlone(memory)]
    if memory is not None and NearestFunction.suits(kept):
        with ui.busy("reading the functions of the index"):
            rivals.append(NearestFunction(memory))
    scores = {}
    for rival in rivals:
        with _progress(len(kept), rival.name) as advance:
            scores[rival.name] = evaluate(sandbox, rival, kept, on_problem=advance)
    return scores


def _of_file(name: str, problems: list[Problem]) -> dict[str, Any]:
    unjudged = tuple(f"{problem.task_id} ({', '.join(problem.needs)})" for problem in problems if problem.needs)
    return {"benchmark": name, "published": len(problems), "unjudged": unjudged}


@contextmanager
def _progress(total: int, doing: str) -> Iterator[Callable[[], None]]:
    with ui.bar() as bar:
        task = bar.add_task(doing, total=total)
        yield lambda: bar.advance(task)


def _show(figures: CodeFigures) -> None:
    """A table: an author a column."""
    how = [
        f"{figures.problems:,} of {ui.counted(figures.published, 'problem')}",
        f"{ui.counted(figures.each, 'completion')} each",
    ]
    if figures.temperature is not None:
        how.append(f"temperature {figures.temperature:g}" if figures.temperature else "greedy")
    ui.print_text(f"{figures.benchmark}: {', '.join(how)}")
    table = ui.new_table(None, ["", *(f"{name} >" for name in figures.scores)])
    scores = list(figures.scores.values())
    for k in sorted({k for score in scores for k in score.passes}):
        table.add_row(f"pass@{k}", *(_shown(score.passes[k]) if k in score.passes else "" for score in scores))
    table.add_row("parses", *(f"{score.parses:.0%}" for score in scores))
    table.add_row("timed out", *(f"{score.results.get('timed out', 0) / score.completions:.0%}" for score in scores))
    if any(score.bits_per_byte is not None for score in scores):
        bits = ("" if score.bits_per_byte is None else f"{score.bits_per_byte:.3f}" for score in scores)
        table.add_row("bits per byte of the solutions", *bits)
    ui.show_table(table)
    ui.print_text("Behind each pass@k stands the 95 % interval over problems.")
    if figures.unjudged:
        ui.print_text(f"Not judged, for what they need is not here: {', '.join(figures.unjudged)}")


def _shown(rate: Rate) -> str:
    if not rate.mean:
        return f"0 % (at most {100 * rate.high:.1f})"
    return f"{100 * rate.mean:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f})"

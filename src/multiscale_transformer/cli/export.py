"""`axl export`: models for other people's software."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.main import COMMANDS
from multiscale_transformer.cli.options import (
    SHIPPED_FOLDER,
    Checkpoint,
    DistillData,
    ExportFolder,
    Threads,
    above_zero,
    folder,
)
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import read_config

if TYPE_CHECKING:
    from multiscale_transformer.export.gguf_file import Quantized

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=COMMANDS["export"][1])

Name = Annotated[str | None, typer.Option(metavar="NAME", help="Its name (default: the folder's).")]
Distill = Annotated[
    float | None,
    typer.Option(metavar="M", callback=above_zero, help="Minutes in which the fine stack first learns from the whole model."),
]


@app.command("gguf")
def gguf(
    model: Checkpoint = SHIPPED_FOLDER,
    place: ExportFolder = Path("export"),
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="F16, BF16, Q8_0 or Q4_K_M, several times (default: all)."),
    ] = None,
    name: Name = None,
    distill: Distill = None,
    data: DistillData = None,
    threads: Threads = None,
) -> None:
    """The fine stack with its auxiliary head, as files that stock llama.cpp loads. There is no memory in them; --distill
    teaches it what the memory would have said.

        axl export gguf --model checkpoints/mine --out export
        axl export gguf --model checkpoints/mine --kind Q4_K_M --distill 10
    """
    from multiscale_transformer.export.gguf import KINDS, export_gguf, gguf_name

    kinds, name = list(map(_kind, kind or KINDS)), name or export_name(model)
    paths = [place / gguf_name(name, one) for one in kinds]
    with _exportable(model, paths, kinds, distill, data, threads) as source, ui.busy("writing"):
        written = export_gguf(source, place, name, kinds)
    show_files(written)


@app.command("ollama")
def ollama(
    model: Checkpoint = SHIPPED_FOLDER,
    place: ExportFolder = Path("export"),
    kind: Annotated[str, typer.Option(metavar="KIND", help="F16, BF16, Q8_0 or Q4_K_M.")] = "Q8_0",
    name: Name = None,
    distill: Distill = None,
    data: DistillData = None,
    threads: Threads = None,
) -> None:
    """A GGUF and the Modelfile that refers to it, ready for ollama create.

    axl export ollama --model checkpoints/mine --out export/ollama
    """
    from multiscale_transformer.export.gguf import gguf_name
    from multiscale_transformer.export.ollama import MODELFILE, export_ollama

    name, one = name or export_name(model), _kind(kind)
    paths = [place / gguf_name(name, one), place / MODELFILE]
    with _exportable(model, paths, [one], distill, data, threads) as source, ui.busy("writing"):
        written = export_ollama(source, place, name, one)
    show_files(written)
    ui.out.print("Next:")
    words = ui.command("create", name.lower(), "-f", place / MODELFILE)  # quoted for any shell
    ui.print_command("ollama" + words.removeprefix(ui.command()))


@app.command("hf")
def hf(model: Checkpoint = SHIPPED_FOLDER, place: ExportFolder = Path("export"), name: Name = None) -> None:
    """The whole model for Hugging Face's transformers, with its code, tokenizer and card.

    axl export hf --model checkpoints/mine --out export/hf
    """
    from multiscale_transformer.export.hf import export_hf

    with ui.busy("writing"):
        export_hf(model, place, name or export_name(model))
    ui.print_line(f"{place}: AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)")


@app.command("pt")
def pt(
    model: Checkpoint = SHIPPED_FOLDER,
    place: Annotated[Path, typer.Option("--out", parser=folder, metavar="FILE", help="Where it goes.")] = Path("model.pt"),
) -> None:
    """The published file: {"config", "model_state_dict"}.

    axl export pt --model checkpoints/mine --out axl_mine.pt
    """
    from multiscale_transformer.export.pt import export_pt

    with ui.busy("writing"):
        export_pt(model, place)
    ui.print_line(f"{place} ({ui.size(place.stat().st_size)})")


@contextmanager
def _exportable(
    model: Path, paths: list[Path], kinds: list[Any], minutes: float | None, data: list[str] | None, threads: int | None
) -> Iterator[Path]:
    """The checkpoint to export: the model's own folder, or a student of it in a folder that is gone afterwards.

    Raises AxlError for what would only be found when the student has learnt: files that are there, a library that is not.
    """
    if taken := [path for path in paths if path.exists()]:
        raise AxlError(f"{taken[0]} already exists; choose another --out, or delete it")
    if minutes is None:
        if data or threads:
            raise AxlError("--data and --threads go with --distill")
        if read_config(model).memory:
            ui.note("the files hold the net alone, without its memory; --distill MINUTES teaches it what the memory would say")
        yield model
        return
    from multiscale_transformer.cli.distill import train_student
    from multiscale_transformer.export.gguf_file import library, row_quantizer
    from multiscale_transformer.training.distill import DistillationTrainer

    library()
    if set(kinds) != {"F16"}:
        row_quantizer()
    with tempfile.TemporaryDirectory() as temporary:
        student = Path(temporary) / "student"
        train_student(DistillationTrainer(model), data, minutes, student, threads)
        yield student


def _kind(given: str) -> Any:
    from multiscale_transformer.export.gguf import KINDS

    if given.upper() in KINDS:
        return given.upper()
    raise AxlError(f"--kind {given!r} is not known; known are {', '.join(KINDS)}")


def export_name(model: Path) -> str:
    """What a checkpoint is called in what is written."""
    return "axl-shipped" if model == SHIPPED_FOLDER else model.resolve().name


def show_files(written: list[tuple[Path, Quantized]]) -> None:
    """A table of GGUF files, and what to do where rows did not fit the blocks of their type."""
    table = ui.new_table(None, ("file", "size >", "bits a weight >", "fell back >"), boxed=True)
    for path, report in written:
        fallen = f"{len(report.fallbacks)} of {report.matrices} matrices" if report.fallbacks else "none"
        table.add_row(str(path), ui.size(path.stat().st_size), f"{report.bits_per_weight:.2f}", fallen)
    ui.show_table(table)
    if any(report.fallbacks for _, report in written):
        ui.out.print("Rows that are no multiple of 256 take wider kinds; choose a d_model that is one.", markup=False)

"""`axl export`, `axl quantize`, `axl push` and `axl distill`: models for other people's software."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from multiscale_transformer.cli import console
from multiscale_transformer.cli.console import busy, copyable, errors, note, out, show_table, size
from multiscale_transformer.cli.options import Checkpoint, Threads, above_zero, folder, paths
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import CONFIG_FILE, read_config
from multiscale_transformer.zoo.shipped import shipped_model

if TYPE_CHECKING:
    from multiscale_transformer.export.gguf_file import Quantized

app = typer.Typer(no_args_is_help=True, help="Write a checkpoint for llama.cpp, Ollama, Hugging Face, or as the published .pt.")

Out = Annotated[Path, typer.Option("--out", parser=folder, metavar="FOLDER", help="Where it goes.")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Its name (default: the folder's).")]
Distill = Annotated[
    float | None,
    typer.Option(metavar="M", callback=above_zero, help="Minutes in which the fine stack first learns from the whole model."),
]
DistillData = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="PATH", callback=paths, help="What it learns on (default: the run's data)."),
]
SHIPPED_FOLDER = shipped_model()
INTERRUPTED = 130  # the shell's status for Ctrl-C


@app.command("gguf")
def export_gguf_command(
    model: Checkpoint = SHIPPED_FOLDER,
    place: Out = Path("export"),
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="F16, BF16, Q8_0 or Q4_K_M, several times (default: all)."),
    ] = None,
    name: Name = None,
    distill: Distill = None,
    data: DistillData = None,
    threads: Threads = None,
) -> None:
    """The fine stack with its own exit, as files that stock llama.cpp loads. There is no memory in them; --distill teaches it
    what the memory would have said.

        axl export gguf --model checkpoints/mine --out export
        axl export gguf --model checkpoints/mine --kind Q4_K_M --distill 10
    """
    from multiscale_transformer.export.gguf import KINDS, export_gguf

    kinds = [_kind(one) for one in kind] if kind else list(KINDS)
    with _student(model, distill, data, threads) as source, busy("writing"):
        found = export_gguf(source, place, name or _name(model), kinds)
    _show(found)


@app.command("ollama")
def export_ollama_command(
    model: Checkpoint = SHIPPED_FOLDER,
    place: Out = Path("export"),
    kind: Annotated[str, typer.Option(metavar="KIND", help="F16, BF16, Q8_0 or Q4_K_M.")] = "Q8_0",
    name: Name = None,
    distill: Distill = None,
    data: DistillData = None,
    threads: Threads = None,
) -> None:
    """A GGUF and the Modelfile that refers to it, ready for ollama create.

    axl export ollama --model checkpoints/mine --out export/ollama
    """
    from multiscale_transformer.export.ollama import MODELFILE, export_ollama

    called = name or _name(model)
    with _student(model, distill, data, threads) as source, busy("writing"):
        found = export_ollama(source, place, called, _kind(kind))
    _show(found)
    out.print("Next:")
    copyable(f"ollama create {called.lower()} -f {place / MODELFILE}")


@app.command("hf")
def export_hf_command(model: Checkpoint = SHIPPED_FOLDER, place: Out = Path("export"), name: Name = None) -> None:
    """The whole model for Hugging Face's transformers, with its code, tokenizer and card.

    axl export hf --model checkpoints/mine --out export/hf
    """
    from multiscale_transformer.export.hf import export_hf

    with busy("writing"):
        export_hf(model, place, name or _name(model))
    out.print(f"{place}: AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)", markup=False, soft_wrap=True)


@app.command("pt")
def export_pt_command(
    model: Checkpoint = SHIPPED_FOLDER,
    place: Annotated[Path, typer.Option("--out", parser=folder, metavar="FILE", help="Where it goes.")] = Path("model.pt"),
) -> None:
    """The published file: {"config", "model_state_dict"}.

    axl export pt --model checkpoints/mine --out axl_mine.pt
    """
    from multiscale_transformer.export.pt import export_pt

    with busy("writing"):
        export_pt(model, place)
    out.print(f"{place} ({size(place.stat().st_size)})", markup=False, soft_wrap=True)


def quantize(
    models: Annotated[list[str] | None, typer.Argument(metavar="FOLDER…", help="Checkpoint folders.")] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="All checkpoints in --root.")] = False,
    root: Annotated[Path, typer.Option(parser=folder, metavar="FOLDER", help="Where --all looks.")] = Path("checkpoints"),
    place: Out = Path("export"),
) -> None:
    """F16 and Q4_K_M of each checkpoint, and one table at the end.

    axl quantize checkpoints/mine
    axl quantize --all
    """
    from multiscale_transformer.export.gguf import export_gguf

    if bool(models) == every:
        raise AxlError("name checkpoint folders, or give --all for those in --root, not both")
    folders = sorted(path.parent for path in root.glob(f"*/{CONFIG_FILE}")) if every else [folder(one) for one in models or ()]
    if not folders:
        raise AxlError(f"there is no checkpoint in {root}; give another --root, or name folders")
    found = []
    for one in folders:
        read_config(one)
    for one in folders:
        with busy(f"quantizing {one.name}"):
            found += export_gguf(one, place, _name(one), ["F16", "Q4_K_M"])
    _show(found)


def push(
    place: Annotated[Path, typer.Argument(parser=folder, metavar="FOLDER", help="What axl export wrote.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Where it goes; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", metavar="", help="A new repository is seen by you alone.")] = False,
) -> None:
    """Upload an export to the Hugging Face Hub. Log in with hf auth login first, or set HF_TOKEN.

    axl push export/hf me/axl-mine --private
    """
    from multiscale_transformer.export.push import push as upload

    with busy("uploading"):
        address = upload(place, repository, private=private)
    out.print(address, markup=False, soft_wrap=True)


def distill(
    model: Checkpoint,
    place: Out = Path("checkpoints/distilled"),
    minutes: Annotated[float, typer.Option(metavar="M", callback=above_zero, help="Time to train for.")] = 10.0,
    student: Annotated[
        str | None, typer.Option(metavar="NAME", help="A model by name or YAML file (default: the teacher's own fine stack).")
    ] = None,
    data: DistillData = None,
    temperature: Annotated[float, typer.Option(metavar="T", callback=above_zero, help="Softens both distributions.")] = 2.0,
    alpha: Annotated[float, typer.Option(metavar="A", min=0.0, max=1.0, help="The teacher's share of the loss.")] = 0.7,
    threads: Threads = None,
) -> None:
    """Train a small model without a memory on what a whole model with its memory would say.

    axl distill --model checkpoints/mine --minutes 10 --out checkpoints/mine-plain
    """
    from multiscale_transformer.training.distill import DistillationTrainer
    from multiscale_transformer.zoo.recipes import load_recipe

    config = None if student is None else load_recipe(student).model
    trainer = DistillationTrainer(model, config, temperature, alpha)
    try:
        _train(trainer, model, data, minutes, place, threads)
    except KeyboardInterrupt:
        if not (place / CONFIG_FILE).exists():
            raise
        errors.print(f"Interrupted; the student as it is by now: {place}", markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    out.print(f"{place}", markup=False, soft_wrap=True)


class _Teaching:
    """The checkpoint to export: the model's own folder, or a student of it in a folder that is gone afterwards."""

    def __init__(self, model: Path, minutes: float | None, data: list[str] | None, threads: int | None) -> None:
        self._model, self._minutes, self._data, self._threads = model, minutes, data, threads
        self._folder: Any = None

    def __enter__(self) -> Path:
        if self._minutes is None:
            if read_config(self._model).memory:
                note("the files hold the net alone, without its memory; --distill MINUTES teaches it what the memory would say")
            return self._model
        import tempfile

        from multiscale_transformer.training.distill import DistillationTrainer

        self._folder = tempfile.TemporaryDirectory()
        place = Path(self._folder.name) / "student"
        _train(DistillationTrainer(self._model), self._model, self._data, self._minutes, place, self._threads)
        return place

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


_student = _Teaching


def _train(trainer: Any, model: Path, data: list[str] | None, minutes: float, place: Path, threads: int | None) -> None:
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.selection import EVERYTHING
    from multiscale_transformer.training.held_out import run_selection, run_sources

    if place.exists():
        raise AxlError(f"{place} already exists; choose another --out, or delete it")
    selection = EVERYTHING if data else run_selection(model)
    corpus = read_corpus(data or run_sources(model), selection, without=[place])
    with console.bar() as bar:
        task = bar.add_task("distilling", total=60 * minutes)
        show = [lambda progress: bar.update(task, completed=progress.seconds)]
        trainer.train(corpus, 60 * minutes, place, threads=threads, callbacks=show)


def _kind(given: str) -> Any:
    from multiscale_transformer.export.gguf import KINDS

    found = [kind for kind in KINDS if kind.lower() == given.lower()]
    if not found:
        raise AxlError(f"--kind {given!r} is not known; known are {', '.join(KINDS)}")
    return found[0]


def _name(model: Path) -> str:
    return "axl-shipped" if model == SHIPPED_FOLDER else model.resolve().name


def _show(found: list[tuple[Path, Quantized]]) -> None:
    table = Table()
    for heading in ("file", "size", "bits a weight", "fell back"):
        table.add_column(heading, justify="left" if heading == "file" else "right")
    for path, report in found:
        fallen = f"{len(report.fallbacks)} of {report.matrices} matrices" if report.fallbacks else "none"
        table.add_row(str(path), size(path.stat().st_size), f"{report.bits_per_weight:.2f}", fallen)
    show_table(table)
    if any(report.fallbacks for _, report in found):
        out.print("Rows that are no multiple of 256 take wider kinds; choose a d_model that is one.", markup=False)

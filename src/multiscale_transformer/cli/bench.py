"""`axl bench`: comparisons at equal wall-clock, written to runs/*.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from benchmarks.tables import write_tables
from multiscale_transformer import files
from multiscale_transformer.cli.options import Checkpoint, Minutes, Threads, paths
from multiscale_transformer.cli.ui import busy, errors, out, show_table
from multiscale_transformer.evaluation.statistics import summary, verdict
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.zoo.recipes import load_recipe
from multiscale_transformer.zoo.shipped import shipped_model

if TYPE_CHECKING:
    from benchmarks.contest import Contender
    from multiscale_transformer.training.trainer import Callback, Progress

app = typer.Typer(help="Compare at equal wall-clock, interleaved, over seeds.", no_args_is_help=True)

Seeds = Annotated[int, typer.Option(min=1, metavar="N", help="Number of seeds.")]
Data = Annotated[list[str] | None, typer.Option(metavar="PATH", callback=paths, help="Data instead of the Python library.")]
Results = Annotated[Path, typer.Option(metavar="FILE", help="Where the figures go; runs that are in it are not repeated.")]


@app.command("train")
def bench_train(
    minutes: Minutes = 3.0,
    seeds: Seeds = 3,
    data: Data = None,
    threads: Threads = None,
    results: Results = Path("runs/bench-train.json"),
) -> None:
    """Three scales against a flat byte transformer, xz and PPMd, each model at its best size."""
    from benchmarks.contenders import CONTENDERS
    from benchmarks.contest import contest
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.sources import STDLIB
    from multiscale_transformer.evaluation.compression_baselines import LABELS, peers

    corpus = read_corpus(data or [STDLIB])
    rows = contest(
        _contenders(CONTENDERS, minutes, threads, corpus.train.nbytes), corpus, range(seeds), results, callbacks=_show
    )
    content = json.loads(results.read_text(encoding="utf-8"))
    if "peers" not in content:
        with busy("comparing with xz and PPMd"):
            content["peers"] = peers(corpus.train, corpus.held_out)
        files.write_json(results, content)
    _print("Held-out bits per byte", rows)
    for name, bits in content["peers"].items():
        out.print(f"  {LABELS[name]}: {bits:.3f}")
    for name in CONTENDERS.keys() - {"flat"}:
        out.print(verdict(name, _bits(rows, name), "flat", _bits(rows, "flat")))


@app.command("memory")
def bench_memory(
    minutes: Minutes = 3.0,
    seeds: Seeds = 3,
    data: Data = None,
    threads: Threads = None,
    results: Results = Path("runs/bench-memory.json"),
) -> None:
    """With memory and without: bits per byte, unseen packages, line completion, and what looking up costs."""
    from benchmarks.contenders import MEMORY_CONTENDERS
    from benchmarks.contest import contest
    from benchmarks.memory import measure_with, time_memory, unseen_packages, unseen_peers
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.sources import STDLIB
    from multiscale_transformer.evaluation.compression_baselines import peers

    corpus, packages = read_corpus(data or [STDLIB]), unseen_packages()
    contenders = _contenders(MEMORY_CONTENDERS, minutes, threads, corpus.train.nbytes)
    measure = measure_with(corpus.held_out, packages)
    rows = contest(contenders, corpus, range(seeds), results, callbacks=_show, measure=measure)
    content = json.loads(results.read_text(encoding="utf-8"))
    if "memory" not in content:
        with busy("comparing with xz and PPMd"):
            content["peers"] = peers(corpus.train, corpus.held_out)
            content["unseen_peers"] = unseen_peers(corpus.train, packages)
            content["memory"] = time_memory(corpus.train, corpus.held_out)
        files.write_json(results, content)
    _print("Held-out bits per byte", rows)
    primed = content["peers"]["ppmd_primed"]
    for name in MEMORY_CONTENDERS:
        mean = sum(_bits(rows, name)) / len(_bits(rows, name))
        out.print(f"{name}: {mean / primed:.2f} x PPMd primed with the training files ({primed:.3f})")


@app.command("index")
def bench_index(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="Folders of text files.")],
    megabytes: Annotated[
        list[int] | None, typer.Option(metavar="N", min=1, help="Sizes (default: 30, 100, 300 and 1000).")
    ] = None,
    results: Results = Path("runs/bench-index.json"),
) -> None:
    """Building an index and looking up in it, on one core, as the text grows."""
    from benchmarks.memory import index_growth

    content = {"growth": index_growth(folders, megabytes or [30, 100, 300, 1000])}
    files.write_json(results, content)
    out.print(json.dumps(content, indent=1), markup=False)


@app.command("optimizers")
def bench_optimizers(
    minutes: Minutes = 3.0,
    seeds: Seeds = 3,
    data: Data = None,
    threads: Threads = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", metavar="", help="One seed at several learning rates around each default.")
    ] = False,
    results: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the figures go (default: in runs/).")] = None,
) -> None:
    """Muon, AdamW, Lion, GaLore and SGD on the same model, each at its own best learning rate."""
    from benchmarks.contenders import THREE_SCALES
    from benchmarks.contest import Contender, contest
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.sources import STDLIB
    from multiscale_transformer.training.optimizers import LEARNING_RATES

    results = results or Path("runs/bench-optimizers-sweep.json" if sweep else "runs/bench-optimizers.json")
    corpus, config = read_corpus(data or [STDLIB]), THREE_SCALES
    base = _settings(config, minutes, threads, corpus.train.nbytes)
    contenders = [
        Contender(
            f"{name} at {lr * factor:.2g}" if sweep else name,
            config,
            base.model_copy(update={"optimizer": name, "learning_rate": lr * factor}),
        )
        for name, lr in LEARNING_RATES.items()
        for factor in ((1 / 3, 1.0, 3.0) if sweep else (1.0,))
    ]
    runs = range(1 if sweep else seeds)
    _print("Optimizers", contest(contenders, corpus, runs, results, score_every=8, callbacks=_show))


@app.command("decode")
def bench_decode(
    model: Annotated[str, typer.Option(metavar="NAME", help="A shipped model's shape; weights are random.")] = "AXL-Micro-Lion",
    trained: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A checkpoint with a memory, to measure drafts and rounding with.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds; medians are quoted.")] = 5,
    threads: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=1, help="Counts of threads (default: 1 and 2); a large model wants one."),
    ] = None,
    peers: Annotated[bool, typer.Option("--peers/--no-peers", metavar="", help="Also llama.cpp, of the same size.")] = True,
    eager: Annotated[bool, typer.Option("--eager/--no-eager", metavar="", help="Also the reference in PyTorch.")] = True,
    prefix: Annotated[
        int, typer.Option(min=0, metavar="N", help="Bytes of a prompt after which the first byte is waited for; 0 for none.")
    ] = 8192,
    results: Results = Path("runs/bench-decode.json"),
) -> None:
    """The compiled engine beside PyTorch and llama.cpp: bytes per second, alone and in batches, drafts, rounding, memory."""
    from benchmarks.decode import measure_decoding, measure_trained

    config = load_recipe(model).model
    with busy("taking turns"):
        counts = tuple(threads or (1, 2))
        measured = measure_decoding(config, rounds, threads=counts, peers=peers, eager=eager, prefix=prefix)
        figures = {"model": model, **measured}
        if trained is not None:
            figures["trained"] = measure_trained(trained, rounds)
    files.write_json(results, figures)
    for name, rate in sorted(figures["bytes_per_second"].items()):
        out.print(f"{rate:10,.0f} bytes/s  {name}", markup=False)
    for name, value in figures.get("trained", {}).items():
        out.print(f"{name}: {value}", markup=False)


@app.command("shipped")
def bench_shipped(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    project: Annotated[str, typer.Option(metavar="PACKAGE", help="An installed package not trained on.")] = "hypothesis",
    minutes: Minutes = 3.0,
    seeds: Seeds = 3,
    threads: Threads = None,
    results: Results = Path("runs/bench-shipped.json"),
) -> None:
    """The model in the package: with an index and without, on unseen packages, and against training on a project alone."""
    import torch

    from benchmarks.contenders import MEMORY_CONTENDERS
    from benchmarks.memory import unseen_packages
    from benchmarks.shipped import measure_library, measure_swap, seeded
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.corpus import load_corpus, split
    from multiscale_transformer.data.sources import INSTALLED, STDLIB
    from multiscale_transformer.machine import available_cores

    torch.set_num_threads(threads or available_cores())
    library = read_corpus([STDLIB])
    corpus = split(unseen_packages((project,))[project])
    (contender,) = _contenders(
        {"flat with memory": MEMORY_CONTENDERS["flat with memory"]}, minutes, threads, corpus.train.nbytes
    )
    swap = {"project": project, **measure_swap(model, library, corpus, seeded(contender, seeds))}
    with busy("scoring"):
        figures = {"library": measure_library(model, library, load_corpus([STDLIB, INSTALLED]).held_out), "swap": swap}
    files.write_json(results, figures)
    out.print(json.dumps(figures, indent=1), markup=False)


@app.command("serve")
def bench_serve(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    minutes: Annotated[float, typer.Option(metavar="M", help="How long the soak lasts; 0 leaves it out.")] = 10.0,
    clients: Annotated[int, typer.Option(metavar="N", min=1, help="Clients of the soak.")] = 64,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds of the throughput.")] = 5,
    results: Results = Path("runs/bench-serve.json"),
) -> None:
    """The server: 16 clients beside the engine's own throughput, then many clients with bad manners."""
    from benchmarks.serving import measure_soak, measure_throughput
    from multiscale_transformer.cli.memory_args import memory_for

    memory = memory_for(read_config(model), model, None)
    figures: dict[str, Any] = {"serving": measure_throughput(model, memory, 16, rounds)}
    if minutes > 0:
        figures["soak"] = measure_soak(model, clients, minutes)
    files.write_json(results, figures)
    out.print(json.dumps(figures, indent=1), markup=False)


@app.command("export")
def bench_export(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", callback=paths, help="Data (default: the Python library)."),
    ] = None,
    held_out_files: Annotated[int, typer.Option("--files", metavar="N", min=1, help="Held-out files.")] = 16,
    file_bytes: Annotated[int, typer.Option(metavar="N", min=100, help="Bytes of each, from its beginning.")] = 800,
    distill: Annotated[float, typer.Option(metavar="M", min=0, help="Minutes to distil a student for; 0 for none.")] = 10.0,
    results: Results = Path("runs/bench-export.json"),
) -> None:
    """What the exported files keep of a model, in stock llama.cpp on held-out text."""
    from benchmarks.export import measure_export, zoo_sizes
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.sources import STDLIB

    corpus = read_corpus(data or [STDLIB])
    with busy("asking llama.cpp"):
        figures = measure_export(model, corpus, held_out_files, file_bytes, distill)
    content = {"model": read_config(model).parameters(), "exported": figures, "sizes": zoo_sizes()}
    files.write_json(results, content)
    out.print(json.dumps(content, indent=1), markup=False)


@app.command("utilisation")
def bench_utilisation(
    model: Annotated[str, typer.Option(metavar="NAME", help="A shipped model.")] = "AXL-Micro-Lion",
    seconds: Annotated[float, typer.Option(metavar="S", min=5.0, help="How long to train.")] = 60.0,
    threads: Threads = None,
    results: Results = Path("runs/bench-utilisation.json"),
) -> None:
    """Model FLOP/s while training, as a share of this machine's matrix-product rate in the same run."""
    from benchmarks.utilisation import measure_utilisation
    from multiscale_transformer.machine import available_cores

    recipe = load_recipe(model)
    figures = measure_utilisation(recipe, seconds, threads or available_cores())
    files.write_json(results, figures)
    windows = ", ".join(f"{share:.0%} at window {window}" for window, share in figures["share_at_window"].items())
    out.print(
        f"{figures['model']} trains at [bold]{figures['share']:.1%}[/] of {figures['matmul_flops_per_second'] / 1e9:,.0f} "
        f"GFLOP/s ({figures['dtype']} products on {figures['threads']} threads): {windows}"
    )


@app.command("busy")
def bench_busy(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; medians of their ratios count.")] = 5,
    seconds: Annotated[float, typer.Option(metavar="S", min=1.0, help="Seconds of training in each measurement.")] = 12.0,
    threads: Threads = None,
    results: Results = Path("runs/bench-busy.json"),
) -> None:
    """Training, evaluation and decoding beside busy programs, over the same on the quiet machine."""
    from benchmarks.busy import measure_busy
    from multiscale_transformer.machine import available_cores

    with busy("taking turns"):
        figures = measure_busy(threads or available_cores(), rounds, seconds, model)
    files.write_json(results, figures)
    out.print(json.dumps(figures, indent=1), markup=False)


@app.command("tables")
def bench_tables(
    documents: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Markdown files (default: README.md and docs/*.md).")
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the result files.")] = Path("runs"),
) -> None:
    """Write the figures of runs/*.json into the marked places of Markdown files."""
    for path in write_tables(documents or [Path("README.md"), *sorted(Path("docs").glob("*.md"))], runs):
        out.print(str(path), markup=False, soft_wrap=True)


def _contenders(configs: dict[str, ModelConfig], minutes: float, threads: int | None, train_bytes: int) -> list[Contender]:
    """Each config under its name, trained as a contest trains."""
    from benchmarks.contest import Contender

    return [Contender(name, config, _settings(config, minutes, threads, train_bytes)) for name, config in configs.items()]


def _settings(config: ModelConfig, minutes: float, threads: int | None, train_bytes: int) -> TrainSettings:
    from multiscale_transformer.machine import available_cores

    return TrainSettings(
        minutes=minutes,
        threads=threads or available_cores(),
        batch_bytes=batch_for(config),
        stages=stages_for(config, train_bytes),
        fim_rate=0.0,
        exit_weight=0.0,
        memory_dropout=0.0,
    )


def _show(name: str, seed: int) -> Sequence[Callback]:
    """A line now and then, on the error console, so that a long contest is seen to live."""
    shown = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown
        if progress.fraction - shown >= 0.25:
            shown = progress.fraction
            errors.print(f"  {name}, seed {seed}: {progress.fraction:.0%}, {progress.train_bpb:.3f} bits/byte in training")

    return (show,)


def _bits(rows: list[dict[str, Any]], name: str) -> list[float]:
    return [row["bits_per_byte"] for row in rows if row["name"] == name]


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title)
    for heading in ("", "bits/byte", "parameters", "MB read", "steps", "share of matmul rate"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        share = sum(row["flops_per_second"] / row["matmul_flops_per_second"] for row in mine) / len(mine)
        table.add_row(
            name,
            summary(_bits(rows, name)),
            f"{mine[0]['parameters']:,}",
            f"{sum(row['bytes_read'] for row in mine) / len(mine) / 1e6:.1f}",
            f"{sum(row['steps'] for row in mine) / len(mine):,.0f}",
            f"{share:.0%}",
        )
    show_table(table)

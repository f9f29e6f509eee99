"""What a memory is worth: models with it and without, beside compressors.

Beside bits per byte of held-out files: line completion with the same lines for every model; bits per byte of packages that
neither training nor index has seen; and the time that building an index and looking up takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import Field

from benchmarks.command import LIBRARY, Data, Results, Seeds, main, results_file
from benchmarks.comparison import (
    FLAT,
    FLAT_WITH_MEMORY,
    Columns,
    Comparison,
    Measure,
    Run,
    bits_of,
    candidates_of,
    compare,
    comparison_table,
    corpus_of,
    mean_of,
)
from benchmarks.index import IndexCost, index_cost
from multiscale_transformer.cli.options import Minutes, Threads
from multiscale_transformer.data.corpus import load_documents
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.installed import UNSEEN
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.evaluation.compression_baselines import LABELS, compression_figures, ppmd_apart_bits_per_byte
from multiscale_transformer.evaluation.lines import draw_lines, score_lines
from multiscale_transformer.evaluation.statistics import summary
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.model import MultiScaleTransformer

LINES = 200
CONFIGS = {
    "flat with memory": FLAT_WITH_MEMORY,
    "flat alone": FLAT,
}


class MemoryRun(Run):
    """A trained model, with line completion and bits per byte of unseen packages."""

    unseen: dict[str, float]
    unseen_in_order: dict[str, float]
    lines_exact: float
    lines_similarity: float
    lines: int


class MemoryResult(Comparison):
    """The runs, the compressors on held-out files and on unseen packages, and what the index costs."""

    kind: Literal["memory"] = "memory"
    runs: list[MemoryRun]
    unseen_baselines: dict[str, dict[str, float]] = Field(default_factory=dict)
    memory: IndexCost | None = None


def run(
    minutes: Minutes = 3.0, seeds: Seeds = 3, data: Data = None, threads: Threads = None, results: Results = None
) -> MemoryResult:
    """With memory and without: bits per byte, unseen packages, line completion, and what looking up costs."""
    path, corpus, packages = results or results_file("memory"), corpus_of(data or LIBRARY), unseen_packages()
    candidates = candidates_of(CONFIGS, minutes, threads, corpus)
    measure = measure_with(corpus.held_out, packages)
    result = compare(MemoryResult, candidates, corpus, range(seeds), path, measure=measure)
    if "zpaq" not in result.baselines:
        result.baselines = compression_figures(corpus.train, corpus.held_out, zpaq=True)
        result.unseen_baselines = unseen_baselines(corpus.train, packages)
    result.memory = result.memory or index_cost(corpus.train, corpus.held_out)
    result.write(path)
    return result


def unseen_packages(names: Iterable[str] = UNSEEN.values()) -> dict[str, Documents]:
    """The source files of installed packages. Raises AxlError when one is not installed."""
    packages = {}
    for name in names:
        spec = find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise AxlError(f"the package {name} is not installed; install AXL with pip install -e .")
        packages[name] = load_documents([f"{spec.submodule_search_locations[0]}/**/*.py"])
    return packages


def measure_with(held_out: Documents, packages: dict[str, Documents], lines: int = LINES) -> Measure:
    """Line completion on `held_out` and bits per byte of `packages`, for each trained model of a comparison."""
    drawn = draw_lines(held_out, lines)

    def measure(model: MultiScaleTransformer, memory: CorpusMemory | None) -> dict[str, Any]:
        unseen = {name: score_documents(model, documents, memory=memory).bits_per_byte for name, documents in packages.items()}
        in_order = {
            name: score_in_order(model, documents, memory) for name, documents in packages.items() if memory is not None
        }
        score = score_lines(model, drawn, memory)
        return {
            "unseen": unseen,
            "unseen_in_order": in_order,
            "lines_exact": score.exact,
            "lines_similarity": score.similarity,
            "lines": score.lines,
        }

    return measure


def score_in_order(model: MultiScaleTransformer, documents: Documents, memory: CorpusMemory) -> float:
    """Bits per byte of `documents` read in the order of their names, each indexed once it is scored.

    So a file may draw on the files before it, as a compressor does, which reads a package as one stream; and as a user's editor
    does whose project is indexed.
    """
    read: list[tuple[str, bytes]] = []
    bits = 0.0
    for name, content in sorted(documents):
        shards = [*memory.shards, build_shard(read)[0]] if read else memory.shards
        grown = CorpusMemory(shards, threads=memory.threads)
        bits += score_documents(model, [(name, content)], memory=grown).bits
        read.append((name, content))
    return bits / documents.nbytes


def unseen_baselines(train: Documents, packages: dict[str, Documents]) -> dict[str, dict[str, float]]:
    """What the compressors make of each package; `ppmd_apart` is PPMd that reads each file by itself."""
    return {
        name: {**compression_figures(train, documents, zpaq=True), "ppmd_apart": ppmd_apart_bits_per_byte(documents)}
        for name, documents in packages.items()
    }


def strongest_primed(figures: dict[str, float]) -> str:
    """The key of the primed compressor that a memory is held against: zpaq where it was measured."""
    return "zpaq_primed" if "zpaq_primed" in figures else "ppmd_primed"


def table(result: MemoryResult) -> str:
    """The comparison, the unseen packages, and what looking up costs."""
    key = strongest_primed(result.baselines)
    columns: Columns = {
        "held-out bits per byte": bits_of,
        f"of {LABELS[key].short}": lambda runs: f"{mean_of(runs, 'bits_per_byte') / result.baselines[key]:.2f}",
        "next line exact": lambda runs: f"{mean_of(runs, 'lines_exact'):.1%}",
        "next line similar": lambda runs: f"{mean_of(runs, 'lines_similarity'):.1%}",
        "parameters": lambda runs: f"{runs[0].parameters:,}",
        "MB read": lambda runs: f"{mean_of(runs, 'bytes_read') / 1e6:.1f}",
        "looking up": lambda runs: f"{mean_of(runs, 'lookup_share'):.0%} of the time",
    }
    text = comparison_table(result, columns) + _unseen_table(result)
    return text + (_index_sentence(result.memory) if result.memory else "")


def _unseen_table(result: MemoryResult) -> str:
    """Bits per byte of packages that neither training nor index has seen."""
    packages = list(result.unseen_baselines)
    head = "| a package that neither training nor index has seen | "
    lines = ["", head + " | ".join(packages) + " |", "|---|" + "---:|" * len(packages)]

    def row(label: str, figures: Sequence[dict[str, float]]) -> str:
        return f"| {label} | " + " | ".join(summary([each[package] for each in figures]) for package in packages) + " |"

    for name in dict.fromkeys(run.name for run in result.runs):
        runs = [run for run in result.runs if run.name == name]
        lines.append(row(name, [run.unseen for run in runs]))
        in_order = [run.unseen_in_order for run in runs if run.unseen_in_order]
        if in_order:
            lines.append(row(f"{name}, files before indexed", in_order))
    for key in ("ppmd", "ppmd_primed", "zpaq", "zpaq_primed"):
        if all(key in figures for figures in result.unseen_baselines.values()):
            bits = (result.unseen_baselines[package][key] for package in packages)
            lines.append(f"| {LABELS[key].full} | " + " | ".join(f"{figure:.3f}" for figure in bits) + " |")
    return "\n".join(lines) + "\n"


def _index_sentence(cost: IndexCost) -> str:
    return (
        f"\nOn one core, an index of {cost.corpus_bytes / 1e6:.1f} MB takes {cost.index_seconds:.1f} s to build and "
        f"{cost.index_bytes / cost.corpus_bytes:.2f} bytes on disk for each byte of text; a look-up of all sources "
        f"takes {cost.batch_microseconds:.1f} µs a position in a batch and {cost.single_microseconds:.0f} µs alone.\n"
    )


RESULT = MemoryResult

if __name__ == "__main__":
    main("memory")

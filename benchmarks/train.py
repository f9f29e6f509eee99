"""Scales of fixed strides and scales that follow words against a flat byte transformer and compressors, without a memory."""

from __future__ import annotations

from typing import Literal

from benchmarks.command import LIBRARY, Data, Results, Seeds, main, results_file
from benchmarks.comparison import FLAT, THREE_SCALES, WORDS, Comparison, candidates_of, compare, comparison_table, corpus_of
from multiscale_transformer.cli.options import Minutes, Threads
from multiscale_transformer.evaluation.compression_baselines import compression_figures


class TrainResult(Comparison):
    """The runs, and the compressors."""

    kind: Literal["train"] = "train"


def run(
    minutes: Minutes = 3.0, seeds: Seeds = 3, data: Data = None, threads: Threads = None, results: Results = None
) -> TrainResult:
    """Scales that follow words and of fixed strides against a flat byte transformer, xz, PPMd and zpaq."""
    path, corpus = results or results_file("train"), corpus_of(data or LIBRARY)
    candidates = candidates_of({"words": WORDS, "three scales": THREE_SCALES, "flat": FLAT}, minutes, threads, corpus)
    result = compare(TrainResult, candidates, corpus, range(seeds), path)
    if "zpaq" not in result.baselines:
        result.baselines = compression_figures(corpus.train, corpus.held_out, zpaq=True)
        result.write(path)
    return result


RESULT, table = TrainResult, comparison_table

if __name__ == "__main__":
    main("train")

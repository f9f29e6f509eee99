"""CodeBLEU of a corpus: the four parts, and their mean.

Where nothing is there to compare a part is None, and the mean is that of the others. The package codebleu counts a data flow
that it does not find, and one of which nothing matches, as a full match in the mean; that makes bad hypotheses look better
than fair ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.codebleu.dataflow import Flow, flow_of
from multiscale_transformer.evaluation.codebleu.languages import grammar_of
from multiscale_transformer.evaluation.codebleu.ngrams import NgramMatch, WeightedNgramMatch
from multiscale_transformer.evaluation.codebleu.syntax import CodeReader, Key, clean, subtrees

EQUAL = (0.25, 0.25, 0.25, 0.25)
Pair = tuple[Sequence[str], str]  # references, hypothesis


@dataclass(frozen=True)
class CodeBleu:
    """CodeBLEU and its parts, from 0 to 1, under the names of the package codebleu; None where nothing is to be compared.

    `broken` are hypotheses whose tree has errors, `too_complex` texts of which no tree or no data flow was found within limits:
    a hypothesis then matches nothing, and a reference asks for nothing.
    """

    codebleu: float | None
    ngram_match_score: float | None
    weighted_ngram_match_score: float | None
    syntax_match_score: float | None
    dataflow_match_score: float | None
    pairs: int
    broken: int
    too_complex: int

    @property
    def parts(self) -> dict[str, float | None]:
        """The four parts by what people call them."""
        return {
            "n-grams": self.ngram_match_score,
            "weighted n-grams": self.weighted_ngram_match_score,
            "syntax": self.syntax_match_score,
            "data flow": self.dataflow_match_score,
        }


def codebleu(
    pairs: Iterable[Pair],
    language: str,
    weights: Sequence[float] = EQUAL,
    tokenizer: Callable[[str], list[str]] = str.split,
) -> CodeBleu:
    """CodeBLEU of (references, hypothesis) pairs in "python", "javascript" or "java", over the corpus.

    `weights` are those of n-grams, weighted n-grams, syntax and data flow, and sum to 1. Words are what stands between
    blanks, as in published figures, unless `tokenizer` splits otherwise. Raises AxlError for other weights, an unknown
    language, missing packages, no pairs, a pair without references, and a text that is too long.
    """
    checked_weights(weights)
    grammar = grammar_of(language)
    ngrams, weighted = NgramMatch(), WeightedNgramMatch(grammar.keywords)
    with CodeReader(grammar) as reader:
        totals = _Totals(reader)
        for references, hypothesis in pairs:
            if not references:
                raise AxlError("a hypothesis has no reference; give it one, or leave it out")
            wanted, written = [clean(reference) for reference in references], clean(hypothesis)
            words = [tokenizer(text) for text in wanted], tokenizer(written)
            ngrams.add(*words)
            weighted.add(*words)
            totals.add(wanted, written)
    if not totals.pairs:
        raise AxlError("there is no pair to compare; name files that hold some")
    syntax, flow = _share(totals.subtrees), _share(totals.edges)
    parts = (ngrams.score(), weighted.score(), syntax, flow)
    return CodeBleu(_mean(parts, weights), *parts, totals.pairs, totals.broken, totals.too_complex)


def checked_weights(weights: Sequence[float]) -> Sequence[float]:
    """The weights. Raises AxlError unless they are four numbers from 0 to 1 with the sum 1."""
    if len(weights) != 4 or not all(0 <= weight <= 1 for weight in weights) or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise AxlError(
            f"weights are four numbers from 0 to 1 that sum to 1, got {', '.join(f'{weight:g}' for weight in weights)}"
        )
    return weights


@dataclass
class _Text:
    subtrees: list[int] | None
    flow: Flow | None
    broken: bool


class _Totals:
    """Matched and wanted, of subtrees and of edges, summed over pairs."""

    def __init__(self, reader: CodeReader) -> None:
        self._reader = reader
        self.subtrees, self.edges = [0, 0], [0, 0]
        self.pairs = self.broken = self.too_complex = 0

    def add(self, references: Sequence[str], hypothesis: str) -> None:
        numbers: dict[Key, int] = {}
        written = self._read(hypothesis, numbers)
        known = set(written.subtrees or ())
        for reference in references:
            wanted = self._read(reference, numbers)
            found = wanted.subtrees or []
            _add(self.subtrees, sum(number in known for number in found), len(found))
            flow = wanted.flow or Flow()
            _add(self.edges, (flow & (written.flow or Flow())).total(), flow.total())
        self.pairs += 1
        self.broken += written.broken

    def _read(self, text: str, numbers: dict[Key, int]) -> _Text:
        parsed = self._reader.read(text)
        flow = parsed and flow_of(*parsed, self._reader.grammar)
        self.too_complex += flow is None
        if parsed is None:
            return _Text(None, None, broken=True)
        return _Text(subtrees(*parsed, numbers), flow, parsed[1].root_node.has_error)


def _add(totals: list[int], matched: int, wanted: int) -> None:
    totals[0] += matched
    totals[1] += wanted


def _share(totals: Sequence[int]) -> float | None:
    return totals[0] / totals[1] if totals[1] else None


def _mean(parts: Sequence[float | None], weights: Sequence[float]) -> float | None:
    defined = [(part, weight) for part, weight in zip(parts, weights, strict=True) if part is not None]
    total = math.fsum(weight for _, weight in defined)
    return math.fsum(part * weight for part, weight in defined) / total if total else None

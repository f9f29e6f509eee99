"""Line completion: how often, and how nearly, a model writes the next line of a file that it never read.

Lines are drawn from held-out files; the model reads everything before a line and writes, taking the likeliest byte each time,
up to the end of the line. Exact match and edit similarity (one minus the Levenshtein distance over the longer length) compare
lines without the white space around them, as in CodeXGLUE (Lu et al. 2021, arXiv 2102.04664).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.engine.detokenizer import stream_text
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.generate import Sampling
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS

MIN_LINE_BYTES, MAX_LINE_BYTES = (
    8,
    120,
)  # bytes of a line without the white space around it: shorter ones are braces, longer ones tables


@dataclass(frozen=True)
class Line:
    """A line of a file to be written from what stands before it."""

    name: str
    before: bytes
    text: str


@dataclass(frozen=True)
class LineScore:
    """Means over lines: the share written exactly, and the edit similarity."""

    exact: float
    similarity: float
    lines: int


def draw_lines(documents: Documents, count: int, seed: int = 0) -> list[Line]:
    """`count` lines, or all there are, drawn evenly from all that are neither very short nor very long.

    Raises AxlError when no line is fit.
    """
    places: list[tuple[int, int, int]] = []
    for number in range(len(documents)):
        begin = 0
        for line in documents[number].splitlines(keepends=True):
            if begin and MIN_LINE_BYTES <= len(line.strip()) <= MAX_LINE_BYTES:
                places.append((number, begin, begin + len(line)))
            begin += len(line)
    if not places:
        raise AxlError("the held-out files have no line to complete; hold out or name other files")
    chosen = random.Random(seed).sample(places, min(count, len(places)))
    lines = []
    for number, begin, end in sorted(chosen):
        content = documents[number]
        lines.append(Line(documents.names[number], content[:begin], content[begin:end].decode("utf-8", "replace").strip()))
    return lines


def score_lines(
    model: MultiScaleTransformer,
    lines: Sequence[Line],
    memory: CorpusMemory | None = None,
    on_line: Callable[[], None] | None = None,
) -> LineScore:
    """Let the model write every line, and compare."""
    exact, similarity = 0, 0.0
    sampling = Sampling(temperature=0.0, max_new_tokens=2 * MAX_LINE_BYTES, stop=(b"\n",))
    for line in lines:
        written = "".join(stream_text(model, [BOS, *line.before], sampling, memory)).strip()
        exact += written == line.text
        similarity += Levenshtein.normalized_similarity(written, line.text)
        if on_line is not None:
            on_line()
    return LineScore(exact / len(lines), similarity / len(lines), len(lines))

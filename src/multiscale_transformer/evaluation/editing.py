"""What a person feels of a completion: is it right, does it end where it should, how much of it is kept, how soon is it there?

Places are drawn from held-out files: the next line and the rest of a line from a random token, where nothing follows, and gaps
(fill-in-the-middle) as editors ask, each with what follows: half a line (to its end), a part of a line, a line, a block. Beside
exact match and edit similarity (one minus the Levenshtein distance over the longer length, without white space around, as in
CodeXGLUE, Lu et al. 2021, arXiv 2102.04664) stand the bytes until the first error, which is what one keeps by accepting word by
word, and the share that ends by itself at the right place.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from multiscale_transformer.data import fim_cuts
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.engine.infill import fill_gap
from multiscale_transformer.engine.scheduler import STOP, Request, Scheduler
from multiscale_transformer.engine.stop_rules import NO_RULES
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.sampling import FIM_CANDIDATES, Sampling

Kind = Literal["next line", "rest of a line", "half a line", "part of a line", "line", "block"]
Mode = Literal["editor", "alone"]  # with the stop rules of an editor's request, or as the model ends by itself
KINDS: tuple[Kind, ...] = ("next line", "rest of a line", "half a line", "part of a line", "line", "block")
WITHOUT_SUFFIX: tuple[Kind, ...] = ("next line", "rest of a line")
MODES: tuple[Mode, ...] = ("editor", "alone")
SHORTEST, LONGEST = 3, 400  # bytes of what is wanted: below it is a bracket, beyond it a table
TRIES = 40  # draws for one place before its file is given up
_TOKEN = re.compile(rb"\w+|[^\w\s]")
_PHRASES = re.compile(rb"([^\n]{2,64}?)\1\1")  # three in a row ...
PHRASES_LENGTH, MARKS_LENGTH = 24, 64  # ... run on where they are so long together, with a letter in them or without one


@dataclass(frozen=True)
class Place:
    """A cursor in a file: what stands before it, what is wanted, and what follows (None where the editor sends nothing)."""

    kind: Kind
    name: str
    before: bytes
    wanted: bytes
    after: bytes | None

    @property
    def language(self) -> str:
        """The file's suffix, which is all that an editor tells."""
        return PurePosixPath(self.name).suffix or "other files"


class Answer(NamedTuple):
    """A completion: its text, whether it ended by itself (and not at a limit), and the seconds to its first byte."""

    text: bytes
    ended: bool
    first_seconds: float


@dataclass(frozen=True)
class EditingScore:
    """Means over places. `accepted` are bytes until the first error; seconds are the median and the 95th percentile."""

    places: int
    exact: float
    similarity: float
    accepted: float
    ends_right: float
    runs_on: float
    first_seconds: float
    first_seconds_95: float


def draw_places(documents: Documents, count: int, kind: Kind, seed: int = 0) -> list[Place]:
    """`count` places of one kind, files in turn. Raises AxlError when no file has one."""
    rng, numbers = random.Random(f"{seed} {kind}"), list(range(len(documents)))
    rng.shuffle(numbers)
    places: list[Place] = []
    while numbers and len(places) < count:
        numbers = [number for number in numbers if _add_place(places, documents, number, kind, rng)]
    if not places:
        raise AxlError("the held-out files have no place to complete; hold out or name other files")
    return places[:count]


def _add_place(places: list[Place], documents: Documents, number: int, kind: Kind, rng: random.Random) -> bool:
    content = documents[number]
    for _ in range(TRIES):
        cuts = _cuts(content, kind, np.random.default_rng(rng.getrandbits(64)))
        if cuts is not None and SHORTEST <= len(content[slice(*cuts)].strip()) <= LONGEST:
            first, second = cuts
            after = None if kind in WITHOUT_SUFFIX else content[second:]
            places.append(Place(kind, documents.names[number], content[:first], content[first:second], after))
            return True
    return False


def _cuts(content: bytes, kind: Kind, rng: np.random.Generator) -> tuple[int, int] | None:
    text = np.frombuffer(content, np.uint8).astype(np.int64)
    if kind == "part of a line":
        return fim_cuts.part_of_line(text, rng)
    if kind == "block":
        cuts = fim_cuts.block(text, rng)
        return cuts if cuts is not None and b"\n" in content[slice(*cuts)] else None
    cuts = fim_cuts.whole_line(text, rng)
    if cuts is None or kind == "line":
        return cuts
    begin, end = cuts
    if kind == "next line":
        start = content.rfind(b"\n", 0, begin) + 1
        return (start, end) if start else None
    tokens = [found.start() for found in _TOKEN.finditer(content, begin, end)][1:]
    return (tokens[int(rng.integers(len(tokens)))], end) if tokens else None  # the rest, or half, of a line


def completer(
    scheduler: Scheduler, memory: CorpusMemory | None, mode: Mode = "editor", candidates: int = FIM_CANDIDATES
) -> Callable[[Place], Answer]:
    """Completes places as a server does by default; without text after the cursor greedily, and it ends with its line."""
    context = scheduler.engine.config.max_seq_len

    def complete(place: Place) -> Answer:
        cursor, stops = fill_gap(place.before, place.after or b"", context), (b"\n",) if place.after is None else ()
        rules = cursor.rules if mode == "editor" else NO_RULES
        sampling = Sampling(temperature=0.0, max_new_tokens=LONGEST, stop=stops, candidates=candidates)
        begin, first, text, ended = time.perf_counter(), 0.0, "", False
        for chunk in scheduler.stream(Request(cursor.ids, sampling, memory, rules=rules, crlf=cursor.crlf, gap=cursor.gap)):
            if chunk.text and not text:
                first = time.perf_counter() - begin
            text += chunk.text
            ended = chunk.ended == STOP
        return Answer(text.encode(), ended, first or time.perf_counter() - begin)

    return complete


def score_places(
    places: Sequence[Place], complete: Callable[[Place], Answer], on_place: Callable[[], None] | None = None
) -> dict[str, EditingScore]:
    """Complete every place; scores by kind, by the suffix of the files (".py") where there are several, and of "all"."""
    rows: list[tuple[Place, Answer]] = []
    for place in places:
        rows.append((place, complete(place)))
        if on_place is not None:
            on_place()
    groups: dict[str, list[tuple[Place, Answer]]] = {}
    for group in (lambda place: place.kind, lambda place: place.language, lambda place: "all"):
        for row in rows:
            groups.setdefault(group(row[0]), []).append(row)
    everything = groups.pop("all")
    groups = {name: of_group for name, of_group in groups.items() if len(of_group) < len(everything)}
    return {name: _score(of_group) for name, of_group in {**groups, "all": everything}.items()}


def _score(rows: Sequence[tuple[Place, Answer]]) -> EditingScore:
    texts = [(place.wanted.strip(), answer.text.strip()) for place, answer in rows]
    seconds = sorted(answer.first_seconds for _, answer in rows)
    return EditingScore(
        places=len(rows),
        exact=statistics.fmean(wanted == written for wanted, written in texts),
        similarity=statistics.fmean(Levenshtein.normalized_similarity(wanted, written) for wanted, written in texts),
        accepted=statistics.fmean(common_length(place.wanted, answer.text) for place, answer in rows),
        ends_right=statistics.fmean(ends_right(place, answer) for place, answer in rows),
        runs_on=statistics.fmean(runs_on(answer.text) for _, answer in rows),
        first_seconds=statistics.median(seconds),
        first_seconds_95=seconds[min(len(seconds) - 1, round(0.95 * len(seconds)))],
    )


def common_length(wanted: bytes, written: bytes) -> int:
    """Bytes until the first difference."""
    pairs = zip(wanted, written, strict=False)
    return next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(wanted), len(written)))


def ends_right(place: Place, answer: Answer) -> bool:
    """Whether something ended by itself, on the line where the wanted text ends, and without writing what follows once more."""
    if not answer.ended or not answer.text.strip() or answer.text.strip().count(b"\n") != place.wanted.strip().count(b"\n"):
        return False
    rest = (place.after or b"").partition(b"\n")[0].strip()
    return len(rest) < SHORTEST or not answer.text.rstrip().endswith(rest)


def runs_on(text: bytes) -> bool:
    """Whether a text runs into blanks, or writes a line twice in a row or a phrase three times."""
    lines = text.split(b"\n")
    blanks = len(text) - len(text.rstrip()) > 8 or b"\n\n\n\n" in text or b" " * 40 in text.strip()
    phrases = (found[0] for found in _PHRASES.finditer(text))
    if any(len(found) >= (PHRASES_LENGTH if re.search(rb"[A-Za-z]", found) else MARKS_LENGTH) for found in phrases):
        return True
    return blanks or any(left == right and len(left.strip()) >= SHORTEST for left, right in pairwise(lines))

"""Searching a project by words (BM25 over windows of lines), as a person would with grep and an eye for what fits best."""

from __future__ import annotations

from dataclasses import dataclass

from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.nearest import Nearest, parts_of_names

WINDOW = 12  # lines that are judged together
MOST = 8  # places that are shown
MAX_BYTES = 8 << 20  # of a project that are searched
MAX_SHOWN = 160  # characters of a line


@dataclass(frozen=True)
class Place:
    """A line (from 1) of a file that fits a query."""

    name: str
    line: int
    text: str


def search(project: ProjectFolder, query: str) -> list[Place]:
    """The places that fit best, each the line of its window that has most of the words."""
    windows = _windows(project)
    nearest = Nearest([" ".join([name, *lines]) for name, _, lines in windows])
    scores = nearest.scores(query)
    best = [number for number in scores.argsort(kind="stable")[::-1][:MOST] if scores[number] > 0]
    return [_place(name, before, lines, query) for name, before, lines in (windows[number] for number in best)]


def _windows(project: ProjectFolder) -> list[tuple[str, int, list[str]]]:
    """Windows of lines with the file and the number of the line before them; what is no text is passed over."""
    found, total = [], 0
    for name in project.files():
        try:
            text = project.read(name)
        except AxlError:
            continue
        total += len(text)
        if total > MAX_BYTES:
            break
        lines = text.splitlines()
        found += [(name, begin, lines[begin : begin + WINDOW]) for begin in range(0, len(lines), WINDOW)]
    return found


def _place(name: str, begin: int, lines: list[str], query: str) -> Place:
    wanted = {word.lower() for word in parts_of_names(query)}

    def fits(line: str) -> tuple[bool, int]:
        return query in line, len(wanted & {word.lower() for word in parts_of_names(line)})

    number = max(range(len(lines)), key=lambda at: fits(lines[at]))
    return Place(name, begin + number + 1, lines[number].strip()[:MAX_SHOWN])

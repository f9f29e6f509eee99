"""What an error message says: the kind of error, the last line of the project that it came through, values."""

from __future__ import annotations

import builtins
import re

from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.errors import AxlError

AROUND = 2  # lines that are shown on both sides
_PYTHON = re.compile(r'File "([^"\n]+)", line (\d+)')
_PYTEST = re.compile(r"^([\w./-]+\.py):(\d+): ", re.MULTILINE)
_KIND = re.compile(
    r"^(?:E\s+)?((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit|Warning|Iteration))\b(?::\s*(.*))?",
    re.MULTILINE,
)
_VALUES = re.compile(r"assert (.+?) == (.+)$", re.MULTILINE)


def explained(message: str, project: ProjectFolder) -> str:
    """Lines about an error message or a traceback."""
    kinds = _KIND.findall(message.strip())
    kind, said = kinds[-1] if kinds else ("", "")
    about = getattr(builtins, kind.rpartition(".")[2], None) if kind else None
    lines = [f"{kind}: {said}".rstrip(": ")] if kind else []
    if isinstance(about, type) and issubclass(about, BaseException) and about.__doc__:
        lines.append(f"  {' '.join(about.__doc__.split())}")
    values = _VALUES.search(message)
    if values is not None:
        lines.append(f"  the value that came: {values[1].strip()}; expected: {values[2].strip()}")
    place = _last_place(message, project)
    if place is not None:
        lines += _shown(place, project)
    elif not kind:
        lines.append("no error of Python is named in it")
    return "\n".join(lines)


def _last_place(message: str, project: ProjectFolder) -> tuple[str, int] | None:
    """The last file of the project that is named with a line, and that line."""
    names = list(project.files())
    found = None
    places = [*_PYTHON.finditer(message), *_PYTEST.finditer(message)]
    for place in sorted(places, key=lambda match: match.start()):
        path = place[1]
        known = [name for name in names if path == name or path.endswith(f"/{name}")]
        if known:
            found = max(known, key=len), int(place[2])
    return found


def _shown(place: tuple[str, int], project: ProjectFolder) -> list[str]:
    name, number = place
    try:
        lines = project.read(name).splitlines()
    except AxlError:
        return []
    shown = range(max(1, number - AROUND), min(len(lines), number + AROUND) + 1)
    return [f"{name}:{number}", *(f"{'>' if at == number else ' '} {at:>4}  {lines[at - 1]}" for at in shown)]

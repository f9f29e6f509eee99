"""`axl serve PROJECT` as its user meets it: time to the first suggestion from the project, and to one from what was just saved.

The project is a copy of an installed package of some 30 MB. A suggestion comes from it when a name that only the project has is
completed; what is saved is a function with a name that nothing else has. Beside that, how long `/health` waits while the worst
requests that are known are being answered.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import typer

from benchmarks.command import Rounds
from benchmarks.command import main as run_command
from benchmarks.result import Result, Row, origin
from benchmarks.serve import cache_home, serving
from multiscale_transformer.cli.options import Checkpoint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.zoo.shipped import shipped_model

PACKAGE = "sympy"
MAX_BYTES = 30_000_000  # of the project's Python files
PATIENCE = 60.0  # seconds after which a suggestion counts as never
SAVED = "def {name}(first_argument, second_argument):\n    return first_argument.{name}(second_argument)\n"


class Wait(Row):
    """How long `/health` took, in seconds, while one kind of request was answered."""

    request: str
    body_bytes: int
    status: int
    median: float
    longest: float


class ProjectResult(Result):
    """Seconds from the command to a suggestion from the project, without and with an earlier index, and from a save to one."""

    kind: Literal["project"] = "project"
    package: str
    project_bytes: int
    files: int
    first_suggestion: float
    whole_indexed: float
    first_suggestion_again: float
    saved_to_suggested: list[float]
    health_alone: float
    health: list[Wait]


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    package: Annotated[str, typer.Option(metavar="NAME", help="The installed package that is the project.")] = PACKAGE,
    rounds: Rounds = 5,
) -> ProjectResult:
    """axl serve PROJECT: the first suggestion from 30 MB, a name that was just saved, and /health beside hostile requests."""
    with tempfile.TemporaryDirectory() as scratch, cache_home(Path(scratch) / "cache"):
        root = Path(scratch) / "work" / package
        files, size = _copy(package, root)
        by_size = sorted(root.rglob("*.py"), key=lambda path: path.stat().st_size)
        longest, newest = by_size[-20], by_size[-100]  # the very longest may be data, which is not indexed
        newest.touch()  # the file that its user works on
        begin = time.monotonic()
        with serving(model, str(root)) as (url, _):
            first = _until_suggested(url, *_piece(newest), begin)
            whole = _until_suggested(url, *_piece(longest), begin)
            saved = [_save(url, root, number) for number in range(rounds)]
            alone, waits = _health(url), list(_waits(url))
        begin = time.monotonic()
        with serving(model, str(root)) as (url, _):
            again = _until_suggested(url, *_piece(longest), begin)
    return ProjectResult(
        **origin("project", None).model_dump(),
        package=package,
        project_bytes=size,
        files=files,
        first_suggestion=first,
        whole_indexed=whole,
        first_suggestion_again=again,
        saved_to_suggested=saved,
        health_alone=alone,
        health=waits,
    )


def _copy(package: str, root: Path) -> tuple[int, int]:
    """The package's Python files up to `MAX_BYTES`, and how many files and bytes those are."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise AxlError(f"{package} is not installed here; pip install {package}, or name another --package")
    source, size, files = Path(found.submodule_search_locations[0]), 0, 0
    for path in sorted(source.rglob("*.py")):
        if size + path.stat().st_size > MAX_BYTES:
            continue
        target = root / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        size, files = size + path.stat().st_size, files + 1
    return files, size


def _until_suggested(url: str, prompt: str, path: Path, begin: float) -> float:
    """Seconds since `begin` until an answer has a file as its source."""
    body = {"prompt": prompt, "max_tokens": 60, "temperature": 0}
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        while time.monotonic() - begin < PATIENCE:
            choice = client.post("/v1/completions", json=body).json()["choices"][0]
            if any(Path(source["file"]).name == path.name for source in choice.get("sources", [])):
                return time.monotonic() - begin
            time.sleep(0.1)
    raise AxlError(f"no suggestion came from {path} within {PATIENCE:.0f} seconds")


def _piece(path: Path) -> tuple[str, Path]:
    """Some lines from the middle of a file, and the file."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[len(lines) // 2 :][:12]) + "\n", path


def _save(url: str, root: Path, number: int) -> float:
    """Seconds from saving a file with a new name to a completion from it."""
    name = f"quorvian_{number}_lattice_{'abcdefghij'[number % 10] * 3}_zymotic"
    path, text, begin = root / f"saved_{number}_zymotic.py", SAVED.format(name=name), time.monotonic()
    path.write_text(text)
    return _until_suggested(url, text.partition("\n")[0] + "\n", path, begin)


def _health(url: str) -> float:
    """Median seconds of /health while nothing else is asked."""
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        return statistics.median(_asked(client) for _ in range(20))


def _asked(client: httpx.Client) -> float:
    begin = time.monotonic()
    client.get("/health")
    return time.monotonic() - begin


def hostile() -> dict[str, tuple[str, dict[str, Any]]]:
    """Requests that held a server up for seconds, as they were reported, and the largest of their kinds accepted now."""
    message = {"role": "user", "content": "a"}
    variables = {f"property_{number}": {"type": "string"} for number in range(12_000)}
    tools = [{"type": "function", "function": {"name": f"tool_{number}"}} for number in range(5_000)]
    chat, generate = "/v1/chat/completions", "/api/generate"
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": {"type": "object", "properties": variables}}}
    few = {"type": "object", "properties": dict(list(variables.items())[:1_200])}
    words = [{"role": "user", "content": "read the file " * 350}]
    return {
        "180,000 messages": (chat, {"messages": [message] * 180_000, "max_tokens": 4}),
        "9,900 messages": (chat, {"messages": [message] * 9_900, "max_tokens": 4}),
        "template of 100,000 prompts": (generate, _generate("a" * 20_000, "{{ .Prompt }}" * 100_000)),
        "template of 64 prompts of 100 KB": (generate, _generate("a" * 100_000, "{{ .Prompt }}" * 64)),
        "schema of 12,000 properties": (chat, {"messages": [message], "max_tokens": 4, "response_format": form}),
        "schema of 1,200 properties": (generate, {**_generate("a", ""), "format": few}),
        "1.5 million ids": ("/detokenize", {"tokens": [97] * 1_500_000}),
        "149,000 ids": ("/detokenize", {"tokens": [97] * 149_000}),
        "5,000 tools": (chat, {"messages": [message], "tools": tools, "max_tokens": 4}),
        "128 tools, 5,000 characters": (chat, {"messages": words, "tools": tools[:128], "max_tokens": 4}),
        "prompt of 7 MB": ("/v1/completions", {"prompt": "a, " * 2_400_000, "max_tokens": 4}),
    }


def _generate(prompt: str, template: str) -> dict[str, Any]:
    return {"prompt": prompt, "template": template, "stream": False, "options": {"num_predict": 4}}


def _waits(url: str) -> Iterator[Wait]:
    for name, (path, body) in hostile().items():
        content, status = json.dumps(body).encode(), list[int]()

        def post(path: str = path, content: bytes = content, status: list[int] = status) -> None:
            status.append(httpx.post(url + path, content=content, timeout=PATIENCE).status_code)

        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            _asked(client)
            sending = threading.Thread(target=post)
            sending.start()
            waits = [_asked(client)]
            while sending.is_alive():
                waits.append(_asked(client))
            sending.join()
        yield Wait(request=name, body_bytes=len(content), status=status[0], median=statistics.median(waits), longest=max(waits))


def table(result: ProjectResult) -> str:
    """The times to a suggestion, then what each request makes others wait."""
    saved = statistics.median(result.saved_to_suggested)
    size, files = f"{result.project_bytes / 1e6:.0f} MB", f"{result.files:,} files of {result.package}"
    lines = [
        f"A project of {size} ({files}): the first suggestion from the file changed last {result.first_suggestion:.1f} s after "
        f"`axl serve`, from any file {result.whole_indexed:.1f} s, {result.first_suggestion_again:.1f} s where it was indexed "
        f"before; from a file just saved after {saved:.1f} s (median; longest {max(result.saved_to_suggested):.1f} s).",
        "",
        "| request | bytes | status | `/health` meanwhile, median | longest |",
        "|---|---:|---:|---:|---:|",
    ]
    for wait in result.health:
        waited = f"{1000 * wait.median:.0f} ms | {1000 * wait.longest:.0f} ms"
        lines.append(f"| {wait.request} | {wait.body_bytes:,} | {wait.status} | {waited} |")
    return "\n".join([*lines, "", f"Alone `/health` takes {1000 * result.health_alone:.0f} ms.", ""])


RESULT = ProjectResult

if __name__ == "__main__":
    run_command("project")

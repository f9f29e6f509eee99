"""`/v1/skills`: the skills of the command line for programs and the playground: a text in, a verified change out.

Each request runs `axl SKILL FILE --json` in a process and a folder of its own, so it answers what the command line answers, and
neither the engine nor the event loop waits for it. One runs at a time: a skill takes all cores for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.disconnects import unless_disconnected
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.state import server_state

SKILLS = {  # what each proposes, and what verifies it
    "document": "docstrings, with the parameters that the function has",
    "comment": "comments above the lines that get one; the program stays the same",
    "refactor": "edits that a linter asks for, where it is shown that they still do the same",
    "secure": "edits of calls that bandit and ruff would find",
    "test": "tests of what functions do now, that notice when it changes",
    "translate": "the same in JavaScript, run beside it in node",
}
WITHOUT_MODEL = ("secure",)  # rules alone
MAX_CHARACTERS = 200_000  # of a text
MAX_SECONDS = 120.0  # of a skill; those of a whole file take longest
MAX_WAITING = 8  # requests for the one place
NAME = "text.py"  # of the text in its folder, which what is written beside it is called after

router = routing.router("AXL")
_place = asyncio.Semaphore(1)
_asked: set[object] = set()  # requests that run or wait


class SkillBody(BaseModel):
    """A text of Python, and the function that is meant (`Class.method`); all of them without one."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(max_length=MAX_CHARACTERS)]
    function: Annotated[str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$", max_length=1000)] | None = None
    model: str = ""


@router.get("/v1/skills", summary="The skills")
async def skills() -> dict[str, Any]:
    """Names, and what each proposes."""
    return {"object": "list", "data": [{"id": name, "object": "skill", "proposes": text} for name, text in SKILLS.items()]}


@router.post("/v1/skills/{skill}", summary="A verified change of a text")
async def propose(
    skill: Literal["document", "comment", "refactor", "secure", "test", "translate"], body: SkillBody, http: Request
) -> dict[str, Any]:
    """The change as a diff, its file (the text's own, or one beside it) and the text of that, and what verified it.

    All are null, and there is a `reason`, where there is nothing to propose.
    """
    folder = server_state(http).registry.find(body.model).folder
    if len(_asked) > MAX_WAITING:
        raise ApiError(429, "too many skills wait; try again later", code="queue_full", retry_after=5)
    _asked.add(http)
    try:
        return await unless_disconnected(http, _run(skill, body, folder))
    finally:
        _asked.discard(http)


async def _run(skill: str, body: SkillBody, model: Path) -> dict[str, Any]:
    async with _place:
        with tempfile.TemporaryDirectory(prefix="axl-skill-") as folder:
            path = Path(folder) / NAME
            path.write_bytes(body.source.encode("utf-8", "replace"))
            where = f"{path}:{body.function}" if body.function else str(path)
            chosen = [] if skill in WITHOUT_MODEL else ["--model", str(model)]
            said, error, status = await _axl(skill, where, "--json", "--apply", *chosen, folder=folder)
            try:
                found = json.loads(said)
            except ValueError:
                lines = error.strip().splitlines()
                reason = lines[-1].removeprefix("axl: ") if lines else f"exit status {status}"
                raise ApiError(400 if status == 2 else 500, reason.replace(f"{folder}{os.sep}", "")) from None
            written = Path(found["file"]) if found["file"] else None
            after = written.read_text(encoding="utf-8") if written else None
    diff = found["diff"] and found["diff"].replace(f"{Path(folder).as_posix()}/", "")
    facts = {"file": written and written.name, "diff": diff, "after": after, "verified": found["verified"]}
    return {"object": "proposal", "skill": skill, **facts, "reason": found.get("reason")}


async def _axl(*arguments: str, folder: str) -> tuple[str, str, int]:
    """What a command prints, what it says beside, and its exit status. Raises ApiError (504) where it takes too long."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "multiscale_transformer", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(MAX_SECONDS):
            said, error = await process.communicate()
    except TimeoutError:
        raise ApiError(504, f"no proposal within {MAX_SECONDS:g} seconds; name one function") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return said.decode("utf-8", "replace"), error.decode("utf-8", "replace"), process.returncode or 0

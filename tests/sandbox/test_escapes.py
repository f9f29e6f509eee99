"""Nothing gets out of the sandbox, on any rung that claims so; and what would get out of a lesser one is seen to."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from held import IN_CI
from multiscale_transformer.sandbox.limits import Limits, Rung
from multiscale_transformer.sandbox.run import Sandbox
from sandbox import escapes
from sandbox.escapes import ESCAPES, FLEEING, GREEDY, Escape

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is a sandbox on Linux alone")
HELD = [Rung.NAMESPACES, Rung.LANDLOCK]


@pytest.fixture(scope="module")
def boxes() -> Iterator[dict[Rung, Sandbox]]:
    """A sandbox on each rung that this machine has."""
    with ExitStack() as stack:
        made = {}
        for rung in (*HELD, Rung.LIMITS):
            box = stack.enter_context(Sandbox(Limits(seconds=10), most=rung, minimum=Rung.LIMITS))
            made[box.rung] = box
        yield made


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[dict[str, Any]]:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with escapes.outside() as places:
        yield places


def need(rung: Rung, boxes: dict[Rung, Sandbox]) -> None:
    if rung not in boxes:
        (pytest.fail if IN_CI else pytest.skip)(f"this machine has no {rung.name.lower()}")


@pytest.mark.parametrize("rung", HELD, ids=lambda rung: rung.name.lower())
@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
def test_nothing_gets_out(escape: Escape, rung: Rung, boxes: dict[Rung, Sandbox], outside: dict[str, Any]) -> None:
    need(rung, boxes)
    outcome = boxes[rung].run_python(f"outside = {outside!r}\n{escape.program}")
    assert "ESCAPED" not in outcome.stdout
    assert Path(outside["file"]).read_text() == "secret"
    assert boxes[rung].run_python("print(6 * 7)").stdout == "42\n"


@pytest.mark.parametrize("escape", [escape for escape in ESCAPES if escape.control], ids=lambda escape: escape.name)
def test_a_lesser_rung_would_let_it_out(escape: Escape, boxes: dict[Rung, Sandbox], outside: dict[str, Any]) -> None:
    outcome = boxes[Rung.LIMITS].run_python(f"outside = {outside!r}\n{escape.program}")
    assert "ESCAPED" in outcome.stdout, outcome.stderr


@pytest.mark.parametrize("rung", [*HELD, Rung.LIMITS], ids=lambda rung: rung.name.lower())
@pytest.mark.parametrize("greedy", GREEDY)
def test_the_greedy_end_and_leave_nothing(greedy: str, rung: Rung, boxes: dict[Rung, Sandbox]) -> None:
    need(rung, boxes)
    box = boxes[rung]
    outcome = box.run_python(GREEDY[greedy], limits=Limits(seconds=2, memory_mb=256))
    assert "ESCAPED" not in outcome.stdout
    assert box._process is not None
    assert psutil.Process(box._process.pid).children(recursive=True) == []
    assert box.run_python("print(6 * 7)").stdout == "42\n"


@pytest.mark.parametrize("rung", [*HELD, Rung.LIMITS], ids=lambda rung: rung.name.lower())
def test_nobody_flees_while_forking(rung: Rung, boxes: dict[Rung, Sandbox]) -> None:
    """Killed between two forks, one in some sixty left a child behind that no look had seen."""
    need(rung, boxes)
    process = boxes[rung]._process
    assert process is not None
    for _ in range(100):
        boxes[rung].run_python(FLEEING, limits=Limits(seconds=2, memory_mb=256))
        assert psutil.Process(process.pid).children(recursive=True) == []


def _everybody_may_run(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(not _everybody_may_run(Path(sys.executable).resolve()), reason="Python lies where only root may read")
def test_an_ordinary_user_is_held_as_well(tmp_path: Path) -> None:
    """The same programs from a process of user 12345, whose sandbox needs a namespace of users."""
    programs = {escape.name: escape.program for escape in ESCAPES if "outside" not in escape.program}
    script = tmp_path / "ordinary.py"
    script.write_text(
        "import json, sys\nfrom multiscale_transformer.sandbox.run import Sandbox\n"
        "with Sandbox() as box:\n"
        "    print(json.dumps([box.rung.name, *(name for name, text in json.load(sys.stdin).items()"
        " if 'ESCAPED' in box.run_python(text).stdout)]))\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    ran = subprocess.run(
        [sys.executable, str(script)], input=json.dumps(programs), capture_output=True, text=True, check=False,
        user=12345, group=12345, extra_groups=[], env={**os.environ, "HOME": "/tmp"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)[1:] == []

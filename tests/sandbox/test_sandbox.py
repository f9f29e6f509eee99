"""What a program in the sandbox is given, how its end is told, and when there is no sandbox at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from held import needs_sandbox
from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox import probe, run
from multiscale_transformer.sandbox.limits import Limits, Outcome, Program, Rung
from multiscale_transformer.sandbox.run import Sandbox

pytestmark = needs_sandbox


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=20)) as sandbox:
        yield sandbox


def test_a_python_program_is_what_python_runs(box: Sandbox) -> None:
    source = "import sys\nif __name__ == '__main__':\n    print(sys.argv, input(), __file__, sys.path[0] != '')"
    program = Program(files={"a.py": source}, python="a.py", arguments=("x", "y"), stdin="line\n")
    assert box.run(program).stdout == "['a.py', 'x', 'y'] line a.py True\n"


def test_files_are_there_and_can_be_imported(box: Sandbox) -> None:
    files = {
        "main.py": "from package.inner import f\nprint(f(), open('data.txt').read())",
        "package/inner.py": "def f(): return 7",
    }
    assert box.run(Program(files={**files, "data.txt": "é"}, python="main.py")).stdout == "7 é\n"


def test_nothing_is_left_of_the_program_before(box: Sandbox) -> None:
    box.run_python("import math, sys\nmath.pi = 3\nsys.modules['left'] = math\nopen('left', 'w')")
    outcome = box.run_python("import math, os, sys\nprint(math.pi > 3.1, 'left' in sys.modules, os.listdir())")
    assert outcome.stdout == "True False ['main.py']\n"


@pytest.mark.parametrize(
    ("source", "status", "exit_status"),
    [
        ("print('x')", "ok", 0),
        ("import sys; sys.exit(3)", "failed", 3),
        ("raise SystemExit('no')", "failed", 1),
        ("1 / 0", "failed", 1),
        ("import os; os.abort()", "failed", -6),
        ("import os; os.kill(os.getpid(), 9)", "failed", -9),
        ("import os; os._exit(255)", "failed", 255),
        ("def f(:", "failed", 1),
        ("import os; os.write(2, b'the sandbox is broken'); os._exit(97)", "failed", 97),
        ("import os; os.write(3, b'broken\\0'); os._exit(97)", "failed", 1),
        ("while True: pass", "timeout", -9),
        ("print('x' * 100_000)", "output", -9),
    ],
)
def test_how_a_program_ends_is_told(source: str, status: str, exit_status: int, box: Sandbox) -> None:
    outcome = box.run_python(source, limits=Limits(seconds=1, output_bytes=1000))
    assert outcome.status == status
    assert outcome.exit_status == exit_status or status == "output"
    assert len(outcome.stdout) <= 1000


def test_a_traceback_is_that_of_python(box: Sandbox) -> None:
    outcome = box.run_python("def area(r):\n    return r / 0\n\narea(2)\n")
    lines = outcome.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.strip() for line in lines if line.startswith("  File")] == [
        'File "main.py", line 4, in <module>',
        'File "main.py", line 2, in area',
    ]
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_a_long_standard_input_arrives_whole(box: Sandbox) -> None:
    program = Program(files={"a.py": "import sys; print(len(sys.stdin.read()))"}, python="a.py", stdin="x" * 300_000)
    assert box.run(program).stdout == "300000\n"


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_node_is_a_guest(box: Sandbox) -> None:
    script = (
        "const fs = require('fs'); console.log(1 + 1); try { fs.readFileSync('/etc/passwd'); console.log('ESCAPED') } catch {}"
    )
    program = Program(files={"a.js": script}, command=("node", "a.js"), reserves_memory=True)
    outcome = box.run(program, limits=Limits(seconds=20, memory_mb=2048))
    assert (outcome.stdout, outcome.status) == ("2\n", "ok"), outcome.stderr


def test_what_is_prepared_and_what_is_readable(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("hello")
    source = f"print(open('more').read(), open({str(tmp_path / 'given')!r}).read())"
    program = Program(files={"a.py": source}, python="a.py", readable=(str(tmp_path),))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    assert box.run(program, prepare=lambda scratch: (scratch / "more").write_text("x") and None).stdout == "x hello\n"


def test_results_are_read_and_links_are_not_followed(box: Sandbox) -> None:
    source = "import os\nopen('a', 'w').write('x')\nos.symlink('/etc/passwd', 'b')\nos.mkfifo('c')"
    program = Program(files={"m.py": source}, python="m.py", results=("a", "b", "c", "d"))
    assert box.run(program).files == {"a": "x"}
    with pytest.raises(AxlError, match="does not lie in its folder"):
        box.run(program.model_copy(update={"results": ("../a",)}))


def test_wrong_programs_are_refused_and_the_next_one_runs(box: Sandbox) -> None:
    with pytest.raises(AxlError, match="outside its folder"):
        box.run(Program(files={"../x.py": ""}, python="../x.py"))
    with pytest.raises(AxlError, match="either a Python file or a command"):
        box.run(Program(files={}))
    assert box.run(Program(command=("no-such-program",))).exit_status != 0
    assert box.run_python("print(1)").ok


def test_it_is_gone_when_closed() -> None:
    with Sandbox() as sandbox:
        folder = Path(sandbox._folder)
        assert folder.is_dir()
    assert not folder.exists()


def test_a_claim_that_fails_takes_the_next_rung_and_then_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_above(most: Rung) -> None:
        real = probe.escapes
        monkeypatch.setattr(
            "multiscale_transformer.sandbox.run.escapes",
            lambda rung, outcome: "read" if rung > most else real(rung, outcome),
        )

    broken_above(Rung.LANDLOCK)
    with Sandbox() as sandbox:
        assert sandbox.rung == Rung.LANDLOCK
    broken_above(Rung.LIMITS)
    with pytest.raises(AxlError, match=r"untrusted code is not run here.*landlock: read"):
        Sandbox()
    with Sandbox(minimum=Rung.LIMITS) as sandbox:
        assert sandbox.rung == Rung.LIMITS


def test_the_probe_sees_what_is_open() -> None:
    closed = dict.fromkeys(("write", "udp", "unix", "signal", "memory"), False)
    answers = json.dumps({"scratch": True, "alone": True, **closed})[:-1] + ', "read": %s}'

    def outcome(text: str) -> Outcome:
        return Outcome(status="ok", exit_status=0, stdout=text, stderr="", seconds=0)

    assert probe.escapes(Rung.NAMESPACES, outcome(answers % "false")) is None
    assert "read" in str(probe.escapes(Rung.LANDLOCK, outcome(answers % "true")))
    assert probe.escapes(Rung.LIMITS, outcome(answers % "true")) is None
    assert "did not run" in str(probe.escapes(Rung.LIMITS, outcome("")))


def test_a_fork_server_that_died_is_started_again() -> None:
    with Sandbox() as box:
        assert box._process is not None
        box._process.kill()
        box._process.wait()
        with pytest.raises(AxlError, match="started again"):
            box.run_python("print(6 * 7)")
        assert box.run_python("print(6 * 7)").stdout == "42\n"


def test_a_fork_server_that_hangs_is_started_again_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WAIT_BESIDE", 0.5)
    with Sandbox() as box:
        assert box._process is not None
        hung = psutil.Process(box._process.pid)
        hung.suspend()
        with pytest.raises(AxlError, match="started again"):
            box.run_python("print(6 * 7)", limits=Limits(seconds=0.1))
        assert not hung.is_running()
        assert box.run_python("print(6 * 7)").stdout == "42\n"

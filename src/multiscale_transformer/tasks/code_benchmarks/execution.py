"""Running a solution with its test, in the sandbox, and saying what came of it.

A program passes when its test has run to its end: what stands behind the test leaves a word, drawn anew for each run, in a
file, so a program that ends early with status 0 does not pass. That is against accidents. A program that sets out to deceive
its test in its own process could, as in every harness of these benchmarks; one that wants out of it meets the sandbox.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.limits import Limits, Outcome, Program
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.code_benchmarks.problem import Language, Problem
from multiscale_transformer.tasks.code_benchmarks.reading import writable
from multiscale_transformer.tasks.javascript import node_path
from multiscale_transformer.tasks.source_text import parses

Result = Literal["passed", "failed", "timed out", "does not parse"]
LIMITS = Limits(seconds=12.0, cpu_seconds=4, memory_mb=1024)  # the harnesses of the benchmarks give 3 seconds of wall-clock
COMPILER_LIMITS = Limits(seconds=120.0, cpu_seconds=60, memory_mb=3072, file_mb=128, processes=64)
_BEGUN, _PASSED, _COMPILED = "begun.txt", "passed.txt", "compiled.txt"
_ASSERT = 'console.assert = (right, ...rest) => { if (!right) throw new Error(`Assertion failed ${rest.join(" ")}`); };'
# Linked by the system's own linker: Rust's lies in its folder, where the compiler's user may read and not look around.
_COMPILE = (
    "{rustc} --edition 2021 --test -A warnings -C debuginfo=0 -C link-arg=-fuse-ld=bfd -o test main.rs && echo yes > {compiled}"
)
_RUN_TEST = "ulimit -t {seconds} && exec ./test --test-threads=1"


class Verdict(NamedTuple):
    """What came of a program; `parses` also says that it compiles, where a compiler decides."""

    result: Result
    parses: bool

    @property
    def passed(self) -> bool:
        """Whether the test ran to its end."""
        return self.result == "passed"


def need_tools(language: Language) -> None:
    """Raises AxlError where what runs this language is not installed."""
    if language is Language.JAVASCRIPT:
        node_path()
    elif language is Language.RUST:
        _rust_root()


def judge(sandbox: Sandbox, problem: Problem, solution: str) -> Verdict:
    """Run a solution with the test of its problem. Raises AxlError where what runs it is not installed."""
    if not writable(solution):
        return Verdict("does not parse", False)
    runs = {Language.PYTHON: _python, Language.JAVASCRIPT: _javascript, Language.RUST: _rust}
    return runs[problem.language](sandbox, solution, problem.test)


def _python(sandbox: Sandbox, solution: str, test: str) -> Verdict:
    if not parses(solution):
        return Verdict("does not parse", False)
    word = secrets.token_hex(8)
    end = f"__import__('pathlib').Path('{_PASSED}').write_text('{word}')\n"
    program = Program(files={"main.py": f"{solution}\n{test}\n{end}"}, python="main.py", results=(_PASSED,))
    outcome = sandbox.run(program, limits=LIMITS)
    return Verdict(_result(outcome, passed=outcome.files.get(_PASSED) == word), True)


def _javascript(sandbox: Sandbox, solution: str, test: str) -> Verdict:
    word = secrets.token_hex(8)
    begin = f'require("fs").writeFileSync("{_BEGUN}", "");{_ASSERT}'
    end = f'require("fs").writeFileSync("{_PASSED}", "{word}");\n'
    program = Program(
        files={"test.js": f"{begin}\n{solution}\n{test}\n{end}"},
        command=(node_path(), "test.js"),
        reserves_memory=True,
        results=(_BEGUN, _PASSED),
    )
    outcome = sandbox.run(program, limits=LIMITS)
    if _BEGUN not in outcome.files:  # node parses the whole before it runs the first statement
        return Verdict("does not parse", False)
    return Verdict(_result(outcome, passed=outcome.files.get(_PASSED) == word), True)


def _rust(sandbox: Sandbox, solution: str, test: str) -> Verdict:
    root = _rust_root()
    compile_ = _COMPILE.format(rustc=f"'{root}/bin/rustc'", compiled=_COMPILED)
    script = f"{compile_} && {_RUN_TEST.format(seconds=LIMITS.cpu_seconds)}"
    program = Program(
        files={"main.rs": f"fn main() {{}}\n{solution}\n{test}\n"},
        command=("/bin/sh", "-c", script),
        readable=(root,),
        reserves_memory=True,
        results=(_COMPILED,),
    )
    outcome = sandbox.run(program, limits=COMPILER_LIMITS)
    if _COMPILED not in outcome.files:
        return Verdict("timed out" if outcome.status == "timeout" else "does not parse", False)
    # What tests print is kept by their harness, whose own last line comes only where they have run to the end.
    passed = "test result: ok." in outcome.stdout and "running 0 tests" not in outcome.stdout
    return Verdict(_result(outcome, passed=passed), True)


def _result(outcome: Outcome, *, passed: bool) -> Result:
    if passed and outcome.ok:
        return "passed"
    killed = outcome.exit_status in (-9, -24, 137, 152)  # by the limit of CPU time: SIGXCPU, then SIGKILL
    return "timed out" if outcome.status == "timeout" or killed else "failed"


@cache
def _rust_root() -> str:
    """The folder of the Rust toolchain. Raises AxlError where there is none."""
    found = shutil.which("rustc")
    if found is None:
        raise AxlError("rustc is not installed, and problems in Rust are run with it: install Rust (rustup.rs)")
    try:
        done = subprocess.run([found, "--print", "sysroot"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise AxlError(f"rustc does not say where it lies ({error}); install Rust anew (rustup.rs)") from None
    return str(Path(done.stdout.strip()).resolve())

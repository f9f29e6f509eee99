"""Running tests of a module in the sandbox and seeing what happened: which failed, on which lines, with which values.

The tests are statements, most of them `assert f(x) == y`. For such a one the values of both sides are told, as pytest would
show them. The lines of the module that ran before a test failed are told as well: a bug lies on one of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.sandbox.limits import Limits, Outcome, Program
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.module_driver import DRIVER, MODULE, REPORT, REQUEST
from multiscale_transformer.tasks.watching import MAX_SHOWN, WATCHER, Watch, Watched

_DRIVER = """
import ast, json, sys, time, traceback
WATCHER
request = json.load(open("request.json"))
module, seen, awaited, report = request["module"], set(), [], []
expect_watches([(module, *watch) for watch in request["watches"]])

def local(frame, event, argument):
    if event == "line":
        seen.add(frame.f_lineno)
        if watches:
            watch(frame)
    return local

def tracer(frame, event, argument):
    return local if frame.f_code.co_filename == module else None

def failure(error):
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == module]
    return {"error": type(error).__name__, "message": str(error)[:MAX_SHOWN], "at": frames}

def run(text, space):
    tree = ast.parse(text)
    only = tree.body[0] if len(tree.body) == 1 else None
    test = only.test if isinstance(only, ast.Assert) else None
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        actual = eval(compile(ast.Expression(test.left), "test", "eval"), space)
        expected = eval(compile(ast.Expression(test.comparators[0]), "test", "eval"), space)
        awaited.append(shown(expected))
        if not actual == expected:
            return {"error": "AssertionError", "message": "", "at": [], "actual": shown(actual), "expected": shown(expected)}
        return None
    exec(compile(tree, "test", "exec"), space)
    return None

def observe(text, space):
    seen.clear()
    awaited.clear()
    forget_watched()
    if request["trace"]:
        sys.settrace(tracer)
    try:
        failed = run(text, space)
    except BaseException as error:
        failed = failure(error)
    finally:
        sys.settrace(None)
    watched = watched_now(awaited[0] if awaited else None)
    report.append({"test": text, "lines": sorted(seen), "watched": watched, **(failed or {})})
    json.dump(report, open("report.json", "w"))
    return failed is None

space = {"__name__": "module_under_test"}
passed = True
try:
    exec(compile(open(module).read(), module, "exec"), space)
    exec(compile(request["setup"], "setup", "exec"), space)
except BaseException as error:
    report.append({"test": "", "lines": [], **failure(error)})
    json.dump(report, open("report.json", "w"))
    sys.exit(1)
for text in request["tests"]:
    passed = observe(text, space) and passed
    if not passed and request["first"]:
        break
sys.exit(0 if passed else 1)
""".replace("WATCHER", WATCHER).replace("MAX_SHOWN", str(MAX_SHOWN))


class Observed(BaseModel):
    """One test: the error it ended with (None where it passed), where, with which values, and the lines that ran."""

    model_config = ConfigDict(frozen=True)

    test: str
    lines: tuple[int, ...] = ()
    error: str | None = None
    message: str = ""
    at: tuple[int, ...] = ()  # lines of the module in the traceback, innermost last
    actual: str | None = None
    expected: str | None = None
    watched: dict[int, Watched] = {}  # by the number of the watch, those that were reached


class Observation(BaseModel):
    """What became of the tests, up to the one that stopped the program; `status` is that of the program."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "failed", "timeout", "output"]
    tests: tuple[Observed, ...]

    @property
    def passed(self) -> bool:
        """Whether all tests ran and passed."""
        return self.status == "ok"

    @property
    def failure(self) -> Observed:
        """The first test that did not pass; of a program that was stopped, a test with the error Timeout."""
        failed = next((test for test in self.tests if test.error is not None), None)
        return failed or Observed(test="", error="Timeout" if self.status == "timeout" else "SystemExit")


def observe(
    sandbox: Sandbox,
    module: str,
    tests: Sequence[str],
    *,
    setup: str = "",
    limits: Limits | None = None,
    trace: bool = True,
    first: bool = False,
    watches: Sequence[Watch] = (),
) -> Observation:
    """Run `tests` on the text of a module; with `first` end at the first that fails. Edits are watched where it traces."""
    watched = [watch.row for watch in watches]
    request = {
        "module": MODULE, "tests": list(tests), "setup": setup, "trace": trace, "first": first, "watches": watched,
    }  # fmt: skip
    program = Program(files={MODULE: module, DRIVER: _DRIVER, REQUEST: json.dumps(request)}, python=DRIVER, results=(REPORT,))
    return _observation(sandbox.run(program, limits=limits))


def _observation(outcome: Outcome) -> Observation:
    try:
        tests = json.loads(outcome.files.get(REPORT, "[]"))
    except ValueError:
        tests = []
    return Observation(status=outcome.status, tests=tests)

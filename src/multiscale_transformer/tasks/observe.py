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
from multiscale_transformer.tasks.watching import Watch, Watched

MAX_SHOWN = 300  # characters of a value
MOST_VISITS = 40  # of a statement in a test at which edits of it are watched
MOST_SECONDS = 0.3  # for watching in all tests

_DRIVER = """
import ast, json, sys, time, traceback

request = json.load(open("request.json"))
module, seen, report = request["module"], set(), []
PLAIN = (int, float, complex, str, bytes, bool, type(None), list, tuple, dict, set, frozenset, range)
watches, visits, flags, returned, spent = {}, {}, {}, {}, 0.0
for number, (line, now, edited, names, returns) in enumerate(request["watches"]):
    both = [compile(text, "watch", "eval") for text in (now, edited)]
    watches.setdefault(line, []).append((number, *both, names, returns))

def value_of(code, frame):
    try:
        value = eval(code, frame.f_globals, dict(frame.f_locals))
        return (list if isinstance(value, (map, filter, zip, enumerate, reversed)) else lambda x: x)(value)
    except Exception as error:
        return type(error)

def watch(frame):
    global spent
    begin = time.perf_counter()
    for number, now, edited, names, returns in watches.get(frame.f_lineno, ()):
        visits[number] = visits.get(number, 0) + 1
        if visits[number] > MOST_VISITS or spent > MOST_SECONDS:
            continue
        local = frame.f_locals
        if all(isinstance(local[name], PLAIN) for name in names if name in local):
            before, after = value_of(now, frame), value_of(edited, frame)
            failed, fails = (isinstance(value, type) and issubclass(value, Exception) for value in (before, after))
            retyped = type(before) is not type(after)
            now_seen = (retyped or shown(before) != shown(after), retyped and not failed and not fails, fails and not failed,
                        failed and not fails)
            flags[number] = tuple(map(max, flags.get(number, now_seen), now_seen))
            if returns and frame.f_back.f_code.co_filename != module:
                returned[number] = after
    spent += time.perf_counter() - begin

def shown(value):
    try:
        return repr(value)[:MAX_SHOWN]
    except BaseException:
        return "?"

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
        for number, value in returned.items():
            returned[number] = type(value) is type(expected) and shown(value) == shown(expected)
        if not actual == expected:
            return {"error": "AssertionError", "message": "", "at": [], "actual": shown(actual), "expected": shown(expected)}
        return None
    exec(compile(tree, "test", "exec"), space)
    return None

def observe(text, space):
    for kept in (seen, visits, flags, returned):
        kept.clear()
    if request["trace"]:
        sys.settrace(tracer)
    try:
        failed = run(text, space)
    except BaseException as error:
        failed = failure(error)
    finally:
        sys.settrace(None)
    names = ("changes", "retypes", "raises", "recovers")
    watched = {number: {"expected": returned.get(number) is True, **dict(zip(names, found))} for number, found in flags.items()}
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
"""
for _name, _value in (("MAX_SHOWN", MAX_SHOWN), ("MOST_VISITS", MOST_VISITS), ("MOST_SECONDS", MOST_SECONDS)):
    _DRIVER = _DRIVER.replace(_name, str(_value))


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
    watched = [(watch.line, watch.now, watch.edited, watch.names, watch.returns) for watch in watches]
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

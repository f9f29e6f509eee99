"""What a call of a function does, step by step: the lines that run, the variables that each changes, and the value at the end.

    2 total=0
    3 n=4
    4 total=4
    = 4

The interpreter says it, in the sandbox. As text it is what a model learns to write before the value (scratchpads, Nye et al.
2021, arXiv 2112.00114); a line is a number within the function and what has changed since the line before.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.sandbox.limits import Limits
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.module_driver import Module, drive

LIMITS = Limits(seconds=5.0, cpu_seconds=5, memory_mb=512)
MAX_STEPS = 400  # of a call, beyond which it is not told
MAX_SHOWN = 120  # characters of a value
CALL_SECONDS = 0.25
RESULT = "= "  # stands before the value

_DRIVER = (
    """
def shown(value):
    try:
        return repr(value)[:MAX_SHOWN + 1]
    except BaseException:
        return "?"

def is_literal(text):
    try:
        ast.literal_eval(text)
        return len(text) <= MAX_SHOWN
    except Exception:
        return False

space, place = vars(module), module.__file__
for call in request["calls"]:
    steps, known, last, depth = [], {}, [None], [0]

    def note(frame):
        if last[0] is not None:
            now = {name: shown(value) for name, value in frame.f_locals.items() if name[0] != "." and not callable(value)}
            changed = {name: text for name, text in now.items() if known.get(name) != text}
            known.clear()
            known.update(now)
            if len(steps) > MAX_STEPS:
                raise Late
            steps.append({"line": last[0], "changed": changed})

    def local(frame, event, argument):
        if event == "line":
            note(frame)
            last[0] = frame.f_lineno - request["first"] + 1
        elif event == "return":
            note(frame)
            last[0] = None
        return local

    def tracer(frame, event, argument):
        if frame.f_code.co_filename == place and frame.f_code.co_name == request["name"] and depth[0] == 0:
            depth[0] = 1
            known.update({name: shown(value) for name, value in frame.f_locals.items()})
            return local
        return None

    signal.setitimer(signal.ITIMER_REAL, CALL_SECONDS)
    try:
        expression = compile(call, "call", "eval")
        sys.settrace(tracer)
        try:
            value = eval(expression, dict(space))
        finally:
            sys.settrace(None)
        text = repr(value)
        report.append({"steps": steps, "value": text, "literal": is_literal(text)})
    except Late:
        sys.settrace(None)
        report.append(None)
    except BaseException as error:
        sys.settrace(None)
        report.append({"steps": steps, "error": type(error).__name__})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
""".replace("CALL_SECONDS", str(CALL_SECONDS))
    .replace("MAX_STEPS", str(MAX_STEPS))
    .replace("MAX_SHOWN", str(MAX_SHOWN))
)


class Step(BaseModel):
    """A line that ran (from 1, within the function), and what variables it changed to, as Python writes values."""

    model_config = ConfigDict(frozen=True)

    line: int
    changed: dict[str, str]

    @property
    def text(self) -> str:
        """The step as one line."""
        return " ".join([str(self.line), *(f"{name}={value}" for name, value in self.changed.items())])


class Trace(BaseModel):
    """The steps of a call, and the value it gave, or the name of the exception it raised. Recursion counts as one step."""

    model_config = ConfigDict(frozen=True)

    steps: tuple[Step, ...]
    value: str | None = None
    literal: bool = False  # whether the value can be written down
    error: str | None = None

    @property
    def text(self) -> str:
        """Steps and value, a line each."""
        end = RESULT + self.value if self.value is not None else f"{RESULT}raises {self.error}"
        return "\n".join([*(step.text for step in self.steps), end]) + "\n"


def traces_of(sandbox: Sandbox, module: Module, name: str, first: int, calls: Sequence[str]) -> list[Trace | None]:
    """The trace of each call of the function `name`, whose first line in the module is `first`.

    None of those that took too long, and of all where the module does not load.
    """
    report = drive(sandbox, module, _DRIVER, {"name": name, "first": first, "calls": list(calls)}, LIMITS)
    try:
        return [None if trace is None else Trace.model_validate(trace) for trace in report]
    except (TypeError, ValueError):
        return [None] * len(calls)

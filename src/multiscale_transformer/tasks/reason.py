"""The skill reason: a function and a call in, what happens step by step out, and the value.

Examples are functions that need nothing but Python's library, with calls that stand in the code or are made at random, and what
the interpreter says of them (`tasks.traces`). Each comes twice: with the steps before the value, and with the value alone, so
that it can be measured what the steps are good for. The interpreter is always right; measured is how well a net foresees it.
"""

from __future__ import annotations

import ast
import builtins
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.calls import calls_in
from multiscale_transformer.tasks.examples import Example, capped
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.random_calls import random_calls
from multiscale_transformer.tasks.skill import Figures, Measurement, Skill
from multiscale_transformer.tasks.source_text import SourceText, parsed
from multiscale_transformer.tasks.traces import LIMITS, RESULT, Trace, traces_of
from multiscale_transformer.tasks.writer import Writer

TASK = "reason"
STEPS, VALUE = "Steps", "Value"  # the two kinds of answers, and the rules of their examples
FIGURES = {VALUE: "value alone", STEPS: "value, with steps"}  # what is measured of each; nets foresee more without steps
MAX_FUNCTION, MAX_STEPS, MAX_ANSWER = 700, 24, 400
CALLS = 12  # tried of each function
KEPT = 3  # calls of a function that are kept
MAX_OF_PACKAGE = 1200
SAFE_MODULES = frozenset({"bisect", "collections", "functools", "heapq", "itertools", "math", "operator", "re", "string"})


def prompt_of(function: str, call: str, kind: str) -> str:
    """The function, the call as in an interpreter, and whether the steps are wanted or the value alone."""
    return f"{function.rstrip()}\n>>> {call}\n{kind}:\n"


class Alone(NamedTuple):
    """A function that runs by itself: its text, the imports that it needs, and its node."""

    text: str
    imports: str
    node: ast.FunctionDef


def make_examples(texts: Iterable[PackageText]) -> list[Example]:
    """Examples of all functions that run by themselves and give different values for different calls."""
    found: list[Example] = []
    with Sandbox(LIMITS) as sandbox:
        for text in texts:
            for function in functions_alone(text.text):
                for call, trace in _kept(sandbox, function, text.text):
                    value = f"{RESULT}{trace.value}\n"
                    for kind, answer in ((STEPS, trace.text), (VALUE, value)):
                        found.append(
                            Example(
                                task=TASK,
                                prompt=prompt_of(function.text, call, kind),
                                answer=answer,
                                package=text.package,
                                origin=f"{text.name}:{function.node.name}",
                                rule=kind,
                                licence=text.licence,
                            )
                        )
    return capped(found, rule=1 << 30, package=MAX_OF_PACKAGE)


def functions_alone(text: str) -> Iterator[Alone]:
    """Functions at the top of a text that need nothing but builtins and some modules of the library."""
    try:
        source = SourceText(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    imports = dict(_safe_imports(source))
    for node in source.tree.body:
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or node.name.startswith("test_"):
            continue
        function = source.of(node)
        if len(function.encode()) > MAX_FUNCTION or not (node.args.args or node.args.posonlyargs):
            continue
        free = _free_names(node)
        if all(hasattr(builtins, name) or name in imports for name in free):
            yield Alone(function, "".join(dict.fromkeys(imports[name] for name in sorted(free) if name in imports)), node)


def _safe_imports(source: SourceText) -> Iterator[tuple[str, str]]:
    """Names that are imported at the top from modules that touch nothing, and the lines that import them."""
    for node in source.tree.body:
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            what = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
            if isinstance(node, ast.Import) and alias.name in SAFE_MODULES:
                yield alias.asname or alias.name, f"import {what}\n"
            elif isinstance(node, ast.ImportFrom) and node.module in SAFE_MODULES and not node.level:
                yield alias.asname or alias.name, f"from {node.module} import {what}\n"


def _free_names(function: ast.FunctionDef) -> set[str]:
    """Names that a function reads and does not bind itself; annotations and defaults are read too."""
    read = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    bound |= {node.name for node in ast.walk(function) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {node.name for node in ast.walk(function) if isinstance(node, ast.ExceptHandler) and node.name}
    for node in ast.walk(function):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal | ast.Yield | ast.YieldFrom | ast.Await):
            return {""}  # it reaches out, or is no function that gives a value
    return read - bound


def _kept(sandbox: Sandbox, function: Alone, text: str) -> list[tuple[str, Trace]]:
    """A few calls with short traces, where not all of them give the same."""
    name = function.node.name
    rng = random.Random(name)
    calls = [call.text for call in calls_in([text], name)][:CALLS]
    calls = list(dict.fromkeys([*calls, *(call.text for call in random_calls(function.node, CALLS, rng))]))
    module = Module(f"{function.imports}\n\n{function.text}\n")
    traces = traces_of(sandbox, module, name, function.imports.count("\n") + 3, calls)
    usable = [
        (call, trace)
        for call, trace in zip(calls, traces, strict=True)
        if trace is not None
        and trace.literal
        and trace.value != "None"
        and 1 < len(trace.steps) <= MAX_STEPS
        and len(trace.text.encode()) <= MAX_ANSWER
    ]
    by_value = {trace.value: (call, trace) for call, trace in reversed(usable)}
    return list(by_value.values())[:KEPT] if len(by_value) > 1 else []


def constraint_for(function: str, kind: str) -> GrammarConstraint:
    """Steps of lines and names that the function has, and a value; or the value alone."""
    node = parsed(function).body[0]
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} | {
        one.arg for one in ast.walk(node) if isinstance(one, ast.arg)
    }
    lines = " | ".join(f'"{number}"' for number in range(2, function.rstrip().count("\n") + 2))
    change = " | ".join(f'"{name}="' for name in sorted(names))
    end = f'end: "{RESULT}" /[^\\n\\r]{{1,130}}/ "\\n"\n'
    if kind == VALUE or not lines:
        return GrammarConstraint.lark(f"start: end\n{end}")
    return GrammarConstraint.lark(
        f'start: step* end\nstep: line (" " change)* "\\n"\nline: {lines}\n'
        f"change: name /[^\\n\\r]{{1,130}}/\nname: {change}\n{end}"
    )


def propose(writer: Writer, function: str, call: str, kind: str = STEPS) -> str:
    """What the model says happens, as the text of a trace."""
    prompt = prompt_of(function, call, kind)
    return writer.write(prompt, [0], most=MAX_ANSWER, temperature=0.0, constraint=constraint_for(function, kind))[0]


def value_in(answer: str) -> str | None:
    """The value that an answer ends with."""
    found = re.search(rf"^{RESULT}(.*)$", answer, re.MULTILINE)
    return found[1] if found else None


def right_steps(answer: str, wanted: str) -> tuple[int, int]:
    """How many lines of an answer are right before the first that is not, and how many there are."""
    lines, right = answer.splitlines(), wanted.splitlines()
    count = 0
    for line, other in zip(lines, right, strict=False):
        if line != other:
            break
        count += 1
    return count, len(right)


def measure(measurement: Measurement) -> Figures:
    """Values foreseen with the steps before them and without, and steps foreseen; of functions that no model has seen."""
    test = measurement.examples("test")
    scores: dict[str, list[bool]] = {STEPS: [], VALUE: []}
    steps = [0, 0]
    for example in test:
        function, call = _parts(example.prompt)
        answer = propose(measurement.writer, function, call, example.rule)
        scores[example.rule].append(value_in(answer) == value_in(example.answer))
        if example.rule == STEPS:
            right, count = right_steps(answer, example.answer)
            steps = [steps[0] + right, steps[1] + count]
    figures = {
        FIGURES[VALUE]: _mean(scores[VALUE]),
        FIGURES[STEPS]: _mean(scores[STEPS]),
        "steps before the first error": steps[0] / max(1, steps[1]),
    }
    rivals: dict[str, dict[str, float]] = {"interpreter": dict.fromkeys(FIGURES.values(), 1.0)}
    for kind, figure in FIGURES.items():
        asked = [example for example in test if example.rule == kind]
        for name, share in _rivals(asked, measurement.examples("train")).items():
            rivals.setdefault(name, {})[figure] = share
    note = "the interpreter made the examples and is right about all of them; echo says the first argument"
    packages = len({example.package for example in test})
    return Figures(
        skill=TASK,
        examples=len(test),
        packages=packages,
        figures=figures,
        rivals=rivals,
        teachers=("interpreter",),
        notes=(note,),
    )


def _rivals(test: Sequence[Example], train: Sequence[Example]) -> dict[str, float]:
    frequent = Counter(value_in(example.answer) for example in train).most_common(1)
    values = [(value_in(example.answer), _parts(example.prompt)[1]) for example in test]
    return {
        "echo": _mean([value == _first_argument(call) for value, call in values]),
        "most frequent": _mean([bool(frequent) and value == frequent[0][0] for value, _ in values]),
    }


def _first_argument(call: str) -> str | None:
    node = ast.parse(call, mode="eval").body
    if not isinstance(node, ast.Call) or not node.args:
        return None
    return repr(ast.literal_eval(node.args[0]))


def _parts(prompt: str) -> tuple[str, str]:
    """The function and the call in a prompt."""
    function, _, rest = prompt.rpartition("\n>>> ")
    return function, rest.partition("\n")[0]


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / max(1, len(values))


SKILL = Skill(TASK, make_examples, measure)

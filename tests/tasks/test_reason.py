"""What a call does, step by step: as the interpreter says it, as examples of it, and as the command shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from held import needs_sandbox
from multiscale_transformer.cli.main import main
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.examples import split_examples, write_examples
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.reason import (
    STEPS,
    VALUE,
    functions_alone,
    make_examples,
    prompt_of,
    propose,
    right_steps,
    value_in,
)
from multiscale_transformer.tasks.skill import Measurement, load_skill
from multiscale_transformer.tasks.traces import traces_of
from multiscale_transformer.tasks.writer import Writer
from tiny import SHAPES, checkpoint

pytestmark = needs_sandbox

FUNCTION = "def f(xs, k):\n    total = 0\n    for x in xs:\n        if x == k:\n            total += 1\n    return total\n"
TRACE = "2 total=0\n3 x=1\n4\n3 x=2\n4\n5 total=1\n3\n6\n= 1\n"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as box:
        yield box


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    checkpoint(SHAPES["flat"], folder)
    return Writer(open_scheduler(folder))


def test_a_trace_is_what_the_interpreter_does(sandbox: Sandbox) -> None:
    traces = traces_of(sandbox, Module(FUNCTION), "f", 1, ["f([1, 2], 2)", "f(3, 1)", "f([], 0)", "f("])
    assert traces[0] is not None
    assert traces[0].text == TRACE
    assert traces[1] is not None
    assert (traces[1].value, traces[1].error) == (None, "TypeError")
    assert traces[2] is not None
    assert traces[2].value == "0"
    assert traces[3] is not None
    assert traces[3].error == "SyntaxError"


def test_what_never_ends_has_no_trace_and_spoils_no_other(sandbox: Sandbox) -> None:
    text = "def f(n):\n    while n:\n        pass\n    return n\n"
    assert [trace and trace.value for trace in traces_of(sandbox, Module(text), "f", 1, ["f(1)", "f(0)"])] == [None, "0"]
    assert traces_of(sandbox, Module("1 / 0\n" + text), "f", 2, ["f(0)"]) == [None]


def test_lines_are_counted_within_the_function_and_recursion_is_one_step(sandbox: Sandbox) -> None:
    text = "x = 1\n\n\ndef g(n):\n    if n < 2:\n        return n\n    return g(n - 1) + g(n - 2)\n"
    (trace,) = traces_of(sandbox, Module(text), "g", 4, ["g(6)"])
    assert trace is not None
    assert ([step.line for step in trace.steps], trace.value) == ([2, 4], "8")


def test_functions_that_reach_out_are_no_examples() -> None:
    alone = "import math\nimport os\n\n\ndef a(x):\n    return math.floor(x)\n\n\ndef b(x):\n    return os.getcwd()\n\n\n"
    alone += "def c(x):\n    return other(x)\n\n\ndef d(x):\n    global y\n    return x\n\n\ndef e():\n    return 1\n"
    assert [(one.node.name, one.imports) for one in functions_alone(alone)] == [("a", "import math\n")]
    assert list(functions_alone("def f(:")) == []


def test_examples_come_with_steps_and_without_and_agree() -> None:
    examples = make_examples([PackageText("one", "MIT", "a.py", FUNCTION + "\n\nf([1, 2], 2)\nf([], 1)\n")])
    by_kind = {kind: {e.prompt: e.answer for e in examples if e.rule == kind} for kind in (STEPS, VALUE)}
    assert by_kind[STEPS][prompt_of(FUNCTION, "f([1, 2], 2)", STEPS)] == TRACE
    assert by_kind[VALUE][prompt_of(FUNCTION, "f([1, 2], 2)", VALUE)] == "= 1\n"
    assert len(by_kind[STEPS]) == len(by_kind[VALUE]) > 1
    constant = make_examples([PackageText("one", "MIT", "a.py", "def f(a):\n    b = a\n    return 1\n\n\nf(1)\nf(2)\n")])
    assert constant == []


def test_answers_are_held_to_lines_and_names_of_the_function(writer: Writer) -> None:
    for kind in (STEPS, VALUE):
        answer = propose(writer, FUNCTION, "f([1], 1)", kind)
        for line in answer.splitlines()[:-1]:
            number, _, change = line.partition(" ")
            assert number in set("23456")
            assert not change or change.partition("=")[0] in {"xs", "k", "total", "x"}
    assert value_in(TRACE) == "1"
    assert value_in("2 a=1") is None
    assert right_steps(TRACE.replace("x=2", "x=3"), TRACE) == (3, 9)


def test_a_measurement_has_its_rivals(writer: Writer, tmp_path: Path) -> None:
    texts = [PackageText(name, "MIT", "a.py", FUNCTION + f"\n\nf([1, {n}], {n})\nf([], 1)\n") for n, name in enumerate(NAMES)]
    write_examples(tmp_path / "data", split_examples(make_examples(texts)), {})
    figures = load_skill("reason").measure(Measurement(writer._scheduler, None, tmp_path / "data", 4))
    assert figures.examples == 4
    assert figures.headline == "value alone"
    assert figures.rivals["interpreter"] == {"value alone": 1.0, "value, with steps": 1.0}
    assert figures.best_rival is not None
    assert figures.best_rival[0] != "interpreter"


NAMES = ("networkx", "hypothesis", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n")


def test_the_command_follows_a_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.py"
    path.write_text("import math\n\n\n" + FUNCTION)
    assert main(["explain", f"{path}:f", "--call", "f([1, 2], 2)", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [step["line"] for step in said["steps"]] == [5, 6, 7, 6, 7, 8, 6, 9]
    assert said["value"] == "1"
    assert main(["explain", f"{path}:f", "--call", "f(['[/b]'], 2)"]) == 0
    assert "f(['[/b]'], 2)" in capsys.readouterr().out
    checkpoint(SHAPES["flat"], tmp_path / "model")
    assert main(["explain", str(path), "--model", str(tmp_path / "model")]) == 0
    assert "Value" in capsys.readouterr().out
    path.write_text("def f(a):\n    while True:\n        pass\n\n\ndef g(a):\n    return a\n")
    assert main(["explain", f"{path}:f", "--call", "f(1)"]) == 1
    assert main(["explain", str(path)]) == 2

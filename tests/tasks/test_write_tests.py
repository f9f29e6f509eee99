"""The skill test: calls are literals, results come from the sandbox, and what is kept fails on mutants."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from held import needs_sandbox
from multiscale_transformer.cli.main import main
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.calls import Call, calls_in, literal_call, results_of
from multiscale_transformer.tasks.module_driver import Module, module_at
from multiscale_transformer.tasks.random_calls import random_calls
from multiscale_transformer.tasks.source_text import SourceText
from multiscale_transformer.tasks.write_tests import propose_calls, with_tests, write_tests
from multiscale_transformer.tasks.writer import Writer
from tiny import SHAPES, checkpoint

pytestmark = needs_sandbox
CODE = '''\
def clip(value, low=0, high=10):
    """At least low, at most high.

    >>> clip(11)
    10
    """
    if value < low:
        return low
    return high if value > high else value
'''


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def function(text: str = CODE) -> ast.FunctionDef:
    found = SourceText(text).tree.body[0]
    assert isinstance(found, ast.FunctionDef)
    return found


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("f(1, 'a)') == 3", "f(1, 'a)')"), ("x = f([(1, 2)], k={'a': None})", "f([(1, 2)], k={'a': None})"), ("f(-1)", "f(-1)"),
        ("f(x)", None), ("f(1 +)", None), ("g(1)", None), ("f(", None), ("f(os.remove('x'))", None),
    ],
)  # fmt: skip
def test_only_calls_with_literals_are_taken(text: str, call: str | None) -> None:
    assert literal_call(text, "f") == call


def test_calls_stand_in_code_and_in_doctests() -> None:
    assert [call.text for call in calls_in([CODE, "assert clip(-1,  low=2) == 2\nclip(x)", "def (:"], "clip")] == [
        "clip(11)",
        "clip(-1,  low=2)",
    ]


@given(st.integers(0, 2**32))
def test_random_calls_are_literal_and_of_the_annotated_types(seed: int) -> None:
    typed = function("def f(a: int, b: list[str], c): pass")
    for call in random_calls(typed, 3, random.Random(seed)):
        assert literal_call(call.text, "f") == call.text
        arguments = [ast.literal_eval(argument) for argument in ast.parse(call.text, mode="eval").body.args]  # type: ignore[attr-defined]
        assert isinstance(arguments[0], int)
        assert all(isinstance(item, str) for item in arguments[1])


def test_results_are_what_the_calls_give(box: Sandbox) -> None:
    module = Module("def f(x):\n    if x == 9:\n        while True: pass\n    return [x, object][x] if x != 3 else 1 / 0\n")
    calls = [Call(text=f"f({x})", source="code") for x in (0, 1, 3, 9)]
    assert [(result.kind, result.text) for result in results_of(box, module, calls)] == [
        ("value", "0"),
        ("other", "type"),
        ("raised", "ZeroDivisionError"),
        ("late", ""),
    ]
    assert {result.kind for result in results_of(box, Module("raise SystemExit"), calls)} == {"late"}


def test_a_module_imports_its_neighbours_and_its_own_text_is_the_changed_one(box: Sandbox, tmp_path: Path) -> None:
    for name, text in (
        ("p/__init__.py", ""),
        ("p/near.py", "TWO = 2\n"),
        ("p/a.py", "from .near import TWO\ndef f(): return TWO\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    module = module_at(tmp_path / "p" / "a.py")
    assert (module.name, module.root) == ("p.a", tmp_path)
    call = [Call(text="f()", source="code")]
    assert results_of(box, module, call)[0].text == "2"
    assert results_of(box, module.changed(module.text.replace("return TWO", "return TWO + 1")), call)[0].text == "3"
    with pytest.raises(AxlError, match="cannot be read"):
        module_at(tmp_path / "absent.py")


def test_the_assertions_that_are_kept_fail_on_the_most_mutants(box: Sandbox) -> None:
    module = Module(CODE)
    calls = [Call(text=f"clip({value})", source="code") for value in (5, 11, -1, 10, 0)]
    all_of_them = write_tests(box, module, function(), calls)
    one = write_tests(box, module, function(), calls[:1])
    assert all_of_them.killed > one.killed > 0
    assert all_of_them.mutants == one.mutants
    outcome = box.run_python(f"{CODE}\n{all_of_them.text}\ntest_clip()\n")
    assert outcome.ok, outcome.stderr
    assert write_tests(box, Module("import random\ndef f(): return random.random()\n"), function("def f(): pass"), [
        Call(text="f()", source="code")]).asserts == ()  # fmt: skip


@pytest.mark.parametrize("signature", ["", "a", "a, b=1", "a=1", "a, b, c"])
def test_a_model_writes_nothing_but_literal_arguments(signature: str, tmp_path: Path) -> None:
    checkpoint(SHAPES["flat"], tmp_path)
    writer = Writer(open_scheduler(tmp_path, threads=1))
    code = f"def f({signature}): return 1\n"
    calls = propose_calls(Module(code), function(code), writer)
    assert any(call.source == "model" for call in calls)
    for call in calls:
        assert literal_call(call.text, "f") == call.text
        arguments = len(ast.parse(call.text, mode="eval").body.args)  # type: ignore[attr-defined]
        names = signature.split(", ") if signature else []
        assert sum("=" not in name for name in names) <= arguments <= len(names)
    assert calls == propose_calls(Module(code), function(code), writer)


def test_tests_are_added_behind_the_imports_and_never_twice(box: Sandbox) -> None:
    tested = [write_tests(box, Module(CODE), function(), [Call(text="clip(11)", source="code")])]
    new = with_tests("", "pkg.clip", tested)
    assert new == "from pkg.clip import clip\n\n\ndef test_clip():\n    assert clip(11) == 10\n"
    assert with_tests(new, "pkg.clip", tested) == new
    old = '"""Tests."""\n\nimport os\n\nX = 1\n'
    added = with_tests(old, "pkg.clip", tested)
    assert added.startswith('"""Tests."""\n\nimport os\nfrom pkg.clip import clip\n\nX = 1\n\n\ndef test_clip')
    ast.parse(added)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint(SHAPES["flat"], tmp_path / "model")
    (tmp_path / "clip.py").write_text(CODE)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    words = ["test", f"{tmp_path}/clip.py:clip", "--model", str(tmp_path / "model")]
    assert main(words) == 0
    assert "+def test_clip():" in capsys.readouterr().out
    assert not (tmp_path / "test_clip.py").exists()
    assert main([*words, "--apply"]) == 0
    assert "assert clip(" in (tmp_path / "test_clip.py").read_text()
    assert main(words) == 1
    assert main(["test", f"{tmp_path}/clip.py:nothing", "--model", str(tmp_path / "model")]) == 2
    assert main(["test", f"{tmp_path}/absent.py", "--model", str(tmp_path / "model")]) == 2

"""Refactoring a file: what is kept has a witness, and what has none is left as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from held import needs_sandbox
from multiscale_transformer.cli.main import main
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.refactor_file import FileRefactoring

pytestmark = needs_sandbox

SAFE = "def f(a):\n    if a:\n        return 1\n    else:\n        return 2\n"
SAFE_AFTER = "def f(a):\n    if a:\n        return 1\n    return 2\n"
UNSAFE = 'def g(a):\n    b = str(a)\n    return "x %s" % b\n'
UNSAFE_AFTER = 'def g(a):\n    b = str(a)\n    return f"x {b}"\n'
OTHER = 'def h(a):\n    return a == "y" or a == "x"\n'  # ruff's fix hashes a, which a list does not take
OTHER_AFTER = 'def h(a):\n    return a in ("y", "x")\n'
UNREACHED = 'def k(a):\n    if a == "never this":\n        b = str(a)\n        return "x %s" % b\n    return 1\n'
METHOD = 'class A:\n    def g(self, a: str):\n        return "x %s" % a\n'


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as box:
        yield box


def test_safe_fixes_need_no_witness() -> None:
    found = FileRefactoring(Module(SAFE + "\n\n" + UNSAFE), None, None).run(["f", "g"])
    assert found.text == SAFE_AFTER + "\n\n" + UNSAFE
    assert [edit.rule for edit in found.edits] == ["RET505"]
    assert found.unverified["UP031"] == 1


def test_calls_are_a_witness_where_they_reach_the_finding(sandbox: Sandbox) -> None:
    found = FileRefactoring(Module(UNSAFE), None, sandbox).run(["g"])
    assert found.text == UNSAFE_AFTER
    assert "calls that reach it" in found.edits[0].verified
    for text, name in ((UNREACHED, "k"), (METHOD, "A.g")):
        kept = FileRefactoring(Module(text), None, sandbox).run([name])
        assert kept.text == text
        assert not kept.edits


def test_an_edit_from_the_memory_is_kept_where_the_linter_s_own_changes_what_the_code_does(sandbox: Sandbox) -> None:
    found = FileRefactoring(Module(OTHER), None, sandbox).run(["h"])
    assert found.text == OTHER_AFTER
    assert [edit.by for edit in found.edits] == ["pairs"]


def test_tests_are_a_witness_and_have_the_last_word() -> None:
    seen = []

    def passes(text: str) -> bool:
        seen.append(text)
        return "f'" not in text and 'f"' not in text

    assert FileRefactoring(Module(METHOD), None, None, lambda text: True).run(["A.g"]).edits[0].verified == "the tests pass"
    assert FileRefactoring(Module(METHOD + SAFE), None, None, passes).run(["A.g", "f"]).text == METHOD + SAFE_AFTER
    assert seen


def test_only_the_functions_that_are_named_are_edited(sandbox: Sandbox) -> None:
    text = SAFE + SAFE.replace("def f", "def other")
    assert FileRefactoring(Module(text), None, sandbox).run(["f"]).text == SAFE_AFTER + SAFE.replace("def f", "def other")


def test_the_command_shows_a_diff_and_writes_only_when_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.py"
    path.write_text(SAFE)
    words = ["refactor", str(path), "--rules-alone"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["edits"][0]["by"] == "ruff"
    assert path.read_text() == SAFE
    assert main([*words, "--apply"]) == 0
    assert path.read_text() == SAFE_AFTER
    assert main(words) == 1


def test_a_test_that_fails_already_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(SAFE)
    words = ["refactor", str(path), "--rules-alone", "--project", str(tmp_path), "--test"]
    assert main([*words, "python -c 'import a; assert a.f(0) == 1'"]) == 2
    for command in ("", 'pytest -k "a'):
        assert main([*words, command, "--apply"]) == 2
    assert path.read_text() == SAFE
    assert main([*words, "python -c 'import a; assert a.f(0) == 2'"]) == 0

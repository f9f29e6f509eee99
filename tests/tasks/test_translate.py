"""The skill translate: what it learns from and what it shows has given the same results in node as in Python."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest

from held import needs_sandbox
from multiscale_transformer.cli.main import main
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.examples import split_examples, write_examples
from multiscale_transformer.tasks.known_calls import known_calls
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.skill import Measurement, load_skill
from multiscale_transformer.tasks.translate import (
    MUTANT,
    PLAIN,
    Translation,
    constraint_for,
    make_examples,
    prompt_of,
    translate,
    verify,
)
from multiscale_transformer.tasks.writer import Writer
from tiny import SHAPES, checkpoint

pytestmark = [needs_sandbox, pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")]
COUNT = '''def count(words, least=2):
    """How many are long.

    >>> count(["a", "bcd", "ef"])
    2
    >>> count(["a", "bcd"], 3)
    1
    """
    total = 0
    for word in words:
        if len(word) >= least:
            total += 1
    return total
'''
RIGHT = "function count(words, least = 2) {\n  return words.filter((word) => word.length >= least).length;\n}\n"


def function_of(text: str) -> ast.FunctionDef:
    return next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))


def test_a_translation_is_right_where_all_calls_give_the_same() -> None:
    with Sandbox() as box:
        known = known_calls(box, Module(COUNT), function_of(COUNT), [COUNT])
        assert len(known.results) >= 3
        assert verify(box, RIGHT, "count", known)
        for wrong in (
            RIGHT.replace(">=", ">"),
            RIGHT.replace("count", "other"),
            RIGHT[:-3],
            "function count() { for (;;) {} }",
        ):
            assert not verify(box, wrong, "count", known)


def test_rules_win_and_the_model_is_asked_only_where_they_refuse(tmp_path: Path) -> None:
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 1024}), tmp_path)
    asked = []

    def writer() -> Writer:
        asked.append(1)
        return Writer(open_scheduler(tmp_path, threads=1))

    refused = COUNT.replace("total += 1", "total += eval('1')")
    with Sandbox() as box:
        found = translate(box, Module(COUNT), function_of(COUNT), writer)
        assert isinstance(found, Translation)
        assert (found.source, asked) == ("rules", [])
        assert translate(box, Module(refused), function_of(refused), writer) is None
    assert asked == [1]


def test_calls_that_python_stumbles_on_count_only_where_the_code_raises() -> None:
    text = "def half(n: int) -> int:\n    if n < 0:\n        raise ValueError('negative')\n    return 10 // n\n"
    with Sandbox() as box:
        known = known_calls(box, Module(text), function_of(text), [text])
    assert {result.text for result in known.results if result.kind == "raised"} == {"ValueError"}
    assert [0] not in known.arguments


def test_what_never_gives_a_value_is_not_verified() -> None:
    text = "def never(n: int) -> int:\n    raise ValueError('no')\n"
    with Sandbox() as box:
        known = known_calls(box, Module(text), function_of(text), [text])
        assert not verify(box, "function never(n) {\n  throw new Error();\n}\n", "never", known)


def test_the_right_answer_fits_the_constraint() -> None:
    helped = "const one = (x) => {\n  return x;\n};\n\n" + RIGHT
    for answer in (RIGHT, helped):
        constraint = constraint_for("count")
        for byte in answer.encode():
            constraint.advance(byte)
        assert constraint.ended or constraint.allowed()[257]


def test_examples_are_functions_and_mutants_that_both_sides_agree_on(tmp_path: Path) -> None:
    texts = [
        PackageText("networkx", "MIT", "a.py", COUNT),
        PackageText("p", "MIT", "b.py", COUNT + "\n\ndef g(a):\n    return a"),
    ]
    examples = make_examples(texts)
    plain = [example for example in examples if example.rule == PLAIN]
    assert [example.prompt for example in plain] == [prompt_of(COUNT.rstrip())]
    assert {example.licence for example in examples} == {"MIT"}
    assert any(example.rule == MUTANT for example in examples)
    with Sandbox() as box:
        for example in examples:
            function = example.prompt.removeprefix("Translate:\n").removesuffix("\nResult:\n")
            known = known_calls(box, Module(function), function_of(function), [function])
            assert verify(box, example.answer, "count", known)
    write_examples(tmp_path / "data", split_examples(examples), {})
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 1024}), tmp_path / "model")
    figures = load_skill("translate").measure(
        Measurement(open_scheduler(tmp_path / "model", threads=1), None, tmp_path / "data", most=1)
    )
    assert figures.examples == 1
    assert figures.rivals["the rules alone, which made the pairs"]["right at once"] == 1.0
    assert figures.figures["with the rules"] == 1.0
    assert figures.figures["right at once"] == 0.0


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "words.py"
    file.write_text(COUNT)
    assert main(["translate", str(file), "--apply"]) == 0
    printed = capsys.readouterr().out
    assert "function count(words, least = 2)" in printed
    assert "the same results as Python on 12 of 12 calls" in printed
    assert file.with_suffix(".js").read_text().startswith("function count(")
    assert main(["translate", f"{file}:count", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["source"] for one in found["translations"]] == ["rules"]
    assert found["applied"] is False

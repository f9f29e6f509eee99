"""The leaderboard's rules for right calls, its files, and the split of the lab's own phrases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bfcl import Question, accepts, questions, right_call
from benchmarks.router_phrases import ARGUMENTS, PHRASES, split_of_phrase
from multiscale_transformer.agents.lab_tools import LAB_TOOLS
from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.errors import AxlError

PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}
QUESTION = Question("multiple", "multiple_1", "?", (Tool("f", "", PARAMETERS),), ("f", {"a": [1], "b": ["x y", ""]}))


@pytest.mark.parametrize(
    ("accepted", "value", "schema", "right"),
    [
        (["San Francisco, CA"], "san francisco ca", {"type": "string"}, True),
        (["San Francisco"], "San Diego", {"type": "string"}, False),
        ([5], 5, {"type": "integer"}, True),
        ([5], 5.0, {"type": "integer"}, False),
        ([5.0], 5, {"type": "number"}, True),
        ([True], 1, {"type": "boolean"}, False),
        (["x"], "x", {"type": "integer"}, True),  # a variable where a number is declared
        ([[1, 2]], [1, 2], {"type": "array"}, True),
        ([[1, 2]], [2, 1], {"type": "array"}, False),
        ([{"k": ["v", ""]}], {}, {"type": "object"}, True),
        ([{"k": ["v"]}], {}, {"type": "object"}, False),
        ([{"k": ["v"]}], {"k": "V"}, {"type": "object"}, True),
        ([{"k": ["v"]}], {"k": "v", "l": 1}, {"type": "object"}, False),
        ([[{"k": [1]}]], [{"k": 1}], {"type": "array"}, True),
        ([[{"k": [1]}]], [{"k": 1}, {"k": 1}], {"type": "array"}, False),
    ],
)
def test_values_are_accepted_by_the_leaderboards_rules(
    accepted: list[Any], value: object, schema: dict[str, Any], right: bool
) -> None:
    assert accepts(accepted, value, schema) == right


@pytest.mark.parametrize(
    ("name", "arguments", "right"),
    [
        ("f", {"a": 1}, True),
        ("f", {"a": 1, "b": "X Y"}, True),
        ("f", {"b": "x y"}, False),
        ("f", {"a": 1, "c": 2}, False),
        ("g", {"a": 1}, False),
    ],
)
def test_a_call_is_right_as_a_whole(name: str, arguments: dict[str, Any], right: bool) -> None:
    assert right_call(QUESTION, name, arguments) == right


def test_files_are_read_from_the_unpacked_wheel_and_types_translated(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="pip download bfcl-eval"):
        questions(tmp_path, "multiple")
    folder = tmp_path / "bfcl_eval" / "data" / "possible_answer"
    folder.mkdir(parents=True)
    tool = {"name": "f", "description": "d", "parameters": {"type": "dict", "properties": {"a": {"type": "float"}}}}
    row = {"id": "multiple_3", "question": [[{"role": "user", "content": "what?"}]], "function": [tool]}
    (folder.parent / "BFCL_v4_multiple.json").write_text(json.dumps(row))
    (folder / "BFCL_v4_multiple.json").write_text(json.dumps({"id": "multiple_3", "ground_truth": [{"f": {"a": [1.0]}}]}))
    (found,) = questions(tmp_path, "multiple")
    assert (found.text, found.right) == ("what?", ("f", {"a": [1.0]}))
    assert found.tools[0].parameters == {"type": "object", "properties": {"a": {"type": "number"}}}


def test_questions_about_one_set_of_tools_are_in_one_half() -> None:
    def question(name: str) -> Question:
        return Question("live_multiple", name, "", (), None)

    halves = {group: question(f"live_multiple_0-{group}-0").validates for group in range(40)}
    assert set(halves.values()) == {True, False}
    assert all(question(f"live_multiple_{group + 5}-{group}-7").validates == half for group, half in halves.items())


def test_every_tool_has_phrases_in_every_split_and_no_phrase_is_there_twice() -> None:
    assert list(PHRASES) == list(ARGUMENTS) == [tool.name for tool in LAB_TOOLS]
    phrases = [phrase for of_tool in PHRASES.values() for phrase in of_tool]
    assert len(phrases) == len(set(phrases))
    for of_tool in PHRASES.values():
        assert {split_of_phrase(phrase) for phrase in of_tool} == {"train", "validation", "test"}


def test_what_phrases_give_are_arguments_of_the_tool() -> None:
    for tool in LAB_TOOLS:
        assert set(ARGUMENTS[tool.name].values()) <= set(tool.parameters["properties"])

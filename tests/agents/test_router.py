"""The router: words in one form, the tool that is asked for, and nothing where none is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.agents.lab_tools import LAB_TOOLS, NONE
from multiscale_transformer.agents.lexical import RequestWords, ToolWords, choice_features
from multiscale_transformer.agents.marks import marks_in, prose
from multiscale_transformer.agents.router import choose, load_weights, route
from multiscale_transformer.agents.tool_schema import Tool, all_parameters, json_type, tools_of, type_of
from multiscale_transformer.agents.words import words
from multiscale_transformer.errors import AxlError

WEATHER = Tool(
    "getWeather",
    "Get the current weather and the temperature of a city.",
    {"type": "object", "properties": {"city": {"type": "string", "description": "The city."}}, "required": ["city"]},
)
HOTEL = Tool(
    "book_hotel",
    "Book a room in a hotel.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "nights": {"type": "integer", "description": "How many nights."},
        },
        "required": ["city", "nights"],
    },
)
names = st.text("abcdefgh_", min_size=1, max_size=12)
tools = st.lists(st.builds(Tool, names, st.text(max_size=60)), min_size=1, max_size=5, unique_by=lambda tool: tool.name)


def called(request: str, offered: tuple[Tool, ...]) -> tuple[str, dict[str, object]] | None:
    call = route(request, offered)
    return None if call is None else (call.name, json.loads(call.arguments))


@pytest.mark.parametrize(
    ("one", "other"),
    [("getWeather", "the weather"), ("bookings", "book"), ("tests", "testing"), ("planning", "planned"), ("queries", "query")],
)
def test_words_of_one_meaning_have_one_form(one: str, other: str) -> None:
    assert set(words(one)) & set(words(other))


def test_words_that_every_text_has_tell_nothing() -> None:
    assert words("What is the weather in it?") == words("weather")


def test_paths_and_code_are_marks_and_no_words() -> None:
    assert marks_in("Show src/test_writer.py, please: `f(1)` raises KeyError: 'x'") == [
        "show",
        "<file>",
        "please",
        "<code>",
        "raises",
        "<error>",
    ]
    assert "test" not in words(prose("Show src/test_writer.py"))
    assert prose("src/a.py") == "src/a.py"  # nothing else is said


@given(st.text(max_size=80), tools)
def test_any_request_ranks_all_tools_once(request: str, offered: list[Tool]) -> None:
    choice = choose(request, offered)
    assert sorted(one.tool.name for one in choice.ranked) == sorted(tool.name for tool in offered)
    scores = [one.score for one in choice.ranked]
    assert scores == sorted(scores, reverse=True)
    assert (choice.tool is None) == (choice.decision <= 0)


@given(st.permutations((WEATHER, HOTEL, *LAB_TOOLS)))
def test_the_order_in_which_tools_are_given_decides_nothing(offered: list[Tool]) -> None:
    choice = choose("What is the temperature in the city of Rome?", offered)
    assert choice.ranked[0].tool == WEATHER


def test_the_tool_that_is_asked_for_is_called() -> None:
    assert called("What is the weather in Paris?", (WEATHER, HOTEL)) == ("getWeather", {"city": "Paris"})
    assert called("Book a hotel in Rome for three nights", (WEATHER, HOTEL)) == ("book_hotel", {"city": "Rome", "nights": 3})


def test_no_tool_is_called_for_what_none_does() -> None:
    assert called("Who wrote the book of the dead?", (WEATHER,)) is None
    assert called("Thanks a lot!", LAB_TOOLS) is None
    assert route("What is the weather in Paris?", ()) is None


@pytest.mark.parametrize(
    ("request_", "name", "arguments"),
    [
        ("Show me src/net/client.py", "read_file", {"path": "src/net/client.py"}),
        ("Where is open_socket used?", "search_index", {"query": "open_socket"}),
        ("Run the tests in tests/test_net.py", "run_tests", {"path": "tests/test_net.py"}),
        ("Replace line 12 of a/b.py with `return x`", "edit_lines", {"path": "a/b.py", "first_line": 12, "text": "return x"}),
        ("Translate a/b.py to JavaScript", "translate", {"path": "a/b.py", "language": "javascript"}),
    ],
)
def test_the_tools_of_the_lab(request_: str, name: str, arguments: dict[str, object]) -> None:
    assert called(request_, LAB_TOOLS) == (name, arguments)


def test_a_word_that_only_one_tool_has_counts_more_than_one_that_all_have() -> None:
    both = [ToolWords(Tool("alpha_shared")), ToolWords(Tool("beta_shared"))]
    rare, common = (choice_features(RequestWords(text), both)[0]["all"] for text in ("alpha", "shared"))
    assert rare > common > 0


def test_tools_are_read_as_openai_sends_them() -> None:
    inner = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    assert tools_of([{"type": "function", "function": inner}]) == tools_of([inner]) == [Tool("f", "d", inner["parameters"])]  # type: ignore[arg-type]


@pytest.mark.parametrize("schema", [None, 3, {}, {"name": 4}, {"name": "f", "parameters": "x"}, {"function": {"name": ""}}])
def test_what_is_no_tool_is_refused(schema: object) -> None:
    with pytest.raises(AxlError, match=r"^tools: "):
        tools_of([schema])


def test_parameters_within_parameters_are_seen_and_endless_ones_are_not() -> None:
    inner = {"type": "object", "properties": {"deep": {"type": "integer"}}, "required": ["deep"]}
    schema = {"type": "object", "properties": {"list": {"type": "array", "items": inner}, "one": inner}, "required": ["one"]}
    assert [(one.name, one.required) for one in all_parameters(schema)] == [
        ("list", False),
        ("deep", False),
        ("one", True),
        ("deep", True),
    ]
    inner["properties"] = {"again": inner}
    assert len(list(all_parameters(schema))) < 40


def test_types_are_those_of_json_schema() -> None:
    assert [json_type(value) for value in (True, 1, 1.5, "", [], {}, None)] == [
        "boolean",
        "integer",
        "number",
        "string",
        "array",
        "object",
        "null",
    ]
    assert [type_of(schema) for schema in ({}, {"type": ["null", "integer"]}, {"enum": [2]}, {"properties": {}})] == [
        "string",
        "integer",
        "integer",
        "object",
    ]


def test_weights_say_how_they_were_learnt_and_others_are_refused(tmp_path: Path) -> None:
    assert "validation half" in load_weights().learnt
    (tmp_path / "w.json").write_text("{}")
    with pytest.raises(AxlError, match="no weights of a router"):
        load_weights(tmp_path / "w.json")


def test_the_last_of_the_labs_tools_is_none() -> None:
    assert LAB_TOOLS[-1] == NONE
    assert len({tool.name for tool in LAB_TOOLS}) == len(LAB_TOOLS) == 12

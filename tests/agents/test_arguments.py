"""Arguments: pieces of the request, valid by the schema always, and nothing where the request lacks what a call needs."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.agents.arguments import arguments_of, fits
from multiscale_transformer.agents.candidates import Asked, Wanted, candidates
from multiscale_transformer.agents.lab_tools import LAB_TOOLS
from multiscale_transformer.agents.spans import MAX_NUMBERS, MAX_TOKENS, dates_in, numbers_in, texts_in, times_in
from multiscale_transformer.agents.tool_schema import Parameter, Tool

simple = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "integer"}),
    st.just({"type": "integer", "minimum": 5, "maximum": 20}),
    st.just({"type": "number"}),
    st.just({"type": "boolean"}),
    st.just({"type": "string", "pattern": "^[a-z]+$"}),
    st.just({"type": "string", "enum": ["red", "green"]}),
    st.just({"type": "array", "items": {"type": "integer"}, "minItems": 2}),
    st.just({"type": "array", "items": {"type": "string"}}),
    st.just({"type": "object", "properties": {"inner": {"type": "number"}}, "required": ["inner"]}),
    st.just({"type": ["null", "string"], "default": "none"}),
    st.just({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    st.just({}),
)
schemas = st.dictionaries(st.sampled_from(["city", "count", "colour", "days", "flag"]), simple, max_size=4).flatmap(
    lambda properties: st.builds(
        lambda required: {"type": "object", "properties": properties, "required": required, "additionalProperties": False},
        st.lists(st.sampled_from(sorted(properties)), unique=True) if properties else st.just([]),
    )
)
PIECES = ["paint", "the", "red", "door", "3", "7", "12.5", "twice", "'a b'", "Rome,", "Paris", "and", "x_y", "=", "true", "no"]
PIECES += ["[1, 2]", "2024-05-06", "5 pm"]
requests = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join))


def filled(request: str, **properties: dict[str, Any]) -> dict[str, Any] | None:
    required = [name for name, schema in properties.items() if "default" not in schema]
    found = arguments_of(request, Tool("f", "", {"type": "object", "properties": properties, "required": required}))
    return None if found is None else json.loads(found)


@given(requests, schemas)
def test_arguments_are_valid_or_none(request: str, schema: dict[str, Any]) -> None:
    found = arguments_of(request, Tool("paint", "Paint things.", schema))
    if found is not None:
        jsonschema_rs.validate(schema, json.loads(found))


@given(requests, st.sampled_from(LAB_TOOLS))
def test_calls_of_the_labs_tools_are_valid(request: str, tool: Tool) -> None:
    found = arguments_of(request, tool)
    if found is not None:
        jsonschema_rs.validate(tool.parameters, json.loads(found))


@given(requests)
def test_every_piece_stands_in_the_request(request: str) -> None:
    for span in texts_in(request):
        assert request[span.begin : span.end] == span.value
    for span in numbers_in(request):
        assert 0 <= span.begin < span.end <= len(request)


@given(requests)
def test_a_text_is_copied_or_left_out(request: str) -> None:
    found = filled(request, text={"type": "string", "default": "-"})
    dates = {day.isoformat() for _, day in dates_in(request) if not isinstance(day, tuple)}
    times = {time for _, time in times_in(request)}
    assert found is not None
    assert all(value in request or value in dates | times for value in found.values())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("12 apples and 3.5 pears", [12, 3.5]),
        ("twenty-one of two hundred and five", [21, 200, 5]),
        ("1,250 or [200,300]", [1250, 200, 300]),
        ("$2.5 million, 10k, -7", [2_500_000, 10_000, 10, -7]),
        ("10 m^3", [10]),
        ("5%", [5, 0.05]),
        ("x=3", [3]),
    ],
)
def test_numbers_in_digits_and_words(text: str, values: list[float]) -> None:
    assert [value for value in values if value not in [span.value for span in numbers_in(text)]] == []


@pytest.mark.parametrize("text", ["2024-05-06", "05/06/2024", "May 6, 2024", "6th of May 2024", "6 May 2024"])
def test_dates_in_several_forms_are_one_day(text: str) -> None:
    assert [str(day) for _, day in dates_in(f"on {text} at noon")] == ["2024-05-06"]
    assert filled(
        f"Weather on {text}", date={"type": "string", "description": "The date as YYYY-MM-DD.", "pattern": r"^\d{4}-\d\d-\d\d$"}
    ) == {"date": "2024-05-06"}


@pytest.mark.parametrize(("text", "time"), [("5 pm", "17:00"), ("12:30 am", "00:30"), ("19:05", "19:05"), ("12 p.m.", "12:00")])
def test_times_of_the_day(text: str, time: str) -> None:
    assert [found for _, found in times_in(f"at {text}")] == [time]


def test_what_a_call_needs_is_not_made_up() -> None:
    assert filled("Paint the door", count={"type": "integer"}) is None
    assert filled("Paint the door 30 times", count={"type": "integer", "maximum": 20}) is None
    assert filled("Paint the door 30 times", count={"type": "integer"}) == {"count": 30}


def test_one_piece_is_not_two_arguments() -> None:
    number = {"type": "integer"}
    assert filled("add 3 and 4", first=number, second=number) == {"first": 3, "second": 4}
    assert filled("add 3", first=number, second=number) is None


def test_listed_values_are_chosen_by_what_is_said() -> None:
    assert filled("Paint it green", colour={"type": "string", "enum": ["red", "green"]}) == {"colour": "green"}
    colours = {"type": "array", "items": {"type": "string", "enum": ["red", "green", "blue"]}}
    assert filled("Paint it blue and red", colours=colours) == {"colours": ["blue", "red"]}


def test_a_schema_that_the_grammar_cannot_express_accepts_nothing() -> None:
    assert fits({"a": 1}, {"type": "object", "properties": {"a": {"type": "integer"}}})
    assert not fits("x", {"type": "no such type"})
    assert not fits(float("nan"), {"type": "number"})


def test_endless_requests_and_schemas_come_to_an_end() -> None:
    assert len(Asked("word " * 10_000).tokens) == MAX_TOKENS
    endless: dict[str, Any] = {"type": "object"}
    endless["properties"], endless["required"] = {"again": endless}, ["again"]
    assert arguments_of("again", Tool("f", "", endless)) is None


@pytest.mark.parametrize(
    "piece", ["9", "hundred ", "9 billion ", "1,", "a1", "a/", "/", "Error: ", "Aa ", "`a", "'", "twenty-", "1.", "."]
)
def test_requests_that_repeat_one_piece_are_read(piece: str) -> None:
    number = {"type": "number", "default": 0}
    assert filled(piece * 2000, number=number, text={"type": "string", "default": ""}) is not None
    assert len(numbers_in(piece * 2000)) <= MAX_NUMBERS


def test_candidates_of_an_optional_parameter_begin_with_nothing() -> None:
    tool = LAB_TOOLS[0]
    optional = Wanted(tool, Parameter("first_line", {"type": "integer"}, False))
    assert [one.left_out for one in candidates(Asked("line 3"), optional)] == [True, False]

"""llama.cpp's routes, and the tokenizer that evaluation harnesses ask for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.engine.stop_rules import NO_RULES
from multiscale_transformer.model.sampling import FIM_CANDIDATES, MAX_CANDIDATES
from multiscale_transformer.server.core.prompts import Prompt
from multiscale_transformer.server.core.requests import OPEN_ENDED, GenerationRequest
from multiscale_transformer.server.llamacpp.completion import CompletionBody
from multiscale_transformer.server.settings import Settings


def test_health_props_slots_and_metrics(http: httpx.Client) -> None:
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get("/props").json()["default_generation_settings"]["n_ctx"] == 512
    http.post("/completion", json={"prompt": "x", "n_predict": 2})
    (slot,) = http.get("/slots").json()
    assert slot["running"] == slot["waiting"] == 0
    text = http.get("/metrics").text
    assert 'axl_written_bytes_total{model="tiny"}' in text
    assert 'axl_requests_total{route="/completion",status="200"}' in text


def test_completion_and_its_stream(http: httpx.Client) -> None:
    asked = {"prompt": "def area(", "n_predict": 12, "seed": 3}
    whole = http.post("/completion", json=asked).json()
    assert whole["stop"] is True
    assert whole["tokens_predicted"] == 12
    lines = http.post("/completion", json={**asked, "stream": True}).text.split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert "".join(event["content"] for event in events) == whole["content"]
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]


def test_an_unsigned_minus_one_is_any_seed() -> None:
    for seed in (-1, 4294967295):
        assert asked(seed=seed).sampling.seed is None
    assert asked(seed=7).sampling.seed == 7


def asked(**fields: Any) -> GenerationRequest:
    """The request behind a body, for a context of 100 ids."""
    state: Any = SimpleNamespace(time_limit=lambda limit, prompt: None, settings=Settings({}, Path()))
    return CompletionBody.model_validate(fields).generation_request(state, Prompt([65], b"A", 0), 100)


def test_without_a_limit_an_answer_may_fill_the_context_and_ends_where_it_repeats_itself() -> None:
    for limits in ({}, {"n_predict": -1}, {"n_predict": -2}):
        request = asked(**limits)
        assert request.sampling.max_new_tokens == 99
        assert request.prompt.rules == OPEN_ENDED
    limited = asked(n_predict=7)
    assert (limited.sampling.max_new_tokens, limited.prompt.rules) == (7, NO_RULES)
    assert asked(stop_rules=False).prompt.rules == NO_RULES


def test_the_end_of_a_text_is_told_by_its_kind(http: httpx.Client) -> None:
    body = {"prompt": "def area(", "n_predict": 40, "seed": 3, "return_tokens": True}
    whole = http.post("/completion", json=body).json()
    assert (whole["stop_type"], whole["stopping_word"]) == ("limit", "")
    assert len(whole["tokens"]) == 40
    word = whole["content"][10:12]
    cut = http.post("/completion", json={**body, "stop": [word]}).json()
    assert (cut["stop_type"], cut["stopping_word"]) == ("word", word)
    assert cut["content"] == whole["content"][: whole["content"].index(word)]
    ended = http.post("/completion", json={**body, "grammar": 'root ::= "a"'}).json()
    assert (ended["stop_type"], ended["content"]) == ("eos", "a")


def test_timings_count_bytes_and_fields_can_be_chosen(http: httpx.Client) -> None:
    body = {"prompt": "def area(", "n_predict": 5, "temperature": 0}  # drawn by chance, the text may end at once
    timings = http.post("/completion", json=body).json()["timings"]
    assert (timings["prompt_n"], timings["predicted_n"]) == (10, 5)
    assert timings["predicted_per_second"] == pytest.approx(5000 / timings["predicted_ms"])
    fields = ["content", "timings/predicted_n", "none/such"]
    assert http.post("/completion", json={**body, "response_fields": fields}).json().keys() == {"content", "predicted_n"}
    infill = http.post("/infill", json={"input_prefix": "def f(", "input_suffix": "x", "n_predict": 5}).json()["timings"]
    assert infill["prompt_ms"] == 0.0, "candidates are read and written at once"


def test_probabilities_of_bytes_are_reported(http: httpx.Client) -> None:
    body = {"prompt": "def area(", "n_predict": 5, "n_probs": 3, "temperature": 0}
    answer = http.post("/completion", json=body).json()
    shown = answer["completion_probabilities"]
    assert "".join(one["token"] for one in shown) == answer["content"]
    assert all(len(one["top_logprobs"]) == 3 and one["top_logprobs"][0]["logprob"] >= one["logprob"] for one in shown)
    ollama = {"prompt": "def area(", "stream": False, "raw": True, "logprobs": True, "top_logprobs": 3}
    options = {"num_predict": 5, "temperature": 0}
    assert http.post("/api/generate", json={**ollama, "options": options}).json()["logprobs"] == shown


@pytest.mark.parametrize("route", ["/completion", "/v1/completions", "/v1/chat/completions"])
def test_a_grammar_is_kept_to(http: httpx.Client, route: str) -> None:
    grammar = 'root ::= digit+ "." word  # a comment\ndigit ::= [0-9]\nword ::= "ab" | "cd"\n'
    body = {"prompt": "x", "messages": [{"role": "user", "content": "x"}], "grammar": grammar, "n_predict": 200, "seed": 1}
    answer = http.post(route, json={**body, "max_tokens": 200}).json()
    choice = answer.get("choices", [answer])[0]
    text = choice.get("content") or choice.get("text") or choice["message"]["content"]
    assert re.fullmatch(r"[0-9]+(\.(ab|cd))?", text)
    for damaged in ("root ::= (", "nothing", "root ::= other"):
        refused = http.post(route, json={**body, "grammar": damaged})
        assert refused.status_code == 400, damaged


def test_a_conversation_as_a_prompt_and_a_text_as_a_vector(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    prompt = http.post("/apply-template", json=body).json()["prompt"]
    assert "Hi" in prompt
    chat = http.post("/v1/chat/completions", json={**body, "max_tokens": 1}).json()
    assert chat["usage"]["prompt_tokens"] == len(prompt.encode()) + 1
    (vector,) = http.post("/embedding", json={"content": "x = 1"}).json()
    theirs = http.post("/v1/embeddings", json={"input": "x = 1"}).json()["data"][0]["embedding"]
    assert vector["embedding"] == [pytest.approx(theirs)]


def test_any_name_is_the_only_model_but_not_where_models_are_named(http: httpx.Client) -> None:
    for route, body in (
        ("/infill", {"input_prefix": "x", "model": "PLACEHOLDER"}),
        ("/v1/completions", {"prompt": "x", "model": "gpt-4", "max_tokens": 1}),
        ("/api/generate", {"prompt": "x", "model": "qwen:7b", "stream": False, "options": {"num_predict": 1}}),
    ):
        assert http.post(route, json=body).status_code == 200, route
    assert http.get("/v1/models/gpt-4").status_code == 404
    assert http.post("/api/show", json={"model": "gpt-4"}).status_code == 404
    assert http.request("DELETE", "/api/delete", json={"model": "gpt-4"}).status_code == 404
    major, minor, patch = map(int, http.get("/api/version").json()["version"].split("."))
    assert (major, minor, patch) >= (0, 13, 4), "what Codex asks for"


def test_infill_is_the_fim_of_the_other_routes(http: httpx.Client) -> None:
    extra = [{"filename": "a.py", "text": "x = 1"}]
    fim = {"input_extra": extra, "input_prefix": "def f(", "prompt": "y", "input_suffix": "return x"}
    ours = http.post("/infill", json={**fim, "n_predict": 9, "seed": 3}).json()
    same = {"prompt": "# a.py\nx = 1\ndef f(y", "suffix": "return x", "max_tokens": 9, "seed": 3}
    assert ours["content"] == http.post("/v1/completions", json=same).json()["choices"][0]["text"]


def test_a_gap_is_filled_with_the_best_of_several_and_streams_alike(http: httpx.Client) -> None:
    fim = {"input_prefix": "def f(", "input_suffix": "return x", "n_predict": 20}
    by_count = {count: http.post("/infill", json={**fim, "candidates": count}).json()["content"] for count in (1, 4, 9)}
    assert len(set(by_count.values())) > 1
    assert http.post("/infill", json=fim).json()["content"] == by_count[FIM_CANDIDATES]
    for count, whole in by_count.items():
        lines = http.post("/infill", json={**fim, "candidates": count, "stream": True}).text.split("\n\n")
        events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
        assert "".join(event["content"] for event in events) == whole
        options = {"num_predict": 20, "candidates": count}
        ollama = {"prompt": "def f(", "suffix": "return x", "stream": False, "options": options}
        assert http.post("/api/generate", json={"model": "tiny", **ollama}).json()["response"] == whole
    assert http.post("/infill", json={**fim, "candidates": 0}).status_code == 400
    assert http.post("/infill", json={**fim, "candidates": MAX_CANDIDATES + 1}).status_code == 400


def test_a_schema_is_kept_to(http: httpx.Client) -> None:
    answer = http.post("/completion", json={"prompt": "x", "n_predict": 50, "json_schema": {"type": "boolean"}}).json()
    assert json.loads(answer["content"]) in (True, False)


@settings(max_examples=30)
@given(text=st.text(max_size=40))
def test_tokens_are_bytes_and_come_back(http: httpx.Client, text: str) -> None:
    raw = text.encode("utf-8", "replace")
    for name in ("content", "prompt"):
        tokens = http.post("/tokenize", json={name: raw.decode()}).json()["tokens"]
        assert bytes(tokens) == raw
        assert http.post("/detokenize", json={"tokens": tokens}).json()[name] == raw.decode()
    assert http.post("/tokenize", json={"prompt": "a", "add_special_tokens": True}).json()["tokens"] == [256, 97]


def test_ids_that_are_none_are_refused(http: httpx.Client) -> None:
    assert http.post("/detokenize", json={"tokens": [999]}).status_code == 400
    assert http.get("/tokenizer_info").json()["eos_token_id"] == 257


def test_the_middle_is_filled_alike_in_mistrals_shape(http: httpx.Client) -> None:
    asked = {"prompt": "def f(", "suffix": "return x", "max_tokens": 12}
    ours = http.post("/v1/completions", json={**asked, "seed": 3}).json()["choices"][0]
    theirs = http.post("/v1/fim/completions", json={**asked, "model": "codestral-latest", "random_seed": 3})
    choice = theirs.json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (ours["text"], ours["finish_reason"])
    lines = http.post("/v1/fim/completions", json={**asked, "random_seed": 3, "stream": True}).text.splitlines()
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == ours["text"]
    assert chunks[-1]["usage"]["completion_tokens"] == theirs.json()["usage"]["completion_tokens"]
    assert http.post("/v1/fim/completions", json={**asked, "min_tokens": 5}).status_code == 400
    assert http.post("/v1/fim/completions", json={"suffix": "x"}).status_code == 400

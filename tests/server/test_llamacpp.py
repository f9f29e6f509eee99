"""llama.cpp's routes, and the tokenizer that evaluation harnesses ask for."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.model.sampling import FIM_CANDIDATES, MAX_CANDIDATES
from multiscale_transformer.server.core.prompts import Prompt
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
    prompt = Prompt([65], b"A", 0)
    state = SimpleNamespace(time_limit=lambda limit, prompt: None, settings=Settings({}, Path()))
    for seed in (-1, 4294967295):
        assert CompletionBody(seed=seed).generation_request(state, prompt).sampling.seed is None  # type: ignore[arg-type]
    assert CompletionBody(seed=7).generation_request(state, prompt).sampling.seed == 7  # type: ignore[arg-type]


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

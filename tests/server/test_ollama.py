"""Ollama's routes as its own client uses them, and as others were seen to."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import ollama
import pytest

from server.running import Running

OPTIONS: Any = {"num_predict": 12, "seed": 3}


@pytest.fixture(scope="module")
def client(served: Running) -> ollama.Client:
    return ollama.Client(served.url)


def test_generation_streamed_and_whole_is_that_of_openais_route(client: ollama.Client, http: httpx.Client) -> None:
    whole = client.generate("tiny", "def area(", options=OPTIONS)
    streamed = list(client.generate("tiny", "def area(", options=OPTIONS, stream=True))
    theirs = http.post("/v1/completions", json={"prompt": "def area(", "max_tokens": 12, "seed": 3}).json()
    assert whole.response == "".join(part.response for part in streamed) == theirs["choices"][0]["text"]
    assert whole.done_reason == streamed[-1].done_reason == "length"
    assert streamed[-1].eval_count == 12
    assert streamed[-1].prompt_eval_count == len("def area(") + 1
    assert all(part.done is False for part in streamed[:-1])


def test_a_suffix_fills_in_the_middle(client: ollama.Client, http: httpx.Client) -> None:
    ours = client.generate("tiny:latest", "def f(", suffix="return x", options=OPTIONS)
    theirs = http.post("/v1/completions", json={"prompt": "def f(", "suffix": "return x", "max_tokens": 12, "seed": 3}).json()
    assert ours.response == theirs["choices"][0]["text"]


def test_chat_with_a_format_and_with_tools(client: ollama.Client) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    answer = client.chat("tiny", messages, format={"type": "boolean"}, options={"num_predict": 40})
    assert json.loads(answer.message.content or "") in (True, False)
    whole = client.chat("tiny", messages, options=OPTIONS).message.content
    parts = list(client.chat("tiny", messages, stream=True, options=OPTIONS))
    assert "".join(part.message.content or "" for part in parts) == whole
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert client.chat("tiny", messages, tools=[tool], options=OPTIONS).message.role == "assistant"


def test_what_clients_were_seen_to_send(http: httpx.Client) -> None:
    langchain = {"model": "tiny", "prompt": "x", "stream": True, "options": {}, "format": ""}
    llama_index = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "x"}],
        "stream": False,
        "options": {"temperature": None, "num_ctx": 2048, "num_predict": 3, "seed": 3},
        "tools": [],
    }
    assert http.post("/api/generate", json={**langchain, "options": {"num_predict": 2}}).status_code == 200
    assert http.post("/api/chat", json=llama_index).json()["eval_count"] == 3
    assert http.post("/api/show", json={"name": "tiny"}).status_code == 200
    assert http.post("/api/generate", json={"model": "tiny", "keep_alive": "30m"}).json()["done_reason"] == "load"
    assert http.head("/").status_code == 200
    assert http.get("/").text == "Ollama is running"


def test_models_and_what_is_known_of_them(client: ollama.Client) -> None:
    client.generate("tiny", "x", options=OPTIONS)
    assert [model.model for model in client.list().models] == ["tiny:latest"]
    assert [model.model for model in client.ps().models] == ["tiny:latest"]
    shown = client.show("tiny")
    assert shown.template is not None
    assert ".Suffix" in shown.template, "by which clients know that the model fills in the middle"
    assert shown.modelinfo is not None
    assert shown.modelinfo["multiscale_transformer.context_length"] == 512
    assert "insert" in (shown.capabilities or ())


def test_variants_are_made_used_copied_and_deleted(client: ollama.Client) -> None:
    client.create("brief", from_="tiny", system="Be brief.", parameters={"num_predict": 3})
    try:
        assert client.generate("brief", "x", options={"seed": 3}).eval_count == 3
        assert client.generate("brief", "x").prompt_eval_count == len("Be brief.\n\nUser: x\nAssistant: ") + 1
        client.copy("brief", "again")
        assert {model.model for model in client.list().models} == {"tiny:latest", "brief:latest", "again:latest"}
    finally:
        for name in ("brief", "again"):
            client.delete(name)
    assert [model.model for model in client.list().models] == ["tiny:latest"]
    with pytest.raises(ollama.ResponseError, match="not found") as missing:
        client.show("brief")
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="not deleted"):
        client.delete("tiny")


@pytest.mark.parametrize("name", ["../x", "a b", "x/y/z", ".hidden", ""])
def test_names_that_are_no_names_are_refused(http: httpx.Client, name: str) -> None:
    answer = http.post("/api/create", json={"model": name, "from": "tiny", "stream": False})
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


def test_a_template_in_gos_language(http: httpx.Client) -> None:
    body = {"model": "tiny", "prompt": "ab", "system": "S", "stream": False, "options": OPTIONS}
    template = "{{ if .System }}<{{ .System }}>{{ end }}{{ .Prompt }}!{{ .Response }} after"
    assert http.post("/api/generate", json={**body, "template": template}).json()["prompt_eval_count"] == len("<S>ab!") + 1
    refused = http.post("/api/generate", json={**body, "template": "{{ range .Messages }}x{{ end }}"})
    assert refused.status_code == 400
    assert "range .Messages" in refused.json()["error"]


def test_embeddings(client: ollama.Client) -> None:
    vectors = client.embed("tiny", ["def", "class"]).embeddings
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1, 1], abs=1e-5)
    assert list(client.embeddings("tiny", "def").embedding) == pytest.approx(list(vectors[0]))


def test_errors_are_texts(http: httpx.Client) -> None:
    for body in ({"model": "tiny", "prompt": 5}, {"model": "tiny", "prompt": "x", "keep_alive": "soon"}):
        answer = http.post("/api/generate", json=body)
        assert answer.status_code == 400
        assert isinstance(answer.json()["error"], str)

"""Every field that a dialect's official description names is honoured, accepted without effect, or refused: none is dropped.

The descriptions are the types of the official clients, which are generated from them (OpenAI, Anthropic), or the client itself
(Ollama); llama.cpp's is the list of its server's README.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic.types import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from ollama import _types as ollama_types
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as CompletionParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponseParams

from multiscale_transformer.server import anthropic, llamacpp, ollama, openai
from multiscale_transformer.server.anthropic.schemas import CountBody, MessagesBody
from multiscale_transformer.server.core.schemas import Body, named
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.llamacpp.completion import CompletionBody as LlamaCppBody
from multiscale_transformer.server.llamacpp.completion import InfillBody
from multiscale_transformer.server.ollama.schemas import ChatBody as OllamaChatBody
from multiscale_transformer.server.ollama.schemas import EmbedBody, GenerateBody, Options
from multiscale_transformer.server.openai.chat import ChatBody
from multiscale_transformer.server.openai.completions import CompletionBody
from multiscale_transformer.server.openai.models import EmbeddingBody
from multiscale_transformer.server.openai.responses import ResponsesBody

LLAMA_CPP = named(
    "prompt temperature dynatemp_range dynatemp_exponent top_k top_p min_p n_predict n_indent n_keep n_cmpl"
    " n_cache_reuse stream stop typical_p repeat_penalty repeat_last_n presence_penalty frequency_penalty"
    " dry_multiplier dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers xtc_probability"
    " xtc_threshold mirostat mirostat_tau mirostat_eta grammar json_schema seed ignore_eos logit_bias n_probs"
    " min_keep t_max_predict_ms id_slot cache_prompt return_tokens samplers timings_per_token return_progress"
    " sse_ping_interval post_sampling_probs response_fields lora"
)
DESCRIBED: list[tuple[type[Body], Iterable[str]]] = [
    (CompletionBody, CompletionParams.__required_keys__ | CompletionParams.__optional_keys__),
    (ChatBody, ChatParams.__required_keys__ | ChatParams.__optional_keys__),
    (ResponsesBody, ResponseParams.__required_keys__ | ResponseParams.__optional_keys__),
    (EmbeddingBody, EmbeddingCreateParams.__required_keys__ | EmbeddingCreateParams.__optional_keys__),
    (
        MessagesBody,
        MessageCreateParamsNonStreaming.__required_keys__ | MessageCreateParamsNonStreaming.__optional_keys__,
    ),
    (CountBody, MessageCountTokensParams.__required_keys__ | MessageCountTokensParams.__optional_keys__),
    (GenerateBody, ollama_types.GenerateRequest.model_fields),
    (OllamaChatBody, ollama_types.ChatRequest.model_fields),
    (EmbedBody, ollama_types.EmbedRequest.model_fields),
    (Options, ollama_types.Options.model_fields),
    (LlamaCppBody, LLAMA_CPP),
    (InfillBody, LLAMA_CPP | {"input_prefix", "input_suffix", "input_extra"}),
]
SHARED = {"context", "height", "steps", "width"}  # of generation; in a chat Ollama does not know them either


def names(body: type[Body]) -> set[str]:
    return {field.alias or name for name, field in body.model_fields.items()}


@pytest.mark.parametrize(("body", "described"), DESCRIBED, ids=lambda value: value.__name__ if isinstance(value, type) else "")
def test_every_described_field_has_one_place(body: type[Body], described: Iterable[str]) -> None:
    fields, without_effect, refused = names(body), set(body.WITHOUT_EFFECT), set(body.REFUSED)
    assert set(described) - fields - without_effect - refused == set(), "dropped in silence"
    assert not fields & without_effect
    assert not fields & refused
    assert not without_effect & refused
    assert (without_effect | refused) - set(described) - SHARED == set(), "described no more"


@pytest.mark.parametrize(
    ("body", "name"), [(body, name) for body, _ in DESCRIBED for name in body.REFUSED], ids=lambda value: str(value)[-40:]
)
def test_what_is_refused_is_refused_where_it_asks_for_something(body: type[Body], name: str) -> None:
    with pytest.raises(ApiError, match=name) as refused:
        body.model_validate({name: {"some": "thing"}})
    assert refused.value.status == 400
    for harmless in (None, *body.REFUSED[name]):
        needed: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "input": "x"}
        body.model_validate({**needed, name: harmless})


def test_a_refusal_reaches_clients_in_their_shape(http: httpx.Client) -> None:
    ours = http.post(
        "/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}], "functions": [{"name": "f"}]}
    )
    assert (ours.status_code, ours.json()["error"]["param"]) == (400, "functions")
    theirs = http.post("/api/generate", json={"prompt": "x", "options": {"mirostat": 2}})
    assert theirs.status_code == 400
    assert "mirostat" in theirs.json()["error"]
    anthropics = http.post(
        "/v1/messages", json={"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "container": "c"}
    )
    assert anthropics.json()["error"]["type"] == "invalid_request_error"


def test_the_page_of_the_server_names_every_field_that_is_not_honoured() -> None:
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
    for body, _ in DESCRIBED:
        assert [name for name in (*body.WITHOUT_EFFECT, *body.REFUSED) if f"`{name}`" not in page] == []


def test_every_dialect_has_a_folder_of_its_own() -> None:
    assert all(module.__doc__ for module in (openai, anthropic, ollama, llamacpp))

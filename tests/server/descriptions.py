"""The official descriptions of the routes that we have, as the official clients' types state them.

OpenAI's and Anthropic's types are generated from their own OpenAPI documents (by Stainless), Ollama's are its client's. So
requests are what a description permits, as far as we read them, and answers are held to what it requires. llama.cpp has no
description that a machine reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ollama
from anthropic.types import Message, MessageTokensCount
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as MessageParams
from ollama import _types as ollama_types
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as CompletionParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponseParams
from pydantic import BaseModel, TypeAdapter

from multiscale_transformer.server.anthropic.schemas import CountBody, MessagesBody
from multiscale_transformer.server.ollama.schemas import ChatBody as OllamaChatBody
from multiscale_transformer.server.ollama.schemas import EmbedBody, GenerateBody
from multiscale_transformer.server.openai.chat import ChatBody
from multiscale_transformer.server.openai.completions import CompletionBody
from multiscale_transformer.server.openai.models import EmbeddingBody
from multiscale_transformer.server.openai.responses import ResponsesBody

Schema = dict[str, Any]


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


TEXT, TEXT_OR_NULL = {"type": "string"}, {"type": ["string", "null"]}
OPENAI_ERROR = _object(error=_object(message=TEXT, type=TEXT, param=TEXT_OR_NULL, code=TEXT_OR_NULL))
ANTHROPIC_ERROR = _object(type={"const": "error"}, error=_object(type=TEXT, message=TEXT))
OLLAMA_ERROR = _object(error=TEXT)
MODELS = _object(object={"const": "list"}, data={"type": "array", "items": {"$ref": "#/components/schemas/Model"}})


def _listed(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


@dataclass(frozen=True)
class Described:
    """A route: its parameters, its answer and its errors as described, the body that we read, and simpler unions.

    Of dozens of kinds of items and tools those are left that do not run at the providers: the unions take minutes to draw from.
    """

    params: Any
    answer: type[BaseModel]
    error: Schema
    body: type[BaseModel]
    simpler: dict[str, Schema] = field(default_factory=dict)
    needed: tuple[str, ...] = ()


TURN = _object(role={"enum": ["user", "assistant"]}, content={"anyOf": [TEXT, _listed(_ref("TextBlockParam"))]})
ANTHROPIC = {
    "messages": {"type": "array", "items": TURN, "minItems": 1},
    "system": {"anyOf": [TEXT, _listed(_ref("TextBlockParam"))]},
    "tools": _listed(_ref("ToolParam")),
}
OLLAMA_TURN = _object(role={"enum": ["system", "user", "assistant", "tool"]}, content=TEXT)
FUNCTION = _object(name={"type": "string", "minLength": 1}, parameters={"const": {}})
OLLAMA_TOOL = _object(type={"const": "function"}, function=FUNCTION)
OPTIONS = {
    "type": "object",
    "properties": {"seed": {"type": "integer"}, "temperature": {"type": "number"}, "num_predict": {"type": "integer"}},
}
OLLAMA = {
    "options": OPTIONS,
    "messages": _listed(OLLAMA_TURN),
    "tools": _listed(OLLAMA_TOOL),
    "images": {"const": []},
    "format": {"enum": ["", "json"]},
    "keep_alive": {"enum": [0, 5, "5m"]},
}
OPENAI_ROUTES = {
    "/v1/completions": Described(CompletionParams, Completion, OPENAI_ERROR, CompletionBody),
    "/v1/chat/completions": Described(ChatParams, ChatCompletion, OPENAI_ERROR, ChatBody),
    "/v1/embeddings": Described(EmbeddingCreateParams, CreateEmbeddingResponse, OPENAI_ERROR, EmbeddingBody),
    "/v1/responses": Described(
        ResponseParams,
        Response,
        OPENAI_ERROR,
        ResponsesBody,
        {"input": {"anyOf": [TEXT, _listed(_ref("EasyInputMessageParam"))]}, "tools": _listed(_ref("FunctionToolParam"))},
    ),
}
ANTHROPIC_ROUTES = {
    "/v1/messages": Described(MessageParams, Message, ANTHROPIC_ERROR, MessagesBody, ANTHROPIC),
    "/v1/messages/count_tokens": Described(MessageCountTokensParams, MessageTokensCount, ANTHROPIC_ERROR, CountBody, ANTHROPIC),
}
OLLAMA_ROUTES = {
    "/api/generate": Described(ollama_types.GenerateRequest, ollama.GenerateResponse, OLLAMA_ERROR, GenerateBody, OLLAMA),
    "/api/chat": Described(ollama_types.ChatRequest, ollama.ChatResponse, OLLAMA_ERROR, OllamaChatBody, OLLAMA),
    "/api/embed": Described(ollama_types.EmbedRequest, ollama.EmbedResponse, OLLAMA_ERROR, EmbedBody, OLLAMA),
}
# Streams have tests of their own; embeddings are also sent as base64, which is not described.
LEFT_OUT = {"stream", "encoding_format"}


def description(routes: dict[str, Described], model: str) -> Schema:
    """An OpenAPI 3.1 document of a dialect's routes; requests ask for `model`, and for no stream."""
    kept: Schema = {}
    paths: Schema = {}
    for path, described in routes.items():
        body = _schema(kept, TypeAdapter(described.params).json_schema(ref_template="#/components/schemas/{model}"))
        body["properties"]["model"] = {"enum": [model]}
        known = {name for name in set(described.body.model_fields) - LEFT_OUT if name in body["properties"]}
        body["properties"] = {name: body["properties"][name] for name in known}
        body["properties"] |= {name: simple for name, simple in described.simpler.items() if name in known}
        if path.startswith("/api/"):  # which streams unless told otherwise
            body["properties"]["stream"] = {"const": False}
            body["required"] = [*body.get("required", ()), "stream"]
        _schema_of(kept, described.answer)
        paths[path] = {
            "post": {
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": _answers(_ref(described.answer.__name__), described.error),
            }
        }
    if routes is OPENAI_ROUTES:
        _add_models(kept, paths, model)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Official descriptions, our routes", "version": "1"},
        "paths": paths,
        "components": {"schemas": kept},
    }


def _add_models(kept: Schema, paths: Schema, model: str) -> None:
    _schema_of(kept, Model)
    paths["/v1/models"] = {"get": {"responses": _answers(MODELS, OPENAI_ERROR)}}
    named = {"name": "model", "in": "path", "required": True, "schema": {"enum": [model]}}
    one = _answers(_ref("Model"), OPENAI_ERROR)
    paths["/v1/models/{model}"] = {"get": {"parameters": [named], "responses": one}}


def _answers(schema: Schema, error: Schema) -> Schema:
    def content(of: Schema) -> Schema:
        return {"description": "an answer", "content": {"application/json": {"schema": of}}}

    answer = content(schema)
    answer["content"]["application/x-ndjson"] = {}  # Ollama's streams, where a request has lost its `stream`
    return {"200": answer, "default": content(error)}


def _schema_of(kept: Schema, model: type[BaseModel]) -> None:
    make: Callable[..., Schema] = model.model_json_schema
    kept[model.__name__] = _schema(kept, make(ref_template="#/components/schemas/{model}", mode="serialization"))


def _schema(kept: Schema, schema: Schema) -> Schema:
    kept.update(schema.pop("$defs", {}))
    return schema

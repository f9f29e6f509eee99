"""OpenAI's description of the routes that we have, as its official client's types state it.

The client's types are generated from OpenAI's own OpenAPI document (by Stainless), so requests are what the document permits,
as far as we read them, and answers are held to what it requires.
"""

from __future__ import annotations

from typing import Any

from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as CompletionParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponseParams
from pydantic import BaseModel, TypeAdapter

from multiscale_transformer.server.openai.chat import ChatBody
from multiscale_transformer.server.openai.completions import CompletionBody
from multiscale_transformer.server.openai.models import EmbeddingBody
from multiscale_transformer.server.openai.responses import ResponsesBody

ROUTES: dict[str, tuple[Any, type[BaseModel]]] = {
    "/v1/completions": (CompletionParams, Completion),
    "/v1/chat/completions": (ChatParams, ChatCompletion),
    "/v1/embeddings": (EmbeddingCreateParams, CreateEmbeddingResponse),
    "/v1/responses": (ResponseParams, Response),
}
# Streams have tests of their own; embeddings are also sent as base64, which is not described.
LEFT_OUT = {"stream", "encoding_format"}
FIELDS = {
    "/v1/completions": set(CompletionBody.model_fields) - LEFT_OUT,
    "/v1/chat/completions": set(ChatBody.model_fields) - LEFT_OUT,
    "/v1/embeddings": set(EmbeddingBody.model_fields) - LEFT_OUT,
    "/v1/responses": set(ResponsesBody.model_fields) - LEFT_OUT,
}
# Of the newer API's dozens of kinds of items and tools, those that do not run at OpenAI: the unions take minutes to draw from.
SIMPLER: dict[str, dict[str, Any]] = {
    "/v1/responses": {
        "input": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/EasyInputMessageParam"}}]
        },
        "tools": {"type": "array", "items": {"$ref": "#/components/schemas/FunctionToolParam"}},
    }
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}},
}


def description(model: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document; requests ask for `model`, and for no stream."""
    kept: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for path, (params, answer) in ROUTES.items():
        body = _schema(kept, TypeAdapter(params).json_schema(ref_template="#/components/schemas/{model}"))
        body["properties"]["model"] = {"enum": [model]}
        known = {name for name in FIELDS[path] if name in body["properties"]}
        body["properties"] = {name: body["properties"][name] for name in known}
        body["properties"] |= SIMPLER.get(path, {})
        _schema_of(kept, answer)
        paths[path] = {
            "post": {
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": _answers({"$ref": f"#/components/schemas/{answer.__name__}"}),
            }
        }
    _schema_of(kept, Model)
    paths["/v1/models"] = {"get": {"responses": _answers(MODELS)}}
    named = {"name": "model", "in": "path", "required": True, "schema": {"enum": [model]}}
    one = _answers({"$ref": "#/components/schemas/Model"})
    paths["/v1/models/{model}"] = {"get": {"parameters": [named], "responses": one}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "OpenAI, our routes", "version": "1"},
        "paths": paths,
        "components": {"schemas": kept},
    }


def _answers(schema: dict[str, Any]) -> dict[str, Any]:
    def content(of: dict[str, Any]) -> dict[str, Any]:
        return {"description": "an answer", "content": {"application/json": {"schema": of}}}

    return {"200": content(schema), "default": content(ERROR)}


def _schema_of(kept: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    kept[model.__name__] = _schema(kept, schema)


def _schema(kept: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    kept.update(schema.pop("$defs", {}))
    return schema

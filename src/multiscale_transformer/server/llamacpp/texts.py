"""What llama.cpp's routes do with texts besides continuing them: tokens, chat templates and vectors. Bytes are the tokens."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE, ByteTokenizer
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.conversation import Conversation
from multiscale_transformer.server.core.disconnects import unless_disconnected
from multiscale_transformer.server.core.embeddings import embed
from multiscale_transformer.server.core.schemas import Body, TokenId, ToolBody, prompts_of
from multiscale_transformer.server.openai.schemas import ChatMessage
from multiscale_transformer.server.state import server_state

router = routing.router("llama.cpp")


class TokenizeBody(Body):
    """llama.cpp says `content`, vLLM `prompt`."""

    content: str | None = None
    prompt: str | None = None
    add_special: bool = False
    add_special_tokens: bool = False


class DetokenizeBody(Body):
    """Ids of bytes."""

    tokens: list[TokenId]


class TemplateBody(Body):
    """A conversation."""

    model: str = ""
    messages: list[ChatMessage] = Field(min_length=1)
    tools: list[ToolBody] = []


class EmbeddingBody(Body):
    """One or several texts."""

    REFUSED = {"embd_normalize": (2,)}

    model: str = ""
    content: str | list[TokenId] | list[str] | list[list[TokenId]]


@router.post("/tokenize", summary="A text as ids")
async def tokenize(body: TokenizeBody) -> dict[str, Any]:
    """Its UTF-8 bytes."""
    text = body.content if body.content is not None else body.prompt or ""
    tokens = ByteTokenizer().encode(text.encode("utf-8", "replace"), add_bos=body.add_special or body.add_special_tokens)
    return {"tokens": tokens, "count": len(tokens)}


@router.post("/detokenize", summary="Ids as a text")
async def detokenize(body: DetokenizeBody) -> dict[str, str]:
    """What is no UTF-8 becomes U+FFFD."""
    text = ByteTokenizer().decode(body.tokens)
    return {"content": text, "prompt": text}


@router.get("/tokenizer_info", summary="What evaluation harnesses ask of a tokenizer")
async def tokenizer_info(http: Request) -> dict[str, Any]:
    """With this, lm-evaluation-harness scores likelihoods over HTTP."""
    length = server_state(http).registry.find(None).config.max_seq_len
    special = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "bos_token_id": BOS, "eos_token_id": EOS}
    return {**special, "vocab_size": VOCAB_SIZE, "tokenizer_class": "ByteTokenizer", "model_max_length": length}


@router.post("/apply-template", summary="A conversation as a prompt")
async def apply_template(body: TemplateBody, http: Request) -> dict[str, str]:
    """With the chat template of the model; nothing is generated."""
    state = server_state(http)
    entry, tools = state.registry.find(body.model), [tool.as_tool() for tool in body.tools]
    conversation = Conversation(state, entry, [message.as_message() for message in body.messages], tools)
    return {"prompt": await asyncio.to_thread(lambda: conversation.text)}


@router.post("/embedding", summary="Texts as vectors, with llama.cpp's names")
async def embedding(body: EmbeddingBody, http: Request) -> Response:
    """Each of length 1."""
    state = server_state(http)
    async with state.models.use(state.registry.find(body.model)) as model:
        vectors, _ = await unless_disconnected(http, embed(model, prompts_of(body.content)))
    return JSONResponse([{"index": index, "embedding": [vector.tolist()]} for index, vector in enumerate(vectors)])

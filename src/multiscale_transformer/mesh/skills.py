"""Skills of models, and which of them a request asks for: the tool router reads its last message.

A client that asks for the model `auto` gets one by its skill, a client that asks for `skill:NAME` one that has it.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from multiscale_transformer.agents.router import choose
from multiscale_transformer.agents.tool_schema import Tool

AUTO, PREFIX = "auto", "skill:"
VISION = "vision"
MAX_TEXT = 2000  # characters of a message that are read
SKILLS = {
    "code": "Write code: complete, continue, implement, create or generate a function, class, script, program or snippet.",
    "debug": "Debug code: find and fix, repair or solve a bug, an error, a crash, an exception, a traceback or a failing test.",
    VISION: "Look at an image: describe, read or recognise a picture, screenshot, photo, diagram or drawing.",
    "refactor": "Refactor code: clean up, simplify, tidy, shorten, restructure, rename or modernise code.",
    "test": "Write tests: unit tests, assertions, test cases and coverage for functions.",
    "document": "Document code: write docstrings, comments, a readme or documentation.",
    "translate": "Translate code: convert, port, migrate or rewrite it from one programming language into another.",
    "secure": "Secure code: find vulnerabilities, unsafe calls, injections and secrets, and make them safe.",
    "explain": "Explain code: say, describe or summarise what it does, how it works and what it means.",
    "chat": "Converse: small talk, greetings, general questions about the world.",
}


def skill_of(body: dict[str, Any], offered: Collection[str]) -> str | None:
    """Which of the offered skills a request asks for; None where none of them fits better than the others."""
    if VISION in offered and _has_image(body):
        return VISION
    names = sorted(name for name in offered if name in SKILLS and name != VISION)
    text = last_text(body)
    return _chosen(text[:MAX_TEXT], tuple(names)) if text and len(names) > 1 else names[0] if names else None


@lru_cache(1024)
def _chosen(text: str, names: tuple[str, ...]) -> str | None:
    tools = [Tool(name, SKILLS[name], {"type": "object", "properties": {}}) for name in names]
    ranked = choose(text, tools).ranked
    return ranked[0].tool.name if ranked[0].score > ranked[1].score else None


def last_text(body: dict[str, Any]) -> str:
    """What a request says last: the last message of a user, or its prompt."""
    for message in reversed(_list(body.get("messages") or body.get("input"))):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return text_of(body.get("prompt") or body.get("input"))


def text_of(content: Any) -> str:
    """The text of a message, which may be one text or parts."""
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part.get("text") for part in _list(content) if isinstance(part, str | dict)]
    return "\n".join(part for part in parts if isinstance(part, str))


def _has_image(body: dict[str, Any]) -> bool:
    for message in _list(body.get("messages") or body.get("input")):
        if isinstance(message, dict):
            kinds = [part.get("type") for part in _list(message.get("content")) if isinstance(part, dict)]
            if message.get("images") or any("image" in str(kind) for kind in kinds):
                return True
    return bool(body.get("images"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

"""Translates Ollama's templates, which are written in Go's template language, to Jinja: what a template of one turn needs."""

from __future__ import annotations

import re

from multiscale_transformer.server.errors import ApiError

MAX_TEMPLATE = 64 << 10  # bytes
MAX_ACTIONS = 64  # each may put the whole prompt into the text
_ACTION = re.compile(r"\{\{(-?)([^{}]*?)(-?)\}\}")
_RESPONSE = re.compile(r"\{\{-?[ \t]*\.Response[ \t]*-?\}\}")
_JINJA = re.compile(r"\{[%#{]|[%#}]\}")
_NAMES = {".System": "system", ".Prompt": "prompt", ".Suffix": "''", ".First": "true"}


def to_jinja(template: str) -> str:
    """`{{ .System }}`, `{{ .Prompt }}` and `{{ if .System }} … {{ else }} … {{ end }}`. Raises ApiError for more than that.

    What comes after `{{ .Response }}` belongs behind an answer, so it is left out.
    """
    template = _RESPONSE.split(template, maxsplit=1)[0]
    if len(template) > MAX_TEMPLATE or len(_ACTION.findall(template)) > MAX_ACTIONS:
        raise ApiError(400, f"template: it has more than {MAX_TEMPLATE:,} bytes or {MAX_ACTIONS} actions", param="template")
    parts, at = [], 0
    for action in _ACTION.finditer(template):
        parts += [_plain(template[at : action.start()]), _translated(*action.groups())]
        at = action.end()
    return "".join([*parts, _plain(template[at:])])


def _plain(text: str) -> str:
    """Text between actions. Raises ApiError for what would be an action of Jinja."""
    found = _JINJA.search(text)
    if found:
        raise ApiError(400, f"template: {found[0]!r} is not understood", param="template")
    return text


def _translated(left: str, inner: str, right: str) -> str:
    inner = inner.strip()
    if inner in _NAMES:
        return f"{{{{{left} {_NAMES[inner]} {right}}}}}"
    if inner.startswith("if ") and inner[3:].strip() in _NAMES:
        return f"{{%{left} if {_NAMES[inner[3:].strip()]} {right}%}}"
    if inner in ("else", "end"):
        return f"{{%{left} {'else' if inner == 'else' else 'endif'} {right}%}}"
    raise ApiError(
        400, f"template: {{{{ {inner} }}}} is not understood; .System, .Prompt, if, else and end are", param="template"
    )

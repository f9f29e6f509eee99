"""Ollama's templates are written in Go's language; the part of it that a template of one turn needs, as Jinja."""

from __future__ import annotations

import re

from multiscale_transformer.server.errors import ApiError

_ACTION = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_NAMES = {".System": "system", ".Prompt": "prompt", ".Response": "", ".Suffix": "", ".First": "true"}


def to_jinja(template: str) -> str:
    """`{{ .System }}`, `{{ .Prompt }}` and `{{ if .System }} … {{ else }} … {{ end }}`. Raises ApiError for more than that.

    What comes after `{{ .Response }}` belongs behind an answer, so it is left out.
    """
    template = template.split("{{ .Response }}", maxsplit=1)[0]
    return _ACTION.sub(_translated, template)


def _translated(action: re.Match[str]) -> str:
    left, inner, right = action.groups()
    if inner in _NAMES:
        return f"{{{{{left} {_NAMES[inner] or repr('')} {right}}}}}"
    if inner.startswith("if ") and inner[3:].strip() in _NAMES:
        return f"{{%{left} if {_NAMES[inner[3:].strip()] or 'false'} {right}%}}"
    if inner in ("else", "end"):
        return f"{{%{left} {'else' if inner == 'else' else 'endif'} {right}%}}"
    raise ApiError(
        400, f"template: {{{{ {inner} }}}} is not understood; .System, .Prompt, if, else and end are", param="template"
    )

"""Prompt formats: the texts around a request, for each task that models of the zoo are trained for.

The published cards prompt their models as here ("Before: … After:"), but the published Modelfiles put every one of them into
the same chat. A recipe names its format, a checkpoint keeps it, and the server and all exports use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.zoo.recipes import FormatName
from multiscale_transformer.zoo.training_record import known_training

CHAT_TEMPLATE_FILE = "chat_template.jinja"  # as Hugging Face's tools write it; it comes before the format


@dataclass(frozen=True)
class Format:
    """`chat` is a Jinja template over `messages`, `go` one of Ollama's over a single turn, and `stops` end an answer."""

    chat: str
    go: str
    stops: tuple[str, ...]

    @property
    def ollama_template(self) -> str:
        """Ollama's template, which fills in the middle too. The FIM tokens are control bytes, which Go's quoting can spell."""
        fim = '{{ if .Suffix }}{{ "\\x11\\x12" }}{{ .Suffix }}{{ "\\x13" }}{{ .Prompt }}'
        return f"{fim}{{{{ else }}}}{self.go}{{{{ end }}}}"


_GO_SYSTEM = "{{ if .System }}{{ .System }}\n\n{{ end }}"


def _task(before: str, after: str) -> Format:
    """The format of a task of one turn: the user's text stands between `before` and `after`, the answer behind `after`."""
    content = "{{ message.content }}"
    chat = (
        "{% for message in messages %}"
        f"{{% if message.role == 'user' %}}{before}{content}{after}"
        f"{{% elif message.role == 'system' %}}{content}\n\n"
        f"{{% else %}}{content}\n{{% endif %}}"
        "{% endfor %}"
    )
    return Format(chat, f"{_GO_SYSTEM}{before}{{{{ .Prompt }}}}{after}", (f"\n{before.rstrip()}",))


_CHAT = (
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}\n\n"
    "{% elif message.role == 'user' %}User: {{ message.content }}\n"
    "{% elif message.role == 'tool' %}Tool: {{ message.content }}\n"
    "{% else %}Assistant: {{ message.content }}\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)
_TURN_STOPS = ("\nUser:", "\nTool:", "\nAssistant:")
_GO_TURN = _GO_SYSTEM + "User: {{ .Prompt }}\nAssistant: "

FORMATS: dict[FormatName, Format] = {
    # A model of code continues what it is given; only a system prompt says that somebody wants to talk.
    "code": Format(
        _CHAT, "{{ if .System }}{{ .System }}\n\nUser: {{ .Prompt }}\nAssistant: {{ else }}{{ .Prompt }}{{ end }}", _TURN_STOPS
    ),
    "chat": Format(_CHAT, _GO_TURN, _TURN_STOPS),
    "refactor": _task("Before:\n", "\nAfter:"),
    "comment": _task("Code:\n", "\nCommented:"),
    "document": _task("Code:\n", "\nDocumented:"),
    "translate": _task("Translate:\n", "\nResult:"),
    "fix": _task("Error: ", "\nFix:"),
}


def format_name(folder: Path) -> FormatName:
    """The format that a checkpoint was trained for; that of plain code where it does not say."""
    record = known_training(folder)
    return next((name for name in FORMATS if record is not None and name == record.format), "code")


def format_of(folder: Path) -> Format:
    """The prompt format of a checkpoint. A `chat_template.jinja` that lies in it comes before the template of its format."""
    trained_for = FORMATS[format_name(folder)]
    try:
        return Format((folder / CHAT_TEMPLATE_FILE).read_text(encoding="utf-8"), trained_for.go, trained_for.stops)
    except OSError:
        return trained_for

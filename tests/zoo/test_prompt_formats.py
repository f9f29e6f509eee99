"""How models are asked: every format's chat, its Go template and its stops say the same, and a checkpoint keeps its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multiscale_transformer.export.ollama import modelfile
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.server.core.chat_template import ChatTemplate, Message, template_of
from multiscale_transformer.server.ollama.go_templates import to_jinja
from multiscale_transformer.zoo.prompt_formats import FORMATS, format_name, format_of
from multiscale_transformer.zoo.recipes import FormatName, load_recipe, recipe_names
from tiny import checkpoint

TINY = ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, downsample_factors=(1,), max_seq_len=256)


@pytest.mark.parametrize("name", FORMATS)
def test_a_request_looks_the_same_in_a_chat_and_in_ollama(name: FormatName) -> None:
    known = FORMATS[name]
    for said in ([Message("user", "x = 1")], [Message("system", "Be short."), Message("user", "x = 1")]):
        rendered, chat = ChatTemplate(to_jinja(known.go)).render(said), ChatTemplate(known.chat).render(said)
        assert rendered == chat or (name == "code" and rendered == "x = 1"), "code is continued as it is"
    assert known.stops


@pytest.mark.parametrize(
    ("model", "prompt"),
    [
        ("AXL-Refactor-Lion", "Before:\nx\nAfter:"),
        ("AXL-Comment-Lion", "Code:\nx\nCommented:"),
        ("AXL-Translate", "Translate:\nx\nResult:"),
        ("AXL-Debugger-8M", "Error: x\nFix:"),
        ("AXL-Chat-Pro", "User: x\nAssistant: "),
    ],
)
def test_published_prompts(model: str, prompt: str) -> None:
    """Those of the widgets on the published cards."""
    assert ChatTemplate(FORMATS[load_recipe(model).format].chat).render([Message("user", "x")]) == prompt


def test_earlier_turns_of_a_task_are_examples() -> None:
    said = [Message("system", "Be short."), Message("user", "a"), Message("assistant", "\nb"), Message("user", "c")]
    assert ChatTemplate(FORMATS["refactor"].chat).render(said) == "Be short.\n\nBefore:\na\nAfter:\nb\nBefore:\nc\nAfter:"


def test_a_checkpoint_keeps_its_format(tmp_path: Path) -> None:
    checkpoint(TINY, tmp_path)
    assert format_name(tmp_path) == "code"
    (tmp_path / "training.json").write_text(json.dumps({"format": "refactor"}))
    assert format_of(tmp_path) is FORMATS["refactor"]
    assert template_of(tmp_path).stops == ("\nBefore:",)
    text = modelfile("x.gguf", 256, format_of(tmp_path))
    assert 'PARAMETER stop "\\nBefore:"' in text
    assert "{{ end }}Before:\n{{ .Prompt }}\nAfter:{{ end }}" in text
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    assert template_of(tmp_path).render([Message("user", "x")]) == "x!"
    for damaged in ("{", "[]", '{"format": "unknown"}', '{"format": []}'):
        (tmp_path / "training.json").write_text(damaged)
        assert format_name(tmp_path) == "code"


def test_every_recipe_has_a_known_format() -> None:
    assert {load_recipe(name).format for name in recipe_names()} == set(FORMATS)

"""Clients from npm against the running server, with fixed versions, set up by `axl connect` where it knows them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from server.client_folders import CLIENTS, connect, node_modules, run
from server.running import Running

AI = ("ai@6.0.326", "@ai-sdk/openai-compatible@2.0.92", "@ai-sdk/openai@3.0.141", "@ai-sdk/anthropic@3.0.140", "zod@4.6.7")
PROMPT = "Say something."
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("npm") is None, reason="these need Node.js")]


def test_vercel_ai(ending: Running, tmp_path: Path) -> None:
    modules = node_modules("vercel-ai", AI)
    program = shutil.copy(CLIENTS / "vercel_ai.mjs", modules.parent)
    assert "vercel_ai: ok" in run(["node", program, ending.url, "tiny"], tmp_path)


def test_codex(ending: Running, tmp_path: Path) -> None:
    codex = node_modules("codex", ["@openai/codex@0.171.0"]) / ".bin" / "codex"
    connect("codex", ending.url, tmp_path / ".codex" / "axl.config.toml")
    ask = [codex, "exec", "--skip-git-repo-check", "--json", "-o", tmp_path / "last"]
    for options in (["--profile", "axl"], ["--oss", "--local-provider", "ollama", "-m", "tiny"]):
        events = run([*ask, *options, PROMPT], tmp_path, CODEX_OSS_BASE_URL=f"{ending.url}/v1")
        assert "turn.completed" in [json.loads(line)["type"] for line in events.splitlines() if line.startswith("{")]


def test_claude_code(ending: Running, tmp_path: Path) -> None:
    claude = node_modules("claude-code", ["@anthropic-ai/claude-code@2.1.332"]) / ".bin" / "claude"
    connect("claude-code", ending.url, tmp_path / ".claude" / "settings.json")
    answer = json.loads(run([claude, "-p", PROMPT, "--output-format", "json", "--max-turns", "3"], tmp_path))
    assert not answer["is_error"]


def test_opencode(ending: Running, tmp_path: Path) -> None:
    opencode = node_modules("opencode", ["opencode-ai@1.18.33"]) / ".bin" / "opencode"
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "AXL",
        "options": {"baseURL": f"{ending.url}/v1", "apiKey": "none"},
        "models": {"tiny": {"name": "tiny", "limit": {"context": 100_000, "output": 64}}},
    }
    settings = {"provider": {"axl": provider}, "model": "axl/tiny", "small_model": "axl/tiny", "share": "disabled"}
    (tmp_path / "opencode.json").write_text(json.dumps(settings))
    events = run([opencode, "run", "--format", "json", PROMPT], tmp_path)
    kinds = [json.loads(line)["type"] for line in events.splitlines() if line.startswith("{")]
    assert "step_finish" in kinds, events
    assert "error" not in kinds, events


def test_continue(ending: Running, tmp_path: Path) -> None:
    cn = node_modules("continue", ["@continuedev/cli@1.5.47"]) / ".bin" / "cn"
    (tmp_path / "config.yaml").write_text(
        f"name: local\nversion: 1.0.0\nschema: v1\nmodels:\n"
        f"  - {{name: axl, provider: openai, model: tiny, apiBase: '{ending.url}/v1', apiKey: none, roles: [chat],\n"
        f"     defaultCompletionOptions: {{maxTokens: 40}}}}\n"
    )
    run([cn, "--config", tmp_path / "config.yaml", "-p", PROMPT], tmp_path)

"""What each editor and agent needs to be told to use a server of ours, and how that goes into a file of its settings.

A client is a file and what becomes of its text: a JSON or YAML document gets keys, a script gets a marked block, a file
that only this is for is written whole. JSON with comments, as editors permit, is not rewritten: it would lose them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiscale_transformer.errors import AxlError

BEGIN, END = "axl connect begins", "axl connect ends"
NO_KEY = "none"  # what a server without keys is sent
KEY_VARIABLE = "AXL_API_KEY"  # Zed makes this name of its provider's, which is AXL
ZED_VARIABLES = ("ZED_OPEN_AI_COMPATIBLE_EDIT_PREDICTION_API_KEY", KEY_VARIABLE)
MAX_BYTES = 200  # of an answer that an editor shows inline

Merge = Callable[[str, str, Any], str]  # the file's name, its text and the settings, to its new text


@dataclass(frozen=True)
class Server:
    """Where a server answers, what its model is called, how many bytes its context holds, and its key."""

    url: str
    model: str
    context: int
    key: str = NO_KEY


@dataclass(frozen=True)
class Client:
    """A client's file, the settings for a server, how both become one, and what to do then."""

    path: Callable[[], Path]
    settings: Callable[[Server], Any]
    merge: Merge
    then: str
    variables: tuple[str, ...] = ()  # of the environment, from which it takes a key that its file has no place for


def into_json(name: str, text: str, settings: Any) -> str:
    """A JSON document with the keys of `settings`, deeply; of lists, an entry of the same name is replaced."""
    try:
        old = json.loads(text) if text.strip() else type(settings)()
    except ValueError as error:
        raise AxlError(f"{name} is no plain JSON ({error}), so it is not rewritten; put the settings in by hand") from None
    return json.dumps(_merged(name, old, settings), indent=2, ensure_ascii=False) + "\n"


def into_yaml(name: str, text: str, settings: Any) -> str:
    """A YAML document with the keys of `settings`, deeply. Comments in it are lost; the backup has them."""
    import yaml

    try:
        old = yaml.safe_load(text) if text.strip() else type(settings)()
    except yaml.YAMLError as error:
        raise AxlError(f"{name} is no YAML ({str(error).splitlines()[0]}); put the settings in by hand") from None
    return str(yaml.safe_dump(_merged(name, old, settings), sort_keys=False, allow_unicode=True))


def into_script(comment: str) -> Merge:
    """A script with a block between two comments, which replaces an earlier one."""

    def merge(name: str, text: str, settings: Any) -> str:
        begin, end = f"{comment} {BEGIN}\n", f"{comment} {END}\n"
        if begin in text and end in text:
            head, _, rest = text.partition(begin)
            text = head + rest.partition(end)[2]
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}{begin}{settings}{end}"

    return merge


def whole(name: str, text: str, settings: Any) -> str:
    """A file that only this is for."""
    return str(settings)


def shown(client: Client, server: Server) -> str:
    """The settings as they would stand in an empty file."""
    return client.merge("", "", client.settings(server))


def _merged(name: str, old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(name, old[key], value) if key in old else value for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        named = {entry["name"] for entry in new if isinstance(entry, dict) and "name" in entry}
        return [*(entry for entry in old if not (isinstance(entry, dict) and entry.get("name") in named)), *new]
    if isinstance(new, dict | list):
        raise AxlError(f"{name} has something else where the settings belong; put them in by hand")
    return new


def _config(*parts: str) -> Callable[[], Path]:
    """A file below the user's configuration."""

    def place() -> Path:
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(base).joinpath(*parts)

    return place


def _home(*parts: str) -> Callable[[], Path]:
    return lambda: Path.home().joinpath(*parts)


def _vs_code(name: str) -> Callable[[], Path]:
    """A file of VS Code's user folder."""
    if sys.platform == "darwin":
        return _home("Library", "Application Support", "Code", "User", name)
    if sys.platform == "win32":
        return lambda: Path(os.environ.get("APPDATA", Path.home()), "Code", "User", name)
    return _config("Code", "User", name)


def _continue(server: Server) -> dict[str, Any]:
    return {
        "name": "local",
        "version": "1.0.0",
        "schema": "v1",
        "models": [
            {
                "name": "axl",
                "provider": "openai",
                "model": server.model,
                "apiBase": f"{server.url}/v1",
                "apiKey": server.key,
                "useLegacyCompletionsEndpoint": True,
                "roles": ["autocomplete"],
                "defaultCompletionOptions": {"maxTokens": MAX_BYTES},
                "autocompleteOptions": {"debounceDelay": 150, "modelTimeout": 400},
            }
        ],
    }


def _zed(server: Server) -> dict[str, Any]:
    completions = {
        "api_url": f"{server.url}/v1/completions",
        "model": server.model,
        "prompt_format": "star_coder",
        "max_output_tokens": MAX_BYTES,
    }
    chat = {"api_url": f"{server.url}/v1", "available_models": [{"name": server.model, "max_tokens": server.context}]}
    return {
        "edit_predictions": {"provider": "open_ai_compatible_api", "open_ai_compatible_api": completions},
        "language_models": {"openai_compatible": {"AXL": chat}},
    }


def _vs_code_chat(server: Server) -> list[dict[str, Any]]:
    model = {
        "id": server.model,
        "name": f"AXL {server.model}",
        "url": f"{server.url}/v1/chat/completions",
        "toolCalling": True,
        "vision": False,
        "maxInputTokens": server.context,
        "maxOutputTokens": server.context,
    }
    return [{"name": "AXL", "vendor": "customendpoint", "apiKey": server.key, "apiType": "chat-completions", "models": [model]}]


def _codex(server: Server) -> str:
    name, base = json.dumps(server.model), json.dumps(f"{server.url}/v1")
    key = "" if server.key == NO_KEY else f'env_key = "{KEY_VARIABLE}"\n'
    provider = f'[model_providers.axl]\nname = "AXL"\nbase_url = {base}\nwire_api = "responses"\n{key}'
    return f'# written by axl connect\nmodel = {name}\nmodel_provider = "axl"\n\n{provider}'


def _claude_code(server: Server) -> dict[str, Any]:
    models = {f"ANTHROPIC_{kind}MODEL": server.model for kind in ("", "SMALL_FAST_")}
    return {"env": {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_AUTH_TOKEN": server.key, **models}}


def _aider(server: Server) -> dict[str, Any]:
    return {"model": f"openai/{server.model}", "openai-api-base": f"{server.url}/v1", "openai-api-key": server.key}


def _llama_vim(server: Server) -> str:
    chat, key = f"{server.url}/v1/chat/completions", server.key.replace("'", "''")
    return f"let g:llama_config = {{'endpoint_fim': '{server.url}/infill', 'endpoint_inst': '{chat}', 'api_key': '{key}'}}\n"


def _llama_vscode(server: Server) -> dict[str, Any]:
    return {"llama-vscode.endpoint": server.url, "llama-vscode.api_key": server.key}


CLIENTS = {
    "continue": Client(_home(".continue", "config.yaml"), _continue, into_yaml, "reload the editor's window"),
    "llama.vscode": Client(_vs_code("settings.json"), _llama_vscode, into_json, "reload the window"),
    "llama.vim": Client(_home(".vimrc"), _llama_vim, into_script('"'), "start Vim again, with the plugin ggml-org/llama.vim"),
    "zed": Client(_config("zed", "settings.json"), _zed, into_json, "Zed reads it at once", ZED_VARIABLES),
    "vscode": Client(_vs_code("chatLanguageModels.json"), _vs_code_chat, into_json, "choose the model in the chat's list"),
    "codex": Client(_home(".codex", "axl.config.toml"), _codex, whole, "codex --profile axl", (KEY_VARIABLE,)),
    "claude-code": Client(_home(".claude", "settings.json"), _claude_code, into_json, "start claude again"),
    "aider": Client(_home(".aider.conf.yml"), _aider, into_yaml, "aider"),
}

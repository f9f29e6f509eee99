"""The reference of the site, generated while mkdocs builds it: every command and option, every route and field.

`mkdocs.yml` names this file as a hook. The pages come from what runs, the commands' own help and the server's own OpenAPI, so
they cannot say anything else. The page of the Python modules is Markdown that mkdocstrings fills in.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from multiscale_transformer.cli.main import COMMANDS, load

LEFT_OUT = "bench"  # a checkout's own, with pages of its own
LARGE = 2.0**60


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """What mkdocs calls once it has found the pages: adds the two that are made here."""
    for name, page in (("commands", commands_page()), ("routes", routes_page())):
        files.append(File.generated(config, f"reference/{name}.md", content=page))
    return files


def commands_page() -> str:
    """Markdown of all commands, in the order and under the headings of `axl --help`."""
    parts = ["# Commands", "`axl COMMAND --help` says the same."]
    panel = ""
    for name, (heading, _) in COMMANDS.items():
        if name == LEFT_OUT:
            continue
        if heading != panel:
            panel = heading
            parts.append(f"## {panel}")
        command = load(name)
        text = get_docs_for_click(
            obj=command, ctx=typer.Context(command, info_name=f"axl {name}"), name=f"axl {name}", indent=2
        )
        parts.append(_with_code(text))
    return "\n\n".join(parts) + "\n"


def _with_code(text: str) -> str:
    """Lines that a reader would type stand in the help as `$ …`; here they become a block of code."""
    lines: list[str] = []
    inside = fenced = False
    for line in text.split("\n"):
        fenced ^= line.startswith("```")
        example = line.startswith("$ ") and not fenced
        if example and not inside:
            lines += ["", "```sh"]
        if inside and not example:
            lines += ["```", ""]
        lines.append(line.removeprefix("$ ") if example else line)
        inside = example
    return "\n".join(lines)


def routes_page() -> str:
    """Markdown of all routes of a server, by the client that calls them, with the fields of their bodies."""
    from multiscale_transformer.server.app import build_app
    from multiscale_transformer.server.settings import Settings
    from multiscale_transformer.zoo.shipped import SHIPPED, shipped_model

    with tempfile.TemporaryDirectory() as folder:
        described = build_app(Settings(models={SHIPPED: shipped_model()}, variants=Path(folder))).openapi()
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["Other"])[0]
            by_tag[tag].append("\n".join(_route(f"{method.upper()} {path}", operation, described)))
    parts = ["# Routes", "A running server shows the same at `/docs`, with a form for each; `/openapi.json` is for programs."]
    for tag, routes in by_tag.items():
        parts += [f"## {tag}", *routes]
    return "\n\n".join(parts) + "\n"


def _route(name: str, operation: dict[str, Any], described: dict[str, Any]) -> Iterator[str]:
    yield f"### `{name}`\n\n{operation.get('summary', '')}\n"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    fields = _resolved(content, described).get("properties", {})
    if fields:
        yield "| field | type | default |\n|---|---|---|"
    for field, schema in fields.items():
        default = f"`{schema['default']}`" if schema.get("default") not in (None, "") else ""
        yield f"| `{field}` | {_type(schema)} | {_cell(default)} |"


def _resolved(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return described["components"]["schemas"][name] if name else schema


def _type(schema: dict[str, Any]) -> str:
    """A type in words, with its bounds: `integer, 1 to 64`; of several, each."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"] if one.get("type") != "null"))
    name = schema.get("$ref", "").rpartition("/")[2] or schema.get("type", "any")
    if "enum" in schema or "const" in schema:
        name = " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if name == "array":
        name = f"list of {_type(schema.get('items', {}))}"
    low, high = (_bound(schema, "inimum"), _bound(schema, "aximum"))
    if low is not None and high is not None:
        return _cell(f"{name}, {low:g} to {high:g}")
    return _cell(f"{name}, at least {low:g}" if low is not None else f"{name}, at most {high:g}" if high is not None else name)


def _bound(schema: dict[str, Any], name: str) -> float | None:
    """A bound that says something: not one that only says how large an integer may be."""
    value: float | None = schema.get(f"m{name}", schema.get(f"exclusiveM{name}"))
    return value if value is not None and abs(value) < LARGE else None


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

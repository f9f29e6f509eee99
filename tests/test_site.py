"""The documentation builds as a site without a warning, shows every page, and asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.reference import commands_page, routes_page
from multiscale_transformer.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=[\"']?([^\"' >]+)|<link\b[^>]*?\bhref=[\"']?([^\"' >]+)")


def listed(nav: object) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    return {page for part in (nav.values() if isinstance(nav, dict) else nav) for page in listed(part)}  # type: ignore[attr-defined]


def test_every_page_stands_in_the_navigation() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    generated = {"reference/commands.md", "reference/routes.md"}
    assert listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]) == pages | generated


def test_the_reference_has_every_command_and_every_route_with_its_fields() -> None:
    commands, routes = commands_page(), routes_page()
    assert [name for name in COMMANDS if name != "bench" and f"### `axl {name}`\n" not in commands] == []
    assert "### `POST /v1/chat/completions`" in routes
    assert "| `temperature` | number, 0 to 2 |" in routes
    assert "e+18" not in routes
    assert "```sh\naxl refactor src/area.py\n" in commands
    assert commands.count("```") % 2 == 0


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = ["".join(found) for found in LOADED.findall(page.read_text(encoding="utf-8"))]
        assert loaded
        assert [address for address in loaded if re.match(r"(https?:)?//", address)] == []

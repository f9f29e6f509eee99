"""The MCP server, called by the client of the same package: in the process, and once as a program over stdio."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multiscale_transformer.agents.journal import Changes, Journal
from multiscale_transformer.agents.mcp_server import build_server
from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.agents.tools import LabTools
from multiscale_transformer.cli.main import main
from multiscale_transformer.errors import AxlError

pytest.importorskip("mcp")
AREA = "def circle(radius):\n    return 3 * radius * radius\n"
EDIT = {"path": "area.py", "first_line": 2, "text": "    return 3.14 * radius * radius"}


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "area.py").write_text(AREA)
    (tmp_path / "secret").write_text("a secret")
    return ProjectFolder(tmp_path / "project")


def talk(target: Any, *calls: tuple[str, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """The tools that a server lists, and what it answers to calls."""
    import anyio
    from mcp import Client

    async def conversation() -> tuple[list[Any], list[Any]]:
        async with Client(target) as client:
            listed = await client.list_tools()
            return list(listed.tools), [await client.call_tool(name, arguments) for name, arguments in calls]

    return anyio.run(conversation)


def served(
    folder: ProjectFolder, begin: Callable[[str], Changes] | None, *calls: tuple[str, dict[str, Any]]
) -> tuple[list[Any], list[Any]]:
    with LabTools(folder) as tools:
        return talk(build_server(tools, begin), *calls)


def test_tools_are_listed_and_called(folder: ProjectFolder) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("read_file", {"path": "area.py"}),
        ("read_file", {"paths": "area.py"}),
        ("read_file", {"path": "../secret"}),
        ("rm", {}),
    ]
    listed, (read, wrong, outside, unknown) = served(folder, None, *calls)
    assert {tool.name for tool in listed} >= {"read_file", "run_tests", "fix_tests", "translate"}
    assert all(tool.input_schema["type"] == "object" and tool.annotations.read_only_hint for tool in listed)
    assert "return 3 * radius" in read.content[0].text
    assert not read.is_error
    for answer in (wrong, outside, unknown):
        assert answer.is_error
        assert "a secret" not in answer.content[0].text


def test_nothing_is_written_without_consent(folder: ProjectFolder, tmp_path: Path) -> None:
    _, (answer,) = served(folder, None, ("edit_lines", EDIT))
    assert "+    return 3.14 * radius" in answer.content[0].text
    assert "Not written" in answer.content[0].text
    assert folder.read("area.py") == AREA
    journal = Journal(folder, tmp_path / "data")
    listed, (answer,) = served(folder, journal.begin, ("edit_lines", EDIT))
    assert "Written: area.py" in answer.content[0].text
    assert not any(tool.annotations.read_only_hint for tool in listed)
    assert "3.14" in folder.read("area.py")
    journal.undo()
    assert folder.read("area.py") == AREA


@pytest.mark.slow
def test_the_command_speaks_over_stdio(folder: ProjectFolder) -> None:
    import os

    from mcp import StdioServerParameters

    words = ["mcp", "--project", str(folder.root)]
    code = "import sys; from multiscale_transformer.cli.main import main; sys.exit(main(sys.argv[1:]))"
    parameters = StdioServerParameters(command=sys.executable, args=["-c", code, *words], env=dict(os.environ))
    listed, (answer,) = talk(parameters, ("list_dir", {}))
    assert len(listed) == 12
    assert answer.content[0].text == "area.py"


def test_without_the_package_one_line_says_what_to_install(
    folder: ProjectFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    with LabTools(folder) as tools, pytest.raises(AxlError, match=r"pip install 'axl\[mcp\]'"):
        build_server(tools, None)
    assert main(["mcp", "--project", str(folder.root)]) == 2
    assert capsys.readouterr().err.count("\n") == 1

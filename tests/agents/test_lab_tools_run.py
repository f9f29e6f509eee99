"""The tools on a project: each tells something or proposes a verified change, and none of them writes or leads out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from held import needs_sandbox
from multiscale_transformer.agents.agent import call_for, run_task, steps_of
from multiscale_transformer.agents.code_tools import Models
from multiscale_transformer.agents.journal import Journal
from multiscale_transformer.agents.lab_tools import LAB_TOOLS
from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.agents.tools import LabTools
from multiscale_transformer.errors import AxlError

pytestmark = needs_sandbox
AREA = """\
def longest(words):
    best = ''
    for word in words:
        if len(word) < len(best):
            best = word
    return best


def circle(radius):
    if radius == None:
        return 0
    return 3 * radius * radius
"""
MENDED = AREA.replace("<", ">")
TEST = """\
from geo.area import longest

def test_longest():
    assert longest(['a', 'abc', 'ab']) == 'abc'
    assert longest(['x', 'y']) == 'x'
"""
NAMES = """read_file search_index list_dir edit_lines run_tests run_python explain_error refactor translate document complete
fix_tests"""
PATHS = st.sampled_from(["../secret.txt", "/etc/passwd", "src/geo/area.py", "-k", ".git/config"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | PATHS,
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
ARGUMENTS = st.sampled_from(["path", "first_line", "last_line", "text", "query", "message", "function", "line", "x"])


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base") / "project"
    for name, text in (
        ("src/geo/__init__.py", ""),
        ("src/geo/area.py", AREA),
        ("tests/test_area.py", TEST),
        ("notes.txt", "radius\n"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root.parent / "secret.txt").write_text("a secret")
    return root


@pytest.fixture(scope="module")
def tools(root: Path) -> Iterator[LabTools]:
    with LabTools(ProjectFolder(root)) as lab:
        before = snapshot(root.parent)
        yield lab
        assert snapshot(root.parent) == before


def test_every_tool_has_a_description_and_a_schema(tools: LabTools) -> None:
    assert [info.name for info in tools.infos] == NAMES.split()
    for info in tools.infos:
        wrong = tools.call(info.name, {name: [] for name in info.parameters["properties"]})
        assert not wrong.ok
        assert "Extra inputs" not in wrong.text
        assert "takes no such" in wrong.text
        assert len(info.description) > 20
        assert info.parameters["type"] == "object"
        assert info.parameters["additionalProperties"] is False
    with pytest.raises(AxlError, match="unknown tool"):
        tools.call("read_files", {})


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["read_file", "search_index", "list_dir", "edit_lines", "explain_error", "document", "complete"]),
    st.dictionaries(ARGUMENTS, JSON, max_size=4),
)
def test_no_argument_is_a_crash_or_a_way_out(tools: LabTools, name: str, arguments: dict[str, Any]) -> None:
    result = tools.call(name, arguments)
    assert "a secret" not in result.text
    assert "root:" not in result.text
    for change in result.changes:
        assert tools.project.path_of(change.name).is_relative_to(tools.project.root)


def test_reading_listing_and_searching(tools: LabTools) -> None:
    assert (
        tools.call("read_file", {"path": "src/geo/area.py", "first_line": 4, "last_line": 4}).text
        == "    4          if len(word) < len(best):"
    )
    assert tools.call("list_dir", {}).text == "notes.txt\nsrc/\ntests/"
    assert tools.call("search_index", {"query": "circle radius"}).text.startswith("src/geo/area.py:9: def circle(radius):")
    refused: list[tuple[str, dict[str, Any]]] = [
        ("read_file", {"path": "absent.py"}),
        ("read_file", {"path": "../secret.txt"}),
        ("read_file", {"path": "notes.txt", "first_line": 9}),
        ("search_index", {"query": "zebra"}),
        ("list_dir", {"path": "notes.txt"}),
    ]
    assert not any(tools.call(name, arguments).ok for name, arguments in refused)


def test_edits_keep_the_rest_and_still_parse(tools: LabTools, root: Path) -> None:
    edited = tools.call("edit_lines", {"path": "src/geo/area.py", "first_line": 4, "text": "        if len(word) > len(best):"})
    assert edited.ok
    (change,) = edited.changes
    assert change.after == MENDED.encode()
    assert edited.diff.startswith("--- a/src/geo/area.py")
    assert not tools.call("edit_lines", {"path": "src/geo/area.py", "first_line": 4, "text": "if ("}).ok
    assert not tools.call("edit_lines", {"path": "src/geo/area.py", "first_line": 99, "text": "x"}).ok
    assert not tools.call("edit_lines", {"path": "notes.txt", "first_line": 1, "text": "radius"}).ok
    assert (root / "src/geo/area.py").read_text() == AREA


def test_tests_and_python_run_on_a_copy(tools: LabTools) -> None:
    failing = tools.call("run_tests", {"path": "tests/test_area.py"})
    assert failing.text.startswith("1 of 1 tests fail\ntests/test_area.py::test_longest: ")
    explained = tools.call("explain_error", {}).text
    assert "AssertionError" in explained
    assert "expected: 'abc'" in explained
    assert "tests/test_area.py:4" in explained
    assert tools.call("run_python", {"code": "from geo.area import circle; print(circle(2))"}).text == "12"
    assert tools.call("run_python", {"code": "1 + 1"}).text == "2"
    wrote = tools.call("run_python", {"code": "open('src/geo/area.py', 'w').write('')"})
    assert wrote.ok
    assert not tools.call("run_python", {"code": f"open({str(tools.project.root.parent / 'secret.txt')!r})"}).ok
    assert not tools.call("run_tests", {"path": "--version"}).ok
    assert not tools.call("run_tests", {"path": "tests", "name": "--co"}).ok


def test_an_error_is_explained_by_its_last_line_in_the_project(tools: LabTools) -> None:
    text = 'Traceback:\n  File "/x/y/src/geo/area.py", line 12, in circle\n  File "/usr/lib/z.py", line 3, in z\nTypeError: no'
    told = tools.call("explain_error", {"message": text}).text
    assert told.startswith("TypeError: no\n")
    assert ">   12      return 3 * radius * radius" in told
    assert "no error of Python" in tools.call("explain_error", {"message": "hello"}).text


def test_skills_propose_what_they_verified(tools: LabTools) -> None:
    fixed = tools.call("fix_tests", {"path": "tests/test_area.py", "runs": 40})
    assert fixed.ok, fixed.text
    assert [change.after for change in fixed.changes] == [MENDED.encode()]
    refactored = tools.call("refactor", {"path": "src/geo/area.py", "function": "circle"})
    assert refactored.ok, refactored.text
    assert "+    if radius is None:" in refactored.diff
    assert not tools.call("document", {"path": "src/geo/area.py"}).ok  # no model
    assert not tools.call("refactor", {"path": "src/geo/area.py", "function": "circles"}).ok
    assert not tools.call("translate", {"path": "src/geo/area.py", "language": "cobol"}).ok


class Wrote:
    """A model that always goes on with the same text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def write(self, *_: object, **__: object) -> list[str]:
        return [self.text]


@pytest.mark.parametrize(("text", "proposed"), [(" + 1", True), (" +", False), (" ", False)])
def test_a_completion_has_to_parse(root: Path, text: str, proposed: bool) -> None:
    with LabTools(ProjectFolder(root), Models(writer=lambda: Wrote(text))) as tools:  # type: ignore[arg-type, return-value]
        result = tools.call("complete", {"path": "src/geo/area.py", "line": 12})
    assert bool(result.changes) == proposed
    if proposed:
        assert "+    return 3 * radius * radius + 1" in result.diff


@pytest.mark.parametrize(
    ("task", "steps"),
    [
        ("a then b", ["a", "b"]),
        ("a; b\nc", ["a", "b", "c"]),
        ("a, and then b.", ["a", "b"]),
        ("the authentic one", ["the authentic one"]),
    ],
)
def test_a_task_is_taken_apart(task: str, steps: list[str]) -> None:
    assert steps_of(task) == steps


@pytest.mark.parametrize("task", ["", " ; ", "a;" * 40])
def test_tasks_that_are_refused(task: str) -> None:
    with pytest.raises(AxlError) as refused:
        steps_of(task)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("request_", "call"),
    [
        ("make tests/test_area.py pass", ("fix_tests", {"path": "tests/test_area.py"})),
        ("fix the failing test test_longest", ("fix_tests", {"name": "test_longest"})),
        ("read the file src/geo/area.py", ("read_file", {"path": "src/geo/area.py"})),
        ("refactor src/geo/area.py", ("refactor", {"path": "src/geo/area.py"})),
        ("run the tests", ("run_tests", {})),
        ("list the folder src/geo", ("list_dir", {"path": "src/geo"})),
        ("thanks a lot!", None),
    ],
)
def test_requests_find_their_tools(tools: LabTools, request_: str, call: object) -> None:
    assert call_for(request_, tools) == call


def test_a_router_that_is_passed_in_decides(tools: LabTools) -> None:
    asked = []

    def route(request: str, infos: object) -> tuple[str, dict[str, Any]]:
        asked.append((request, infos))
        return "list_dir", {"path": "src"}

    assert call_for("whatever", tools, route) == ("list_dir", {"path": "src"})
    assert asked == [("whatever", LAB_TOOLS)]


def test_steps_write_with_consent_and_a_later_one_sees_it(root: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(root, tmp_path / "project")
    folder = ProjectFolder(tmp_path / "project")
    before, journal = snapshot(folder.root), Journal(folder, tmp_path / "data")
    edit = {"path": "src/geo/area.py", "first_line": 4, "text": "        if len(word) > len(best):"}
    calls: dict[str, tuple[str, dict[str, Any]]] = {"mend it": ("edit_lines", edit), "test it": ("run_tests", {})}
    task = "mend it then test it"

    def route(request: str, tools: object) -> tuple[str, dict[str, Any]]:
        return calls[request]

    with LabTools(folder) as tools:
        refused, tested = run_task(task, tools, journal.begin(task), lambda step: False, route)
        assert (refused.written, refused.done) == (False, False)
        assert "1 of 1 tests fail" in tested.result.text
        assert snapshot(folder.root) == before
        written, tested = run_task(task, tools, journal.begin(task), lambda step: True, route)
        assert (written.written, written.done) == (True, True)
        assert tested.result.text == "all tests pass (1)"
    assert (folder.root / "src/geo/area.py").read_text() == MENDED
    assert journal.undo() == ["src/geo/area.py"]
    assert snapshot(folder.root) == before

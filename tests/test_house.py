"""The house rules that a machine can hold: pages list every file, files stay short, the wheel stays within its budget."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "multiscale_transformer"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAX_FILE_LINES = 400
MAX_WHEEL_LINES = 58_722  # the goal was 15,000 (docs/log.md); it grows only with what users can do, and openly
POSIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty", "uvloop"}
POSIX_NAMES = {
    "os": {
        "O_DIRECTORY",
        "O_NOFOLLOW",
        "O_NONBLOCK",
        "fork",
        "geteuid",
        "getuid",
        "killpg",
        "nice",
        "sched_getaffinity",
        "setsid",
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGSTOP", "SIGUSR1"},
    "socket": {"AF_UNIX", "SO_REUSEPORT"},
}
LINUX_ALONE = {f"sandbox/{name}.py" for name in ("confine", "fork_server", "syscalls", "worker")}  # the fork server's process
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def table_of(room: str) -> str:
    """The section of the architecture page about a room."""
    found = re.search(rf"^#+ [^\n]*`{re.escape(room)}/`.*?(?=^#+ |\Z)", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/architecture.md has no section about `{room}/`"
    return found.group()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_architecture_page_lists_every_file(module: Path) -> None:
    room, *rest = module.relative_to(PACKAGE).parts
    assert f"`{'/'.join(rest)}`" in table_of(room) if rest else f"{room}" in ARCHITECTURE


def test_the_architecture_page_lists_no_file_that_is_gone() -> None:
    for room in {path.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE}:
        for row in re.findall(r"^\| (`.*?) \|", table_of(room), re.MULTILINE):
            for name in re.findall(r"`([\w/]+\.\w+)`", row):
                assert (PACKAGE / room / name).exists(), f"{room}/{name}"


def test_no_file_is_longer_than_a_reader_stands() -> None:
    folders = (PACKAGE, ROOT / "benchmarks", ROOT / "tests")
    long = {str(path): lines(path) for folder in folders for path in folder.rglob("*.py") if lines(path) > MAX_FILE_LINES}
    assert not long


def test_the_wheel_stays_within_its_budget() -> None:
    assert sum(map(lines, PACKAGE.rglob("*.py"))) <= MAX_WHEEL_LINES


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What Python runs of a module when it is imported: all but the bodies of functions, and conditions on what there is."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in (*child.decorator_list, child.args):
                yield from (part, *run_at_import(part))
        elif not isinstance(child, ast.If | ast.IfExp | ast.Lambda):
            yield from (child, *run_at_import(child))


def needed_at_import(source: str) -> tuple[set[str], set[str]]:
    """The package's own modules that a module imports at once, and what it then needs that Windows has not."""
    own, posix = set(), set()
    for node in run_at_import(ast.parse(source)):
        if isinstance(node, ast.Import):
            posix |= {alias.name for alias in node.names} & POSIX_MODULES
        elif isinstance(node, ast.ImportFrom) and node.module:
            posix |= {node.module} & POSIX_MODULES
            own |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            posix |= {node.attr} & POSIX_NAMES.get(node.value.id, set())
    return own, posix


def test_what_is_needed_at_import_is_found() -> None:
    source = "import os, fcntl\nfrom a.b import c\nX = os.O_NOFOLLOW\nY = os.nice if d else None\ndef f():\n    import pwd"
    assert needed_at_import(source) == ({"a.b", "a.b.c"}, {"fcntl", "O_NOFOLLOW"})


def test_importing_needs_nothing_that_only_posix_has() -> None:
    """Windows has no CI here; what can be told by reading is that a command there gets as far as its first line."""
    needed = {
        module.relative_to(PACKAGE).as_posix(): needed_at_import(module.read_text(encoding="utf-8")) for module in MODULES
    }
    assert {name for name, (_, posix) in needed.items() if posix} <= LINUX_ALONE
    linux = {f"multiscale_transformer.{name.removesuffix('.py').replace('/', '.')}" for name in LINUX_ALONE}
    assert {name for name, (own, _) in needed.items() if own & linux} <= LINUX_ALONE


def test_the_behaviours_that_strangers_look_for_are_where_contributing_says() -> None:
    rows = re.findall(r"^\| .*? \| `([\w/]+\.py)`, `(\w+)` \|$", CONTRIBUTING, re.MULTILINE)
    assert len(rows) >= 10
    for path, name in rows:
        text = (PACKAGE / path).read_text(encoding="utf-8")
        assert re.search(rf"^\s*(def|async def|class) {name}\b", text, re.MULTILINE), f"{name} is not in {path}"

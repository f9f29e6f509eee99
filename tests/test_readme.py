"""What the guide and two other pages tell people to type works: marked commands run, in order, in one folder, as they stand.

A block of commands is run when the line before it says `<!-- test -->`:

    <!-- test -->
    ```sh
    axl train --data ~/my_project --minutes 10 --out checkpoints/mine
    ```

Only time and size are not the pages': `axl` is a stand-in that reads a tiny Python library, trains for seconds on one thread
and otherwise is the real thing, and the home folder holds a small `my_project`. Nothing in a command is rewritten, so a path,
an option or a folder that is wrong in a page is wrong here.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The later ones go on in the folder that the guide leaves.
TOLD = (ROOT / "docs" / "guide.md", ROOT / "docs" / "memory.md", ROOT / "docs" / "tutorial.md")
BLOCK = re.compile(r"^<!-- test -->\n+```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STAND_IN = """#!{python}
import os, re, sys, types
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])  # one thread is all that default_threads() sees
from multiscale_transformer.cli.main import main
from multiscale_transformer.data import sources
sources.sysconfig = types.SimpleNamespace(get_paths=lambda: {{"stdlib": {library!r}}})
words = sys.argv[1:]
trains = words[0] in ("train", "quickstart", "bench") and "--resume" not in words and "--help" not in words
if trains and "--minutes" not in words:
    words += ["--minutes", "3"]
sys.exit(main([("0.03" if words[i - 1] == "--minutes" and trains else word) for i, word in enumerate(words)]))
"""


def blocks(text: str) -> list[str]:
    """The marked blocks of commands, in order."""
    return [found.group(1) for found in BLOCK.finditer(text)]


def test_only_marked_blocks_of_commands_are_collected() -> None:
    text = (
        "# AXL\n\n```sh\nmake quickstart\n```\n\n"
        "<!-- test -->\n```sh\naxl models\naxl train \\\n  --minutes 3\n```\nText.\n\n"
        "<!-- test -->\n\n```sh\naxl suggest   # what fits\n```\n\n<!-- test -->\n```python\nprint()\n```\n"
    )
    assert blocks(text) == ["axl models\naxl train \\\n  --minutes 3\n", "axl suggest   # what fits\n"]
    assert blocks("```sh\naxl models\n```\n") == []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with some code in `my_project`, and the stand-in for `axl` in `bin`."""
    library = Path(sysconfig.get_paths()["stdlib"])
    shutil.copytree(library / "json", tmp_path / "library" / "json", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(library / "logging", tmp_path / "my_project", ignore=shutil.ignore_patterns("__pycache__"))
    script = tmp_path / "bin" / "axl"
    script.parent.mkdir()
    script.write_text(STAND_IN.format(python=sys.executable, library=str(tmp_path / "library")))
    script.chmod(0o755)
    return tmp_path


def run(block: str, home: Path) -> subprocess.CompletedProcess[str]:
    """One block as bash runs it from the home folder, with the environment that the tests run in first on the path."""
    path = os.pathsep.join([str(home / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    command = ["bash", "-euo", "pipefail", "-c", block]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_a_block_that_fails_is_seen(home: Path) -> None:
    assert run("axl --version\n", home).stdout.startswith("axl ")
    assert run("axl train --dta x\naxl --version\n", home).returncode == 2


@pytest.mark.slow
def test_the_commands_of_the_readme_work(home: Path) -> None:
    for page in TOLD:
        marked = blocks(page.read_text(encoding="utf-8"))
        assert marked, f"{page} has no block of commands marked with <!-- test -->"
        for block in marked:
            done = run(block, home)
            assert done.returncode == 0, f"this block of {page} fails:\n{block}\n{done.stdout}\n{done.stderr}"

"""Environments of other people's clients, below .venv-clients: each is made once, and again when what it holds changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from multiscale_transformer.cli.client_settings import CLIENTS as CONNECTED
from multiscale_transformer.cli.client_settings import Server, shown
from multiscale_transformer.locks import writing

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "clients"
INSTALL_SECONDS = 900.0  # for which a process of the tests waits for another that installs the same
QUIET = {  # nothing is reported, updated or fetched
    "ANONYMIZED_TELEMETRY": "False",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CI": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_COLOR": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}


def python_of(name: str) -> Path:
    """The interpreter of an environment with what `tests/clients/NAME.txt` names."""
    requirements = CLIENTS / f"{name}.txt"

    def make(folder: Path) -> None:
        # Without a pip of its own, and what is never imported is not compiled: half of the time.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
        subprocess.run([*pip, "install", "-q", "--no-compile", "-r", requirements], check=True)

    return _made(name, requirements.read_text(), make) / "bin" / "python"


def node_modules(name: str, packages: Sequence[str]) -> Path:
    """A folder `node_modules` with these packages of npm, each with its version."""

    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        command = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, *packages]
        subprocess.run(command, check=True, timeout=600)

    return _made(name, "\n".join(packages), make) / "node_modules"


def connect(client: str, url: str, path: Path) -> None:
    """Writes what `axl connect` writes for a client of the tests' model, `tiny`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(shown(CONNECTED[client], Server(url, "tiny", 512)))


def run(command: Sequence[str | Path], home: Path, seconds: float = 300, **environment: str) -> str:
    """What a client prints that runs below `home` and knows nothing of this user; its last words where it fails."""
    answer = subprocess.run(
        command,
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"], **QUIET, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert answer.returncode == 0, f"{answer.stdout[-3000:]}\n{answer.stderr[-3000:]}"
    return answer.stdout


def _made(name: str, wanted: str, make: Callable[[Path], None]) -> Path:
    folder = ROOT / ".venv-clients" / name
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    made = folder / "made"
    folder.parent.mkdir(exist_ok=True)
    with writing(folder, wait=INSTALL_SECONDS):
        if not made.exists() or made.read_text() != digest:
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            made.write_text(digest)
    return folder

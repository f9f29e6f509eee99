"""What the tests of the command share: some code to train on, a model small enough for seconds, and a finished run of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from calling import CONFIG, QUICK, Trained, call, code

from multiscale_transformer.engine.warm_up import compile_kernels
from multiscale_transformer.zoo.shipped import shipped_model


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """Kernels are compiled before the tests, so that no command has to say that it compiles them."""
    compile_kernels(shipped_model())


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few files of code."""
    folder = tmp_path_factory.mktemp("project")
    for number in range(8):
        (folder / f"f{number}.py").write_text(code(number))
    return folder


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few thousand parameters with a context of 128 bytes."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="session")
def trained(project: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return Trained(folder, call("train", "--config", config, "--data", project, "--out", folder, *QUICK))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refused(work: Path) -> Callable[..., str]:
    """Call `axl` and see that it refuses in one line, with status 2, and leaves the folder as it is; returns that line."""

    def contents() -> dict[str, bytes | None]:
        return {str(path): path.read_bytes() if path.is_file() else None for path in work.rglob("*")}

    def refuse(*words: str | Path) -> str:
        before = contents()
        answer = call(*words)
        assert answer.status == 2, answer
        lines = [line for line in answer.err.splitlines() if not line.startswith("training ")]  # progress before it failed
        assert len(lines) == 1, answer
        assert lines[0].startswith("axl: "), answer
        assert contents() == before
        return lines[0]

    return refuse

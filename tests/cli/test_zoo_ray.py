"""A zoo that a cluster trains looks as one that this machine trained."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from multiscale_transformer.cli import zoo, zoo_ray
from multiscale_transformer.cli.zoo_ray import Job, train_here, train_on, write_folder
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import TRAINING_FILE

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'axl[cluster]'")


def test_a_task_runs_the_command_of_one_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], cwd: str, **_: object) -> SimpleNamespace:
        ran.append(command)
        folder = Path(cwd, "small-auto")
        (folder / "memory").mkdir(parents=True)
        (folder / TRAINING_FILE).write_bytes(b"{}")
        (folder / "memory" / "index.bin").write_bytes(b"abc")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    contents = train_here(Job("Small", "auto", tmp_path / "small-auto", 2.0, 1, 3))
    assert ran[0][3:8] == ["zoo", "train", "Small", "--size", "auto"]
    assert ran[0][-6:] == ["--threads", "3", "--seed", "1", "--minutes", "2.0"]
    write_folder(tmp_path / "small-auto", contents)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        f"small-auto/{TRAINING_FILE}",
        "small-auto/memory/index.bin",
    }


def test_the_command_of_a_task_ends_with_its_status() -> None:
    done = subprocess.run([sys.executable, "-c", zoo_ray.COMMAND, "zoo", "train", "Nobody"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"unknown model 'Nobody'" in done.stderr


def test_a_failed_command_is_named_with_its_last_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failed = SimpleNamespace(returncode=2, stderr="reading\nerror: no data\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(AxlError, match="error: no data"):
        train_here(Job("Small", "auto", tmp_path / "small"))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AxlError, match="no file of a checkpoint"):
        write_folder(tmp_path / "out", {"config.json": b"{}", name: b""})
    assert not (tmp_path / "out").exists()


def test_names_and_all_exclude_each_other() -> None:
    with pytest.raises(AxlError, match="not both"):
        zoo.train(["AXL-Micro-Lion"], everything=True)


def test_what_is_trained_is_no_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "axl-micro-lion").mkdir()
    (tmp_path / "axl-micro-lion" / TRAINING_FILE).write_text('{"held_out": {"bits_per_byte": 1.0, "bytes": 1}}')
    seen: list[str] = []
    monkeypatch.setattr(zoo_ray, "train_on", lambda address, jobs: (seen.extend(job.out.name for job in jobs), iter(()))[1])
    zoo.train(["AXL-Micro-Lion"], size="both", root=tmp_path, ray="local")
    assert seen == ["axl-micro-lion-auto"]


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is there")
def test_without_ray_one_line_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="axl\\[cluster\\]"):
        list(train_on("local", [Job("Small", "auto", tmp_path / "small")]))


@pytest.mark.slow
@needs_ray
def test_a_local_cluster_gives_back_what_its_tasks_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def made(job: Job) -> dict[str, bytes]:
        if job.name == "Broken":
            raise ValueError("no such model")
        return {TRAINING_FILE: job.name.encode()}

    monkeypatch.setattr(zoo_ray, "train_here", made)
    jobs = [Job(name, "auto", tmp_path / name) for name in ("One", "Two", "Broken")]
    ends = {job.name: wrong for job, wrong in train_on("local", jobs)}
    assert ends["One"] == ends["Two"] == ""
    assert "no such model" in ends["Broken"]
    assert (tmp_path / "One" / TRAINING_FILE).read_bytes() == b"One"
    assert not (tmp_path / "Broken").exists()

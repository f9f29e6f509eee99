"""A project's index follows its files: saved, deleted, moved; the server answers meanwhile, and looks up in what is new."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import httpx
import pytest
import watchfiles

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.index import build_index, load_index, merge_small, update_index
from multiscale_transformer.server.runtime import projects
from multiscale_transformer.server.runtime.projects import Project, project_index
from server.running import running, settings_for
from server.test_memories import wait_until

CODE = "def {0}(side):\n    return {0}_of(side) * {1}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "geo"
    (folder / "inner").mkdir(parents=True)
    for number, name in enumerate(("square", "circle", "inner/ring")):
        (folder / f"{name}.py").write_text(CODE.format(Path(name).name, number))
    return folder


def save(path: Path, text: str) -> None:
    """Write a file so that its time is another, however fast the test is."""
    before = path.stat().st_mtime if path.exists() else 0.0
    path.write_text(text)
    os.utime(path, (before + 1, before + 1)) if before else None


def indexed(project: Project) -> dict[str, str]:
    return {document.name: document.content.decode() for document in load_index(project.folder)}


def on_disk(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}


def test_the_index_is_what_is_on_the_disk_after_every_change(root: Path, tmp_path: Path) -> None:
    project = Project(root, tmp_path / "index")
    assert project.refresh()
    assert indexed(project) == on_disk(root)
    assert not project.refresh()
    save(root / "square.py", CODE.format("quadrat", 9))
    assert project.refresh()
    assert indexed(project) == on_disk(root)
    (root / "circle.py").rename(root / "inner" / "disc.py")
    assert project.refresh()
    assert indexed(project) == on_disk(root)
    (root / "inner" / "ring.py").unlink()
    save(root / "new.py", CODE.format("line", 1))
    assert project.refresh()
    assert indexed(project) == on_disk(root)
    again = Project(root, tmp_path / "index")  # a server that starts anew
    save(root / "new.py", CODE.format("segment", 1))
    assert again.refresh()
    assert indexed(again) == on_disk(root)


def test_a_large_project_begins_with_what_was_changed_last(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects, "FIRST_BYTES", 1)
    os.utime(root / "circle.py", (2e9, 2e9))
    project = Project(root, tmp_path / "index")
    assert project.refresh()
    assert indexed(project).keys() == {"circle.py"}
    assert project.refresh()
    assert indexed(project) == on_disk(root)
    assert not project.refresh()


def test_of_copies_one_stays_when_the_other_goes(root: Path, tmp_path: Path) -> None:
    project = Project(root, tmp_path / "index")
    save(root / "copy.py", (root / "square.py").read_text())
    project.refresh()
    assert set(indexed(project).values()) == set(on_disk(root).values())
    kept = next(name for name in ("copy.py", "square.py") if name in indexed(project))
    (root / kept).unlink()
    project.refresh()
    assert set(indexed(project).values()) == set(on_disk(root).values())


def test_what_is_no_text_any_more_leaves_the_index(root: Path, tmp_path: Path) -> None:
    project = Project(root, tmp_path / "index")
    project.refresh()
    (root / "square.py").write_bytes(bytes(range(256)) * 20)
    os.utime(root / "square.py", (1, 1))
    assert project.refresh()
    assert "square.py" not in indexed(project)


def test_an_empty_project_is_said_and_not_the_end(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    project = Project(tmp_path / "empty", tmp_path / "index")
    with pytest.raises(AxlError, match="no source text"):
        project.refresh()
    save(tmp_path / "empty" / "a.py", CODE.format("a", 1))
    assert project.refresh()


def test_small_shards_become_one_and_the_large_one_stays(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", [("large.py", CODE.format("large", 1).encode() * 40)])
    for number in range(6):
        index, _ = update_index(index, [(f"{number}.py", CODE.format(f"f{number}", number).encode())])
    before = dict(index.documents())
    assert len(index.shards) == 7
    merged = merge_small(index, most=3)
    assert len(merged.shards) == 2
    assert merged.folders[0] == index.folders[0]
    assert dict(merged.documents()) == before
    assert merge_small(merged, most=3).folders == merged.folders


def test_a_server_completes_from_what_was_just_saved(
    model: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(projects, "LOOK_MS", 3_600_000)  # so that only an event is seen
    assert project_index(root).is_relative_to(tmp_path / "cache")
    with running(settings_for(model, tmp_path, projects={"geo": root})) as up:
        models = up.app.state.server.models
        with httpx.Client(base_url=up.url, timeout=60) as client:
            assert client.post("/v1/completions", json={"prompt": "def ", "max_tokens": 1}).status_code == 200
            (entry,) = up.app.state.server.registry.entries()
            loaded = models.loaded[entry.folder]

            def names() -> set[str]:
                return {name for shard in models.memory(loaded, None).shards for name in shard.names}

            wait_until(lambda: {"square.py", "inner/ring.py"} <= names(), 20)
            assert "shapes.py" in names(), "the model's own memory is asked, too"
            assert load_index(project_index(root)).folder == loaded.memory[0], "before all others"
            saves = count(3)  # again and again, since the watcher may not have begun
            wait_until(lambda: (root / "saved.py").write_text(CODE.format("saved", next(saves))) and "saved.py" in names(), 20)
            (root / "saved.py").unlink()
            wait_until(
                lambda: (
                    "saved.py" not in names()
                    or load_index(project_index(root)).places().keys().isdisjoint({(str(root), "saved.py")})
                ),
                20,
            )
            named = {"prompt": "def ", "max_tokens": 1, "memory": ["geo"]}
            assert client.post("/v1/completions", json=named).status_code == 200


def test_a_project_that_cannot_be_watched_is_looked_at(
    model: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "no space left on device")  # what inotify says where its watches are used up

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(watchfiles, "awatch", refuse)
    monkeypatch.setattr(projects, "RETRY_SECONDS", 0.1)
    with running(settings_for(model, tmp_path, projects={"geo": root})) as up:
        wait_until(lambda: "geo" in up.app.state.server.models.projects, 20)
        (root / "saved.py").write_text(CODE.format("saved", 3))
        wait_until(lambda: (str(root), "saved.py") in load_index(project_index(root)).places(), 20)

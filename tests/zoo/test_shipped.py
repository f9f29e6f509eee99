"""The model in the package works at once, with this Python's library as its memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.calling import call
from multiscale_transformer.data import installed
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.folder import TRAINING_FILE, WEIGHTS_FILE
from multiscale_transformer.zoo import library
from multiscale_transformer.zoo.shipped import shipped_model
from multiscale_transformer.zoo.training_record import trained_skills


@pytest.fixture
def small_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of two files, indexed into a cache of the test's own."""
    files = Documents.from_items([("shape.py", b"def area(radius):\n    return radius * radius\n"), ("os.py", b"import sys\n")])
    monkeypatch.setattr(library, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.setattr(library, "stream_documents", lambda paths: files.documents())
    return tmp_path / "cache"


def test_it_fits_the_package_and_says_what_it_was_trained_on() -> None:
    folder = shipped_model()
    assert (folder / WEIGHTS_FILE).stat().st_size < 2_000_000
    assert load_model(folder).config.memory
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "version and licence" in card
    assert "GPL" not in card
    sources = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))["data"]["sources"]
    assert sources[0] == "mixture:examples/base_mixture.yaml"
    assert trained_skills(folder) == {"refactor", "document", "comment"}


def test_complete_without_a_model_indexes_the_library_once_and_says_so(small_library: Path) -> None:
    words = ("complete", "def area(rad", "--max-tokens", "20", "--temperature", "0")
    first, second = call(*words), call(*words)
    assert first.status == second.status == 0
    assert "indexing this Python's library, once" in first.err
    assert str(small_library) in first.err.replace("\n", "")
    assert "indexing" not in second.err
    assert first.out == second.out
    assert first.out.startswith("def area(radius")


def test_stdlib_is_a_memory_like_others(small_library: Path) -> None:
    without = call("complete", "def area(rad", "--memory", "none", "--max-tokens", "20", "--temperature", "0")
    both = call("complete", "def area(rad", "--memory", "stdlib", "--explain", "--max-tokens", "20", "--temperature", "0")
    assert without.status == both.status == 0
    assert "shape.py:1" in both.err
    assert "shape.py" not in without.err
    refused = call("complete", "x", "--memory", "none", "--memory", "stdlib")
    assert refused.status == 2
    assert len(refused.err.strip().splitlines()) == 1


def test_a_damaged_library_index_is_built_again(small_library: Path) -> None:
    folder = library.library_index()
    (folder / "manifest.json").write_text("half")
    assert library.library_index() == folder
    assert library.library_is_indexed()


def test_only_permissive_packages_are_read() -> None:
    packages = installed.permissive_packages()
    names = {package.name.lower() for package in packages}
    assert {"pydantic", "rich"} <= names
    assert not names & {"hypothesis", "pathspec", "pyyaml", "pyppmd", "torch", "axl"}
    assert all(any(True for _ in package.files()) for package in packages if package.name == "rich")

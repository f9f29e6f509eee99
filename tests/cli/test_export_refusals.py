"""`axl export` and `axl quantize` refuse what cannot be written before anything is learnt, and lose nobody's files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import Trained, call

from multiscale_transformer.errors import AxlError

Refused = Callable[..., str]


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A student that begins to learn says so, and is not waited for."""

    def train_student(*_: object) -> None:
        raise AxlError("the student learns")

    monkeypatch.setattr("multiscale_transformer.cli.distill.train_student", train_student)


@pytest.mark.usefixtures("learning")
@pytest.mark.parametrize("more", [(), ("--distill", "10")])
def test_a_file_that_is_there_is_found_before_a_student_learns(
    refused: Refused, trained: Trained, work: Path, more: tuple[str, ...]
) -> None:
    (work / "export").mkdir()
    (work / "export" / "tiny-q8_0.gguf").touch()
    assert "export/tiny-q8_0.gguf already exists" in refused("export", "gguf", "--model", trained.folder, *more)
    assert "export/tiny-q8_0.gguf already exists" in refused("export", "ollama", "--model", trained.folder, *more)


@pytest.mark.usefixtures("learning")
@pytest.mark.parametrize("more", [(), ("--distill", "10")])
def test_a_modelfile_of_another_name_is_not_replaced(
    refused: Refused, trained: Trained, work: Path, more: tuple[str, ...]
) -> None:
    (work / "export").mkdir()
    (work / "export" / "Modelfile").write_text("FROM ./first-q8_0.gguf\n")
    words = ("export", "ollama", "--model", trained.folder, "--name", "second", *more)
    assert "export/Modelfile already exists; choose another --out" in refused(*words)


@pytest.mark.usefixtures("learning")
def test_a_library_that_is_missing_is_found_before_a_student_learns(
    refused: Refused, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf")
    words = ("export", "gguf", "--model", trained.folder, "--distill", "10", "--kind")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert "quantizing needs xllamacpp" in refused(*words, "q8_0")
    assert "the student learns" in refused(*words, "f16"), "which needs no quantizer"
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert "need gguf" in refused(*words, "f16")
    assert "'Q9' is not known" in refused("export", "ollama", "--model", trained.folder, "--distill", "10", "--kind", "Q9")


@pytest.mark.parametrize("words", [("--data", "here"), ("--threads", "1")])
def test_options_of_a_student_go_with_one(refused: Refused, trained: Trained, words: tuple[str, ...]) -> None:
    for command in ("gguf", "ollama"):
        said = refused("export", command, "--model", trained.folder, *words)
        assert "--data and --threads go with --distill" in said


def test_a_root_beside_names_is_refused(refused: Refused, trained: Trained) -> None:
    assert "not both" in refused("quantize", trained.folder, "--root", "elsewhere")


def test_the_command_to_type_next_is_quoted(trained: Trained, work: Path) -> None:
    pytest.importorskip("gguf")
    answer = call("export", "ollama", "--model", trained.folder, "--kind", "F16", "--out", "a place")
    assert answer.status == 0, answer
    assert answer.out.endswith('  ollama create tiny -f "a place/Modelfile"\n')


def test_export_offers_no_completion_of_its_own() -> None:
    answer = call("export", "--help")
    assert answer.status == 0
    assert "gguf" in answer.out
    assert "completion" not in answer.out

"""`axl eval lines`: what one keeps of completions, in a project or in the files that a run held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from calling import Trained, call

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.editing import KINDS
from multiscale_transformer.training.editing_data import HOLD_OUT_EVERY, editing_data

FILES = 12


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    for number in range(FILES):
        body = "".join(f"    value_{line} = side * {line + number}\n" for line in range(12))
        (folder / f"part_{number}.py").write_text(f"def area_{number}(side):\n{body}    return side\n")
    return folder


def test_scores_by_kind_with_and_without_an_index(trained: Trained, code: Path) -> None:
    words = ("eval", "lines", "--model", trained.folder, "--data", code, "--places", "2", "--threads", "1")
    answer = call(*words, "--compare", "--json")
    assert answer.status == 0, answer
    figures = json.loads(answer.out)
    assert set(figures["scores"]) == {"", "no stop rules", "no index", "no index, no stop rules"}
    for scores in figures["scores"].values():
        assert set(scores) == {*KINDS, "all"}
        assert scores["all"]["places"] == 2 * len(KINDS)
        assert all(0.0 <= score["exact"] <= score["similarity"] <= 1.0 for score in scores.values())
    first = {run: scores["all"]["exact"] for run, scores in figures["scores"].items()}
    again = json.loads(call(*words, "--compare", "--json").out)
    assert {run: scores["all"]["exact"] for run, scores in again["scores"].items()} == first


def test_the_table_names_what_it_says(trained: Trained, code: Path) -> None:
    answer = call("eval", "lines", "--model", trained.folder, "--data", code, "--places", "1", "--threads", "1")
    assert answer.status == 0, answer
    assert "indexed" in answer.out
    for kind in KINDS:
        assert f" {kind} " in answer.out


def test_files_to_complete_in_are_in_no_index(trained: Trained, code: Path) -> None:
    documents, memory, _ = editing_data(trained.folder, [str(code)], None)
    assert memory is not None
    indexed = {name for shard in memory.shards for name in shard.names}
    assert not indexed & set(documents.names)
    assert len(indexed) + len(documents) == FILES
    assert len(documents) <= 2 * FILES // HOLD_OUT_EVERY + 1
    held_out, own, what = editing_data(trained.folder, None, None)
    assert own is not None
    assert "held out by the run" in what
    assert not {name for shard in own.shards for name in shard.names} & set(held_out.names)


def test_a_model_without_a_run_needs_data(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="not a finished run"):
        editing_data(tmp_path, None, None)

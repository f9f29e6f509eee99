"""`training.json`: written and read back as it was, also of earlier versions, and refused in a line where it is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.zoo.shipped import shipped_model
from multiscale_transformer.zoo.training_record import TrainingRecord, read_training, trained_skills, write_training

DATA = {"sources": ["stdlib"], "sha256": "0" * 64}


def test_the_shipped_file_is_read_and_written_back_as_it_is(tmp_path: Path) -> None:
    record = read_training(shipped_model())
    write_training(tmp_path, record)
    kept, written = (json.loads((folder / "training.json").read_text()) for folder in (shipped_model(), tmp_path))
    assert written == kept
    assert record.machine is not None
    known = record.name, record.steps, record.machine.ram_gb, record.data.dropped["empty"]
    assert known == ("AXL-Shipped", kept["steps"], kept["machine"]["memory_gb"], kept["data"]["left_out"]["empty"])


def test_fields_of_later_versions_and_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    fields = {"name": "x", "data": {**DATA, "sources": ["/caf\udce9"], "new": 1}, "newer": {"a": [1, None]}}
    write_training(tmp_path, TrainingRecord.model_validate(fields))
    assert json.loads((tmp_path / "training.json").read_text()) == fields
    assert read_training(tmp_path).data.sources == ["/caf\udce9"]


def test_the_teacher_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(json.dumps({"data": DATA, "teacher": "a/b", "temperature": 2.0, "alpha": 0.7}))
    distilled = read_training(tmp_path).distilled
    assert distilled is not None
    assert (distilled.teacher, distilled.temperature, distilled.alpha) == ("a/b", 2.0, 0.7)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "is not a finished run (no training.json)"),
        ("{", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ("[]", "does not say what the run was trained on"),
        ("{}", "does not say what the run was trained on"),
        ('{"data": {"sources": "stdlib", "sha256": 1}}', "does not say what the run was trained on"),
        (json.dumps({"data": DATA, "steps": "many"}), "is damaged (steps: Input should be a valid integer"),
    ],
)
def test_what_is_no_record_is_refused_in_a_line(content: str | None, line: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "training.json").write_text(content)
    with pytest.raises(AxlError) as raised:
        read_training(tmp_path)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_record_says_which_skills_were_learnt(tmp_path: Path) -> None:
    assert trained_skills(tmp_path) == frozenset()
    sources = ["stdlib", "task:/home/me/data/refactor", "task:data/chat", "mixture:a.yaml"]
    (tmp_path / "training.json").write_text(json.dumps({"data": {"sources": sources, "sha256": ""}}))
    assert trained_skills(tmp_path) == {"refactor", "chat"}

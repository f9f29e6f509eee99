"""Resume points come every minute, only the newest stays, and those of a large model take no more than a tenth of the time."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multiscale_transformer.training import resume
from multiscale_transformer.training.run import train_run
from multiscale_transformer.training.trainer import Progress, Trainer
from tiny import PLENTY, Clock, corpus, documents, model_of, names_in, settings_of
from training.test_run import FINISHED, FLAT, _measured_clock, request_of  # noqa: F401  the clock is for every test here


def test_a_point_is_written_every_minute_and_only_the_newest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(resume, "time", SimpleNamespace(monotonic=clock))
    found: list[set[str]] = []

    def tick(progress: Progress) -> None:
        found.append({name for name in names_in(tmp_path / "run") if name.startswith("resume/") and name.count("/") == 1})
        clock.now += 31.0

    train_run(request_of(tmp_path / "run"), corpus(), callbacks=[tick])
    assert found == [set()] * 2 + [{"resume/000000003"}] * 2 + [{"resume/000000005"}] * 2
    assert resume.EVERY_SECONDS == 60.0
    assert names_in(tmp_path / "run") == FINISHED


@given(writing=st.integers(0, 100), steps=st.lists(st.integers(1, 90), min_size=1, max_size=60), every=st.integers(1, 100))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_points_come_as_often_as_they_should_and_cost_no_more_than_a_share(
    writing: int, steps: list[int], every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, written = Clock(), list[tuple[float, float]]()

    def save_model(*_: object) -> None:
        written.append((clock.now, clock.now + writing))
        clock.now += writing

    monkeypatch.setattr(resume, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(resume, "save_model", save_model)
    monkeypatch.setattr(resume, "EVERY_SECONDS", every)
    trainer = Trainer(model_of(FLAT), FLAT, documents(), settings_of(), PLENTY)
    shutil.rmtree(tmp_path / "points", ignore_errors=True)
    writer = resume.ResumeWriter(tmp_path / "points", trainer, {})
    ready = float(every)
    for seconds in steps:
        clock.now += seconds
        trainer.progress.step += 1
        begin, before = clock.now, len(written)
        writer(trainer.progress)
        assert len(written) - before == (begin >= ready)
        if begin >= ready:
            ready = clock.now + max(every, 10 * writing)
    for (begin, end), (following, _) in pairwise(written):
        assert end - begin <= 0.1 * (following - end) + 1e-6

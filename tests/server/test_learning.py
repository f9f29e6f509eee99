"""Learning at night: the model that was fine-tuned takes the place of the one that is served; a failure changes nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from datetime import time as Clock
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import TRAINING_FILE, read_config
from multiscale_transformer.server.runtime import learning as learner
from multiscale_transformer.server.runtime.learning import seconds_until, train
from multiscale_transformer.server.settings import Learning
from server.running import running, settings_for
from server.test_memories import wait_until

ASKED = {"prompt": "def ", "max_tokens": 1}


@given(st.times(), st.datetimes(datetime(2000, 1, 2), datetime(2100, 1, 1)))
def test_the_next_time_is_within_a_day_and_shows_the_clock(at: Clock, now: datetime) -> None:
    seconds = seconds_until(at, now)
    assert 0 < seconds <= 86_400
    assert abs(now + timedelta(seconds=seconds) - datetime.combine((now + timedelta(seconds=seconds)).date(), at)) < timedelta(
        milliseconds=1
    )


@pytest.fixture
def nights(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each of the next nights is to wait for; after them none comes."""
    waits = [0.1, 0.1]
    monkeypatch.setattr(learner, "seconds_until", lambda at, now: waits.pop(0) if waits else 3600.0)
    return waits


@pytest.mark.usefixtures("nights")
def test_what_was_learnt_is_served_and_the_first_weights_stay_the_beginning(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []

    async def copy(roots: Sequence[Path], begun_with: Path, out: Path, minutes: float) -> None:
        begun.append(begun_with)
        shutil.copytree(begun_with, out)
        (out / TRAINING_FILE).write_text("{}")

    monkeypatch.setattr(learner, "train", copy)
    (tmp_path / "geo").mkdir()
    settings = settings_for(
        model, tmp_path, projects={"geo": tmp_path / "geo"}, learning=Learning(Clock(2), 1.0, tmp_path / "learned")
    )
    with running(settings) as up:
        state = up.app.state.server
        wait_until(lambda: len(begun) == 2 and state.registry.folders["tiny"].name.endswith("-1"), 30)
        assert begun == [model, model]
        assert httpx.post(f"{up.url}/v1/completions", json=ASKED, timeout=60).status_code == 200
        wait_until(lambda: list(state.models.loaded) == [state.registry.folders["tiny"]], 30)
    with running(settings) as up:  # started again: what was learnt before
        state = up.app.state.server
        wait_until(lambda: state.registry.folders["tiny"].parent == tmp_path / "learned", 30)
        assert httpx.post(f"{up.url}/v1/completions", json=ASKED, timeout=60).status_code == 200


@pytest.mark.usefixtures("nights")
def test_a_night_that_fails_changes_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []

    async def fail(roots: Sequence[Path], begun_with: Path, out: Path, minutes: float) -> None:
        if not failures:
            failures.append("process")
            raise AxlError("learning failed (no PyTorch)")
        failures.append("damaged")
        shutil.copytree(begun_with, out)
        (out / "model.safetensors").write_bytes(b"no weights")

    monkeypatch.setattr(learner, "train", fail)
    with running(settings_for(model, tmp_path, learning=Learning(Clock(2), 1.0, tmp_path / "learned"))) as up:
        wait_until(lambda: failures == ["process", "damaged"], 30)
        for _ in range(3):
            assert httpx.post(f"{up.url}/v1/completions", json=ASKED, timeout=60).status_code == 200
        assert up.app.state.server.registry.folders["tiny"] == model


@pytest.mark.slow
def test_a_process_learns(model: Path, tmp_path: Path) -> None:
    shutil.copytree(Path(asyncio.__file__).parent, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    asyncio.run(train([tmp_path / "project"], model, tmp_path / "out", 0.02))
    assert read_config(tmp_path / "out").d_model == read_config(model).d_model
    with pytest.raises(AxlError, match="learning failed"):
        asyncio.run(train([tmp_path / "absent"], model, tmp_path / "other", 0.02))

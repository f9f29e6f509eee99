"""A run that begins as a trained model: its first loss is that model's, and the record says which it was."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from multiscale_transformer.data.corpus import split
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.folder import WEIGHTS_FILE, read_config
from multiscale_transformer.training.initialization import check_init, initial_model, tuned
from multiscale_transformer.training.model_card import write_model_card
from multiscale_transformer.training.run import RunRequest, resumed_request, train_run
from multiscale_transformer.training.trainer import Progress
from multiscale_transformer.zoo.shipped import shipped_model
from multiscale_transformer.zoo.training_record import read_training
from tiny import TINY, checkpoint, clock_that_ticks_per_step, documents, settings_of

FLAT = TINY.model_copy(update={"downsample_factors": (1,), "n_layers_per_scale": 2})


def test_a_run_begins_as_its_base_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    checkpoint(FLAT, base)
    clock_that_ticks_per_step(monkeypatch, 20.0)
    corpus = split(documents())
    request = RunRequest("tuned", FLAT, settings_of(learning_rate=1e-9), (), tmp_path / "out", init=base)
    train_run(request, corpus)
    before, after = load_model(base).state_dict(), load_model(tmp_path / "out").state_dict()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-4, atol=1e-6)
    record = read_training(tmp_path / "out")
    assert record.init is not None
    assert record.init.sha256 == hashlib.sha256((base / WEIGHTS_FILE).read_bytes()).hexdigest()
    write_model_card(tmp_path / "out", record)
    assert record.init.sha256[:12] in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_tuned_model_stays_a_share_of_the_way_behind(
    interrupted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the run is interrupted and goes on, and its base is gone by then."""
    checkpoint(FLAT, tmp_path / "base")
    before = load_model(tmp_path / "base").state_dict()
    corpus = split(documents())

    def run(name: str, interpolation: float, stop: bool = False) -> dict[str, torch.Tensor]:
        clock_that_ticks_per_step(monkeypatch, 10.0)
        base = tmp_path / "base"
        if stop:
            base = tmp_path / "for a while"
            shutil.copytree(tmp_path / "base", base)
        out, seen = tmp_path / name, []

        def interrupt(progress: Progress) -> None:
            seen.append(progress.step)
            if stop and progress.step == 3:
                raise KeyboardInterrupt

        request = RunRequest("tuned", FLAT, settings_of(interpolation=interpolation), (), out, init=base)
        if stop:
            with pytest.raises(KeyboardInterrupt):
                train_run(request, corpus, callbacks=[interrupt])
            shutil.rmtree(base)
            train_run(resumed_request(out), corpus, resume=True)
            assert not (out / "resume").exists()
        else:
            train_run(request, corpus)
        return dict(load_model(out).state_dict())

    whole, near = run("whole", 1.0), run("near", 0.25, interrupted)
    for name, tensor in before.items():
        torch.testing.assert_close(near[name], tensor + 0.25 * (whole[name] - tensor), rtol=1e-3, atol=1e-4)


def test_what_cannot_begin_so_is_said_before_anything_is_done(tmp_path: Path) -> None:
    base = tmp_path / "base"
    checkpoint(FLAT, base)
    narrow = FLAT.model_copy(update={"d_model": FLAT.d_model // 2, "n_heads": 1})
    with pytest.raises(AxlError, match=r"its width .* is below the base"):
        check_init(narrow, base)
    with pytest.raises(AxlError, match="cannot begin as base"):
        train_run(RunRequest("tuned", narrow, settings_of(), (), tmp_path / "out", init=base), split(documents()))
    assert not (tmp_path / "out" / "config.json").exists()
    with pytest.raises(AxlError):
        initial_model(FLAT, tmp_path / "nothing", seed=0)


def test_without_a_base_weights_are_those_of_the_seed() -> None:
    one, same, other = (initial_model(FLAT, None, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.embedding.weight, same.embedding.weight)
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


def test_a_tuned_model_has_the_shape_of_its_base(tmp_path: Path) -> None:
    recipe = tuned(shipped_model(), 3.0)
    assert recipe.model == read_config(shipped_model())
    assert recipe.name == "AXL-Shipped-tuned"
    assert recipe.training.minutes == 3.0

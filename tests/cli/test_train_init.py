"""`axl train NAME --init`: what begins as the model in the package, and what it learns with."""

from __future__ import annotations

from pathlib import Path

import pytest
from calling import QUICK, call

from multiscale_transformer.cli import training_ui
from multiscale_transformer.cli.train import beginning_as
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.training.settings import FINE_TUNING
from multiscale_transformer.training.widen import why_not
from multiscale_transformer.zoo.recipes import load_recipe, recipe_names
from multiscale_transformer.zoo.shipped import shipped_model
from multiscale_transformer.zoo.training_record import read_training

DEEPER = "d_model: 128\nn_heads: 2\nd_ff: 352\nn_layers_per_scale: 5\ndownsample_factors: [1]\nmax_seq_len: 128\n"


def test_a_named_shape_cannot_begin_only_where_it_is_too_small_or_its_heads_are_others() -> None:
    """What the model in the package has besides, such as a convolution, every named shape takes from it."""
    base = read_config(shipped_model())
    reasons = {name: why_not(base, beginning_as(shipped_model(), load_recipe(name)).model) for name in recipe_names()}
    assert all(reason is None or "width" in reason or "heads" in reason or "layers" in reason for reason in reasons.values())
    large = {"AXL-Translate", "AXL-TestGen-15M", "AXL-Coder-15M", "AXL-Reasoning-70M", "AXL-300M", "AXL-Code-1B"}
    assert all(reasons[name] is None for name in large), reasons


@pytest.mark.parametrize(("optimizer", "rate"), [("muon", FINE_TUNING.learning_rate), ("lion", None)])
def test_a_shape_of_ones_own_begins_as_the_model_in_the_package(
    optimizer: str, rate: float | None, project: Path, work: Path
) -> None:
    """The rate of fine-tuning is Muon's; other optimizers take theirs."""
    shape = work / "deeper.yaml"
    recipe = "".join(f"  {line}\n" for line in DEEPER.splitlines())
    shape.write_text(f"name: deeper\nmodel:\n{recipe}training:\n  optimizer: {optimizer}\n  minutes: 1\n")
    answer = call("train", "--config", shape, "--init", "shipped", "--data", project, "--out", work / "run", *QUICK)
    assert answer.status == 0, answer
    assert read_config(work / "run").conv_taps == read_config(shipped_model()).conv_taps
    record = read_training(work / "run")
    assert record.init is not None
    assert record.settings["learning_rate"] == rate


def test_a_shape_that_says_how_many_bytes_it_mixes_keeps_to_it(project: Path, work: Path) -> None:
    shape = work / "deeper.yaml"
    shape.write_text(DEEPER + "conv_taps: 0\n")
    answer = call("train", "--config", shape, "--init", "shipped", "--data", project, "--out", work / "run", *QUICK)
    assert answer.status == 2
    assert "it mixes fewer earlier bytes than the base's 7" in answer.err
    assert not (work / "run").exists()


@pytest.mark.parametrize(
    ("words", "base", "share"),
    [
        (("AXL-Shipped",), True, 1.0),  # by name: it learns all that it can
        (("AXL-Shipped", "--init", "shipped"), True, FINE_TUNING.interpolation),
        (("AXL-Shipped", "--init", "none"), False, 1.0),
        (("AXL-Shipped", "--no-memory"), False, 1.0),
        (("AXL-Micro-600K",), False, 1.0),  # too narrow
    ],
)
def test_a_name_begins_as_the_model_in_the_package_where_it_can(
    words: tuple[str, ...], base: bool, share: float, project: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(training_ui, "run", lambda request, corpus: asked.append(request))
    answer = call("train", *words, "--data", project, "--out", work / "run", *QUICK)
    assert answer.status == 0, answer
    (request,) = asked
    assert (request.init is not None) == base
    assert request.settings.interpolation == share
    assert request.config.conv_taps == (7 if base else 0)

"""`axl tune` keeps what it has measured, also where no map can do with 4 bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from calling import Trained, call

from multiscale_transformer.engine import engine
from multiscale_transformer.engine.weights import linear_names
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.quantization.engine_file import read_bits
from multiscale_transformer.quantization.tuning import Bits, Tuned


@pytest.mark.parametrize("chosen", [{}, {"embedding.weight": 4}])
def test_a_large_model_has_the_bits_that_were_chosen(
    trained: Trained, project: Path, work: Path, monkeypatch: pytest.MonkeyPatch, chosen: Bits
) -> None:
    tuned = Tuned(chosen, cost_of_8=1.0, cost_of_4=1.1, cost=1.0, group_costs={})
    monkeypatch.setattr("multiscale_transformer.quantization.tuning.tune", lambda *_, **__: tuned)
    shutil.copytree(trained.folder, work / "model")
    answer = call("tune", "--model", "model", "--data", project, "--allowed", "0")
    assert answer.status == 0, answer
    assert f"with 4 bits for {len(chosen)} map" in answer.out
    monkeypatch.setattr(engine, "INT8_MAX_PARAMETERS", 0)  # without a choice every map would have 4 bits
    build, seen = engine.build_network, []

    def watched(*given: object) -> object:
        seen.append(given[-1])
        return build(*given)

    monkeypatch.setattr(engine, "build_network", watched)
    engine.load_engine(work / "model")
    names = linear_names(read_config(work / "model"))
    assert read_bits(work / "model") == seen[0] == (chosen or dict.fromkeys(names, 8))

"""Result files: each validates, says where it comes from, and a benchmark's command writes what its table reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.command import command_of, results_file
from benchmarks.comparison import Candidate, compare, settings_for
from benchmarks.index import IndexResult
from benchmarks.result import BENCHMARKS, KINDS, ROOT, module_of, origin, table_of
from benchmarks.train import TrainResult
from multiscale_transformer.data.corpus import Corpus, load_corpus
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig

RUNS = sorted((ROOT / "runs").glob("*.json"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_result_file_validates_and_has_a_table(path: Path) -> None:
    kind = json.loads(path.read_bytes())["kind"]
    result = module_of(kind).RESULT.read(path)
    assert result.kind == kind
    assert set(json.loads(path.read_bytes())) >= {"machine", "commit", "date", "command"}
    assert table_of(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_a_module_with_a_result_and_a_table(kind: str) -> None:
    module = module_of(kind)
    assert module.RESULT.model_fields["kind"].default == kind
    assert callable(module.table)
    assert callable(getattr(module, "run", None)) == (kind in BENCHMARKS)


def test_a_result_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["axl", "bench", "decode", "--rounds", "3"], ["/somewhere/decode.py", "--rounds", "3"]):
        monkeypatch.setattr(sys, "argv", words)
        made = origin("decode", 2)
        assert made.command == "python -m benchmarks.decode --rounds 3"
    assert made.machine.cpu
    assert made.machine.cores
    assert made.machine.threads == 2
    assert made.date


def test_a_command_writes_the_result_and_prints_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command_of("index")(folders=[Path(json.__file__).parents[1]], megabytes=[1], results=tmp_path / "index.json")
    (cost,) = IndexResult.read(tmp_path / "index.json").growth
    assert cost.corpus_bytes >= 1_000_000
    assert table_of(tmp_path / "index.json").strip() in capsys.readouterr().out


def test_results_go_where_the_documents_look() -> None:
    assert {results_file(kind).name for kind in BENCHMARKS} <= {path.name for path in RUNS}


TINY = ModelConfig(d_model=32, n_heads=1, d_ff=32, n_layers_per_scale=1, downsample_factors=(1,), max_seq_len=64)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.py").write_text(
            "".join(f"def f{number}_{i}(x):\n    return x * {i * number}\n" for i in range(40))
        )
    return load_corpus([str(folder)])


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_stopped(tmp_path: Path, corpus: Corpus) -> None:
    settings = settings_for(TINY, 0.02, 1, corpus)
    candidates = [Candidate(name=name, config=TINY, settings=settings) for name in ("tiny", "flat")]
    path = tmp_path / "train.json"

    def measured(seeds: int) -> Any:
        return compare(TrainResult, candidates, corpus, range(seeds), path).model_dump()["runs"]

    first = measured(1)
    both = measured(2)
    assert [(run["name"], run["seed"]) for run in both] == [("tiny", 0), ("flat", 0), ("tiny", 1), ("flat", 1)]
    assert both[:2] == first
    assert measured(2) == both
    assert "Tiny" in table_of(path)
    with pytest.raises(AxlError, match="other data"):
        compare(TrainResult, candidates, corpus.__class__(**{**corpus.__dict__, "sources": ["x"]}), [0], _other(path))


def _other(path: Path) -> Path:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "corpus": "another"}))
    return path

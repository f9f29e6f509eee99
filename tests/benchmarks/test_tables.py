from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import decode
from benchmarks.decode import DecodeResult, Rate
from benchmarks.result import Machine
from benchmarks.tables import filled, write_tables
from multiscale_transformer.errors import AxlError

ROOT = Path(__file__).resolve().parents[2]
RUN = {
    "minutes": 3.0,
    "threads": 2,
    "parameters": 1000,
    "optimizer": "muon",
    "optimizer_state_bytes": 4000,
    "steps": 10,
    "steps_to_mark": None,
    "bytes_read": 2_000_000,
    "seconds": 180.0,
    "flops_per_second": 1.0,
    "matmul_flops_per_second": 2.0,
    "learning_rate": 0.1,
    "when": "2026-11-24 20:00",
}


def comparison(tmp_path: Path, kind: str = "train") -> Path:
    runs = [
        RUN | {"name": who, "seed": seed, "bits_per_byte": bits + seed / 100}
        for who, bits in (("a", 1.5), ("flat", 1.7))
        for seed in range(3)
    ]
    content = {"kind": kind, "machine": {}, "corpus": "0", "held_out_bytes": 1000, "runs": runs, "baselines": {"xz": 1.3}}
    (tmp_path / f"bench-{kind}.json").write_text(json.dumps(content))
    return tmp_path


def test_a_marked_place_is_filled_and_the_rest_is_kept(tmp_path: Path) -> None:
    text = filled("before\n<!-- figures: bench-train -->\nold\n<!-- end -->\nafter\n", comparison(tmp_path))
    assert text.startswith("before\n<!-- figures: bench-train -->\n| |")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert "| a | 1.510 ± 0.006 (n=3) | 1,000 | 2.0 | 10 | 50% |" in text
    assert "| xz -9e | 1.300 |" in text
    assert "A is lower than flat by 0.200" in text
    assert filled(text, tmp_path) == text


def test_optimizers_show_their_state_and_what_they_never_reach(tmp_path: Path) -> None:
    text = filled("<!-- figures: bench-optimizers -->\n<!-- end -->", comparison(tmp_path, "optimizers"))
    assert "| a | 1.510 ± 0.006 (n=3) | 0.1 | 10 | never | 4.0 |" in text


def test_decoding_is_held_against_the_best_of_the_same_quantization() -> None:
    rates = {
        ("axl 8 bits, 1 thread", "1 at once"): 200.0,
        ("axl 4 bits, 1 thread", "1 at once"): 300.0,
        ("llama.cpp Q4_K_M, 1 thread", "1 at once"): 90.0,
        ("llama.cpp Q4_K_M, 2 threads", "1 at once"): 100.0,
        ("llama.cpp F16, 1 thread", "1 at once"): 1000.0,
        ("axl 4 bits, 1 thread", "16 at once"): 900.0,
    }
    rows = [Rate(name=name, load=load, rates=[rate]) for (name, load), rate in rates.items()]
    text = decode.table(DecodeResult(machine=Machine(), model="M", parameters=1, rounds=1, rows=rows, peer_build="a build"))
    assert "**3.0 times** llama.cpp Q4_K_M" in text
    assert "3.0 times as much as one" in text
    assert "| axl 4 bits, 1 thread | 300 |  | 900 |  |" in text
    assert "llama.cpp is a build, called without HTTP" in text


def test_the_kind_decides_and_not_the_name_of_the_file(tmp_path: Path) -> None:
    (comparison(tmp_path, "optimizers") / "bench-optimizers.json").rename(tmp_path / "mine.json")
    assert "state, bytes a parameter" in filled("<!-- figures: mine -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "cannot read"), ("{}", "cannot read"), ('{"kind": "x"}', "unknown kind"), ('{"kind": "train"}', "cannot read")],
)
def test_a_damaged_result_is_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "bench.json").write_text(content)
    with pytest.raises(AxlError, match=says):
        filled("<!-- figures: bench -->\n<!-- end -->", tmp_path)


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="bench-train"):
        filled("<!-- figures: bench-train -->\n<!-- end -->", tmp_path)


def test_only_documents_that_change_are_written(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("<!-- figures: bench-train -->\n<!-- end -->")
    comparison(tmp_path)
    assert write_tables([document], tmp_path) == [document]
    assert write_tables([document], tmp_path) == []


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
def test_no_line_begins_with_a_figure(path: Path) -> None:
    """Markdown would take it, and the lines after it, for HTML."""
    assert re.findall(r"^\s*<!-- figure: .*", path.read_text(encoding="utf-8"), re.MULTILINE) == []


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
def test_the_documents_say_what_the_runs_say(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert filled(text, ROOT / "runs") == text, "run: axl bench tables"

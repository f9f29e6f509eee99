"""Benchmarks and secrets are kept out of training data."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from multiscale_transformer.data.decontamination import Decontamination
from multiscale_transformer.data.secrets import secret_finder
from multiscale_transformer.errors import AxlError

TASK = """def minimum_cost_path(grid, rows, columns):
    total = [[0] * columns for _ in range(rows)]
    return total[rows - 1][columns - 1]
"""


@pytest.fixture
def benchmarks(tmp_path: Path) -> Decontamination:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps({"prompt": TASK, "n": 1, "tests": ["assert 1"]}).encode()))
    return Decontamination.of_folder(tmp_path)


def test_a_copy_is_found_whatever_its_layout(benchmarks: Decontamination) -> None:
    copy = TASK.replace("    ", "\t").replace("def minimum_cost_path", "async def Other").replace("total", "TOTAL")
    assert "13 tokens" in (benchmarks.finds(copy) or "")
    assert benchmarks.finds("total = [[0] * columns for _ in range(rows)]") is not None
    assert benchmarks.finds("for row in range(rows):\n    print(row)\n") is None


def test_a_function_that_a_benchmark_asks_for_is_found_by_name_and_parameters(benchmarks: Decontamination) -> None:
    assert "asks for" in (benchmarks.finds("def minimum_cost_path(a, b, c):\n    pass") or "")
    assert benchmarks.finds("def minimum_cost_path(a):\n    pass") is None


def test_a_folder_without_benchmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="holds no benchmark"):
        Decontamination.of_folder(tmp_path)
    (tmp_path / "a.jsonl").write_text("{")
    with pytest.raises(AxlError, match="can be read"):
        Decontamination.of_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('key = "AKIAIOSFODNN7EXAMPLQ"', "a key"),
        ('url = "https://bob:hunter22@host.com/x"', "a"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a key"),
        ("# written by jane.doe@gmail.com", "an address"),
        ("host = '203.0.113.7'", "an address"),
        ("mail to someone@example.com or 127.0.0.1, version 1.2.3", None),
        ('password = "secret"  # of a test', None),
    ],
)
def test_keys_and_addresses_are_found_and_tests_are_not(text: str, kind: str | None) -> None:
    with secret_finder() as find:
        found = find(text)
    assert found is None if kind is None else (found or "").startswith(kind)

"""Every benchmark says what its figures depend on, and what it says is there."""

from __future__ import annotations

from benchmarks.ages import PACKAGE, READS, ages
from benchmarks.result import KINDS, ROOT


def test_every_benchmark_names_rooms_that_exist() -> None:
    assert set(READS) == set(KINDS)
    for rooms in READS.values():
        for room in rooms:
            assert (ROOT / PACKAGE / room).exists(), room


def test_every_result_has_an_age() -> None:
    found = ages()
    assert {age.path.name for age in found} == {path.name for path in (ROOT / "runs").glob("*.json")}
    assert all(age.commits_since is None or age.commits_since >= 0 for age in found)

"""Every benchmark says what its figures depend on, and what it says is there."""

from __future__ import annotations

from benchmarks.ages import PACKAGE, READS, ages, program
from benchmarks.result import KINDS, ROOT
from multiscale_transformer import __version__


def test_every_benchmark_names_rooms_that_exist() -> None:
    assert set(READS) == set(KINDS)
    for rooms in READS.values():
        for room in rooms:
            assert (ROOT / PACKAGE / room).exists(), room


def test_every_result_has_an_age() -> None:
    found = ages()
    assert {age.path.name for age in found} == {path.name for path in (ROOT / "runs").glob("*.json")}


def test_a_program_is_the_same_in_other_words_and_another_when_it_does_something_else() -> None:
    assert program('"""One."""\ndef f(x):\n    """Two."""\n    return x + 1\n') == program(
        '"""1."""\ndef f(x):  # so\n    """2."""\n    return (x+1)'
    )
    assert program("def f(x):\n    return x + 1\n") != program("def f(x):\n    return x + 2\n")
    assert program("x = 'one'") != program("x = 'two'")


def test_of_a_release_no_figure_is_older_than_its_code() -> None:
    if ".dev" not in __version__:
        assert [age.path.name for age in ages() if age.changed != ()] == []

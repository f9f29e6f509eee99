"""What a person reads who mistyped a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError, unknown_name

KNOWN = ("AXL-Micro-Lion", "AXL-Code-1B", "AXL-Vision")


@pytest.mark.parametrize("typed", ["axl_micro_lion", "AXL-MICRO-LION", "AXL-Micro-Lino"])
def test_a_near_name_is_proposed_whatever_its_case_and_hyphens(typed: str) -> None:
    assert str(unknown_name("model", typed, KNOWN)).startswith(f"unknown model '{typed}'; did you mean AXL-Micro-Lion")


def test_without_a_near_name_all_are_listed() -> None:
    assert str(unknown_name("model", "zzz", KNOWN)) == "unknown model 'zzz'; known are AXL-Code-1B, AXL-Micro-Lion, AXL-Vision"


@given(st.text(), st.lists(st.text(min_size=1), min_size=1))
def test_it_is_an_error_that_names_what_was_typed(typed: str, known: list[str]) -> None:
    error = unknown_name("thing", typed, known)
    assert isinstance(error, AxlError)
    assert repr(typed) in str(error)
    assert any(name in str(error) for name in known)

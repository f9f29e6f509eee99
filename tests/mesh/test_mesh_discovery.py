"""Registries that are found by multicast DNS, where the package is there; without it a line says what to install."""

from __future__ import annotations

import sys

import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.mesh.discovery import announced, found


def test_a_registry_is_found_while_it_announces_itself() -> None:
    pytest.importorskip("zeroconf")
    try:
        with announced("127.0.0.1", 8999, "https"):
            urls = found(20.0)
    except AxlError as error:
        if "no network for multicast DNS" not in str(error):
            raise
        pytest.skip(str(error))
    assert "https://127.0.0.1:8999" in urls


def test_without_the_package_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(AxlError, match=r"axl\[mesh\]"):
        found()
    with pytest.raises(AxlError, match=r"axl\[mesh\]"), announced("127.0.0.1", 1, "http"):
        pass

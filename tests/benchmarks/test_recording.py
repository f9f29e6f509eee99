"""The moving picture shows what the commands print, line after line, and loads nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

from benchmarks.recording import COMMANDS, record
from held import needs_sandbox


@pytest.mark.slow
@needs_sandbox
def test_every_command_and_its_end_are_seen_after_each_other() -> None:
    svg = record()
    text = svg.replace("&#160;", " ").replace("&quot;", '"')
    for command in COMMANDS:
        assert f"$ {command}" in text
    assert text.count("Verified") == len(COMMANDS)
    hidden = {number: float(begins) for number, begins in re.findall(r"@keyframes r(\d+)\{0%,([\d.]+)%", svg)}
    shown = set(re.findall(r'<text class="r(\d+) ', svg))
    assert shown <= set(hidden)
    assert len(shown) > 20
    assert list(hidden.values()) == sorted(hidden.values())
    assert "@font-face" not in svg
    assert re.findall(r"(?:url|href|src)[=(]['\"]?http", svg) == []

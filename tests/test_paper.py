"""The paper: its figures are those of `runs/`, everything it names is there, and it builds."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.paper import PAPER, figures

TEXT = (PAPER / "axl.tex").read_text(encoding="utf-8")


def test_its_figures_are_those_of_the_results() -> None:
    assert (PAPER / "figures.tex").read_text(encoding="utf-8") == figures(), "run python -m benchmarks.paper"


def test_every_figure_and_source_that_it_names_is_there() -> None:
    defined = set(re.findall(r"^\\axldef\{([^}]+)\}", figures(), re.MULTILINE))
    used = set(re.findall(r"\\axl\{([^}]+)\}", TEXT))
    assert used
    assert used <= defined
    sources = set(re.findall(r"^@\w+\{([^,]+),", (PAPER / "references.bib").read_text(encoding="utf-8"), re.MULTILINE))
    cited = {key.strip() for keys in re.findall(r"\\cite\{([^}]+)\}", TEXT) for key in keys.split(",")}
    assert cited == sources


def test_no_figure_is_typed() -> None:
    """Decimals of results come from files; what is left are sizes, formulas and names."""
    body = re.sub(r"\\axl\{[^}]*\}|(?<!\\)%.*|\{[\d.]+(in|pt)\}|margin=[\d.]+in|\[\d+pt\]", "", TEXT)
    assert set(re.findall(r"\d+\.\d+", body)) <= {"12.7"}  # millions of parameters of AXL-Micro


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("latexmk") is None, reason="no latexmk here")
def test_it_builds(tmp_path: Path) -> None:
    words = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", f"-output-directory={tmp_path}", "axl.tex"]
    done = subprocess.run(words, cwd=PAPER, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    log = (tmp_path / "axl.log").read_text(encoding="latin-1")
    assert "undefined" not in log.lower()
    assert "Overfull" not in log
    pages = int(re.findall(r"\((\d+) pages, \d+ bytes\)", log.replace("\n", ""))[-1])  # TeX breaks its lines anywhere
    assert 7 <= pages <= 12

"""What a release says of itself is the same wherever it says it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import multiscale_transformer

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_version_and_the_licence_are_the_same_everywhere() -> None:
    assert PROJECT["version"] == CITATION["version"] == multiscale_transformer.__version__
    assert PROJECT["license"] == CITATION["license"]


def test_the_workflow_runs_what_ci_runs_on_every_python_from_the_oldest() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert job["steps"][-1]["run"].endswith("bash .ci/run")
    assert f">={job['strategy']['matrix']['python'][0]}" == PROJECT["requires-python"]


def test_what_the_security_page_names_is_there() -> None:
    names = re.findall(r"\]\(([^)#]+)", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []

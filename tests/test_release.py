"""What a release says of itself is the same wherever it says it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

import multiscale_transformer

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_version_and_the_licence_are_the_same_everywhere() -> None:
    assert PROJECT["version"] == CITATION["version"] == multiscale_transformer.__version__
    assert PROJECT["license"] == CITATION["license"]


def test_the_changelog_has_the_release_and_its_day() -> None:
    version, released = PROJECT["version"], CITATION.get("date-released")
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = dict(re.findall(r"^## (\S+) - (\d{4}-\d\d-\d\d)$", text, re.MULTILINE))
    assert "\n## Unreleased\n" in text
    if ".dev" not in version:
        assert headings[version] == str(released)


def test_modules_import_at_once_only_what_training_installs() -> None:
    """What an extra brings is imported in functions, which name the extra where it is missing; pages name `train` alone."""
    declared = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["train"]
    installed = {re.split(r"[^\w-]", name)[0].lower() for name in declared} | {
        "anyio",
        "llvmlite",
    }  # theirs: starlette's, numba's
    known = {*sys.stdlib_module_names, "multiscale_transformer", "benchmarks"}  # which `axl bench` imports in a checkout alone
    distributions = packages_distributions()
    paths = (ROOT / "src" / "multiscale_transformer").rglob("*.py")
    for path in [path for path in paths if path.parent.name != "remote"]:  # which run beside transformers, in exports
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {module.partition(".")[0] for module in modules} - known:
                assert {name.lower().replace("_", "-") for name in distributions[top]} & installed, f"{path}: {top}"


def test_the_workflow_runs_what_ci_runs_on_every_python_from_the_oldest() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert job["steps"][-1]["run"].endswith("bash .ci/run")
    assert f">={job['strategy']['matrix']['python'][0]}" == PROJECT["requires-python"]


def test_what_the_security_page_names_is_there() -> None:
    names = re.findall(r"\]\(([^)#]+)", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []

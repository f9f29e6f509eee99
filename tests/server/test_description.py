"""Whatever an official description permits gets an answer of the described shape, and never a server error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from server.descriptions import ANTHROPIC_ROUTES, OLLAMA_ROUTES, OPENAI_ROUTES, description
from server.running import Running, running, settings_for

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]

DESCRIBED = {"openai": OPENAI_ROUTES, "anthropic": ANTHROPIC_ROUTES, "ollama": OLLAMA_ROUTES}


@pytest.fixture(scope="module")
def limited(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that writes for a moment only, whatever is asked for."""
    with running(settings_for(model, tmp_path_factory.mktemp("limited"), max_seconds=0.05)) as up:
        yield up


def answers_as_described(schema: BaseSchema) -> Callable[..., None]:
    """A test of one operation."""

    @pytest.mark.slow
    @schema.parametrize()
    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    def test(case: schemathesis.Case, limited: Running) -> None:
        case.call_and_validate(base_url=limited.url, checks=CHECKS)

    return test


# Each operation has a function of its own: under pytest 9.2 all that schemathesis makes of one function have one id, and
# pytest-xdist runs what has one id once where it deals by file.
for whose, routes in DESCRIBED.items():
    whole = schemathesis.openapi.from_dict(description(routes, "tiny"))
    for operation in (found.ok() for found in whole.get_all_operations()):
        name = re.sub(r"\W+", "_", f"test_{whose}_{operation.label}").lower().rstrip("_")
        globals()[name] = answers_as_described(whole.include(method=operation.method, path=operation.path))

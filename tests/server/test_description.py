"""Whatever OpenAI's description permits gets an answer of the described shape, and never a server error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from server.openai_description import description
from server.running import Running, running, settings_for

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]

schema = schemathesis.openapi.from_dict(description("tiny"))


@pytest.fixture(scope="module")
def limited(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that writes for a moment only, whatever is asked for."""
    with running(settings_for(model, tmp_path_factory.mktemp("limited"), max_seconds=0.05)) as up:
        yield up


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
def test_answers_are_as_openai_describes_them(case: schemathesis.Case, limited: Running) -> None:
    case.call_and_validate(base_url=limited.url, checks=CHECKS)

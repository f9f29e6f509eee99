"""Whatever an official description permits gets an answer of the described shape, and never a server error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from server.descriptions import ANTHROPIC_ROUTES, OLLAMA_ROUTES, OPENAI_ROUTES, description
from server.running import Running, running, settings_for

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]

openai = schemathesis.openapi.from_dict(description(OPENAI_ROUTES, "tiny"))
anthropic = schemathesis.openapi.from_dict(description(ANTHROPIC_ROUTES, "tiny"))
ollama = schemathesis.openapi.from_dict(description(OLLAMA_ROUTES, "tiny"))


@pytest.fixture(scope="module")
def limited(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that writes for a moment only, whatever is asked for."""
    with running(settings_for(model, tmp_path_factory.mktemp("limited"), max_seconds=0.05)) as up:
        yield up


DRAWN = settings(max_examples=100, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@openai.parametrize()
@DRAWN
def test_answers_are_as_openai_describes_them(case: schemathesis.Case, limited: Running) -> None:
    case.call_and_validate(base_url=limited.url, checks=CHECKS)


@pytest.mark.slow
@anthropic.parametrize()
@DRAWN
def test_answers_are_as_anthropic_describes_them(case: schemathesis.Case, limited: Running) -> None:
    case.call_and_validate(base_url=limited.url, checks=CHECKS)


@pytest.mark.slow
@ollama.parametrize()
@DRAWN
def test_answers_are_as_ollama_describes_them(case: schemathesis.Case, limited: Running) -> None:
    case.call_and_validate(base_url=limited.url, checks=CHECKS)

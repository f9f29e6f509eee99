"""What the routes have in common: the catalogue, the loader, the metrics and the server's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request

import multiscale_transformer
from multiscale_transformer.server.core.chat_template import Template, template_of
from multiscale_transformer.server.core.prompts import Prompt
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.runtime.model_manager import Loader
from multiscale_transformer.server.runtime.registry import Catalogue, Entry


@dataclass
class Service:
    """One server. `hole_seconds` is the time limit of what fills a hole, for editors that give up soon."""

    catalogue: Catalogue
    loader: Loader
    metrics: Metrics
    hole_seconds: float | None = None
    most_seconds: float | None = None

    @property
    def fingerprint(self) -> str:
        """OpenAI's name for what runs behind a model."""
        return f"axl-{multiscale_transformer.__version__}"

    def envelope(
        self, name: str, answer: str, created: int, kind: str, choices: list[dict[str, Any]], **more: Any
    ) -> dict[str, Any]:
        """OpenAI's answer around choices; all parts of a stream have the same `created`."""
        known = {"id": answer, "object": kind, "created": created, "model": name}
        return {**known, "system_fingerprint": self.fingerprint, "choices": choices, **more}

    @staticmethod
    def template(entry: Entry) -> Template:
        """How an entry's conversations look."""
        if entry.variant is not None and entry.variant.template:
            return Template(entry.variant.template)
        return template_of(entry.folder)

    def seconds(self, milliseconds: float | None, prompt: Prompt) -> float | None:
        """The time limit of a request: its own, the server's for holes, and never more than the server's for all."""
        own = milliseconds / 1000 if milliseconds is not None else self.hole_seconds if prompt.hole else None
        limits = [limit for limit in (own, self.most_seconds) if limit is not None]
        return min(limits, default=None)


def service_of(http: Request) -> Service:
    """The server that a request came to."""
    service: Service = http.app.state.service
    return service

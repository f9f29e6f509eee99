"""What the routes of a server share: its models, its metrics and its settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import Request

import multiscale_transformer
from multiscale_transformer.server.core.chat_template import ChatTemplate, template_of
from multiscale_transformer.server.core.prompts import Prompt
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.runtime.model_manager import ModelManager
from multiscale_transformer.server.runtime.registry import ModelEntry, ModelRegistry
from multiscale_transformer.server.runtime.seers import Seers
from multiscale_transformer.server.settings import Settings


@dataclass
class ServerState:
    """One server: which models there are (`registry`), which are loaded (`models`), and those that see (`seers`)."""

    registry: ModelRegistry
    models: ModelManager
    metrics: Metrics
    settings: Settings
    seers: Seers = field(default_factory=Seers)

    @property
    def fingerprint(self) -> str:
        """OpenAI's name for what runs behind a model."""
        return f"axl-{multiscale_transformer.__version__}"

    def end_requests(self) -> None:
        """End what still runs: streams end with what they have."""
        for model in list(self.models.loaded.values()):
            model.worker.end_all()

    @staticmethod
    def template(entry: ModelEntry) -> ChatTemplate:
        """The chat template of a model or a variant."""
        if entry.variant is not None and entry.variant.template:
            return ChatTemplate(entry.variant.template)
        return template_of(entry.folder)

    def time_limit(self, milliseconds: float | None, prompt: Prompt) -> float | None:
        """Seconds for a request: its own limit or the server's for fill-in-the-middle, and never more than `max_seconds`."""
        settings = self.settings
        own = milliseconds / 1000 if milliseconds is not None else settings.fim_timeout if prompt.fim else None
        return min((limit for limit in (own, settings.max_seconds) if limit is not None), default=None)


def server_state(http: Request) -> ServerState:
    """The state of the server that a request came to."""
    state: ServerState = http.app.state.server
    return state

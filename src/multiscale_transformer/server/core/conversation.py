"""A conversation as a generation request, for the chat routes of every dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.server.core.chat_template import ChatTemplate, Message, chat_prompt
from multiscale_transformer.server.core.requests import GenerationRequest, generation_request, stop_strings
from multiscale_transformer.server.core.tool_choice import call_constraint, no_call
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.runtime.registry import ModelEntry
from multiscale_transformer.server.state import ServerState


@dataclass(frozen=True)
class Conversation:
    """Messages and tools for a model; `constraint` is the form that the answer must have, whatever the tools."""

    state: ServerState
    entry: ModelEntry
    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    tool_choice: str = "auto"
    constraint: GrammarConstraint | None = None

    @property
    def text(self) -> str:
        """The whole prompt, before anything is left out for a model's context."""
        template, messages = self._turns()
        return template.render(messages, self.tools)

    def generation_request(
        self, model: LoadedModel, options: dict[str, Any], stop: str | list[str] | None, **more: Any
    ) -> GenerationRequest:
        """The request behind it (`requests.generation_request`). Free text also stops where the template's next turn begins."""
        template, messages = self._turns()
        context = model.config.max_seq_len
        prompt = chat_prompt(template, messages, self.tools, context)
        call = None if self.constraint else call_constraint(messages, self.tools, self.tool_choice)
        constraint, stops = self.constraint or call, stop_strings(stop)
        if constraint is None:
            stops = [*stops, *template.stops]
        request = generation_request(self.state, context, prompt, options, stops, constraint=constraint, **more)
        return replace(request, constraint=no_call()) if constraint is None and self.tools else request

    def _turns(self) -> tuple[ChatTemplate, list[Message]]:
        """The template, and the messages behind the variant's system prompt where they have none."""
        messages, variant = list(self.messages), self.entry.variant
        if variant and variant.system and messages and messages[0].role != "system":
            messages.insert(0, Message("system", variant.system))
        return self.state.template(self.entry), messages

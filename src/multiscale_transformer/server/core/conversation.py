"""A conversation as a generation request, for the chat routes of every dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.server.core.chat_template import Message, chat_prompt
from multiscale_transformer.server.core.requests import GenerationRequest, sampling_of, stop_strings
from multiscale_transformer.server.core.tool_choice import answer_constraint
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

    def generation_request(
        self,
        model: LoadedModel,
        options: dict[str, Any],
        stop: str | list[str] | None,
        milliseconds: float | None = None,
        *,
        sources: bool = True,
    ) -> GenerationRequest:
        """The request behind it. Free text also stops where the template's next turn begins."""
        template, messages, variant = self.state.template(self.entry), list(self.messages), self.entry.variant
        if variant and variant.system and messages and messages[0].role != "system":
            messages.insert(0, Message("system", variant.system))
        prompt = chat_prompt(template, messages, self.tools, model.config.max_seq_len)
        constraint = self.constraint or answer_constraint(messages, self.tools, self.tool_choice)
        stops = stop_strings(stop)
        sampling = sampling_of(options, stops if constraint else [*stops, *template.stops])
        return GenerationRequest(prompt, sampling, constraint, self.state.time_limit(milliseconds, prompt), sources)

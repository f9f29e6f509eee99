"""A generation request as every dialect makes it: a prompt, how to sample, where the text stops, and for how long.

OpenAI, Anthropic, Ollama and llama.cpp name the same options differently; their routes translate into `GenerationRequest`, so
sampling, stop strings, limits, memory and sources work alike in all of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from multiscale_transformer.engine.scheduler import Request
from multiscale_transformer.engine.stop_rules import StopRules
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.sampling import FIM_CANDIDATES, Sampling, default_sampling
from multiscale_transformer.server.core.prompts import FIM_STOPS, Prompt, with_crlf
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.state import ServerState

MAX_NEW_TOKENS = 65_536  # bytes of one answer
MAX_STOPS = 64  # stop strings of one request
OPEN_ENDED = StopRules(repetition=True)  # what ends an answer that nobody limits, beside the model and its context


@dataclass(frozen=True)
class GenerationRequest:
    """What to generate. `time_limit` is in seconds; `sources` says whether the answer names the files its text stands in."""

    prompt: Prompt
    sampling: Sampling
    constraint: GrammarConstraint | None = None
    time_limit: float | None = None
    sources: bool = True

    def for_choice(self, index: int) -> GenerationRequest:
        """The same request for another answer: choice `index` has the seed plus its number."""
        if index == 0 or self.sampling.seed is None:
            return self
        seed = (self.sampling.seed + index) % 2**63
        return replace(self, sampling=self.sampling.model_copy(update={"seed": seed}))

    def for_engine(self, memory: CorpusMemory | None) -> Request:
        """The engine's request; its time limit begins now."""
        deadline = None if self.time_limit is None else time.monotonic() + self.time_limit
        constraint = None if self.constraint is None else self.constraint.copy()
        prompt = self.prompt
        return Request(
            prompt.ids,
            self.sampling,
            memory,
            constraint,
            deadline,
            rules=prompt.rules,
            crlf=prompt.crlf,
            gap=prompt.gap,
        )


def generation_request(
    state: ServerState,
    context: int,
    prompt: Prompt,
    options: dict[str, Any],
    stop: str | Sequence[str] | None,
    *,
    constraint: GrammarConstraint | None = None,
    stop_rules: bool | None = None,
    milliseconds: float | None = None,
    sources: bool = True,
) -> GenerationRequest:
    """The request behind the options of any dialect, for a model whose context holds so many ids.

    Where the client sets no limit (`max_new_tokens` is None or negative), the answer ends when the model ends it, when the
    context is full (behind a long prompt, after a quarter of it), or where it repeats itself. A gap has its own rules, and the
    length of `default_sampling`. Where most lines of a prompt end with CRLF so do those of the answer, unless its bytes are
    reported.
    """
    if constraint is None and options.get("logprobs") is None:
        prompt = with_crlf(prompt)
    if prompt.crlf:
        stop = [plain_ends(text) for text in stop_strings(stop)]
    prompt, length = prompt.with_stop_rules(stop_rules), options.get("max_new_tokens")
    if (length is not None and length < 0) or (length is None and not prompt.fim):
        options = {**options, "max_new_tokens": max(context - len(prompt.ids), context // 4)}
        if stop_rules is None and not prompt.fim and constraint is None:
            prompt = replace(prompt, rules=OPEN_ENDED)
    sampling = sampling_of(options, stop, fim=prompt.fim, candidates=state.settings.fim_candidates)
    return GenerationRequest(prompt, sampling, constraint, state.time_limit(milliseconds, prompt), sources)


def sampling_of(
    options: dict[str, Any], stop: str | Sequence[str] | None, *, fim: bool = False, candidates: int = FIM_CANDIDATES
) -> Sampling:
    """`Sampling` from options (None is the default) and stop strings.

    Fill-in-the-middle chooses among so many candidates by default, and stops at FIM tokens.

    The engine's detokenizer ends an answer before the first stop string, for every dialect alike.
    """
    stops = stop_strings(stop)
    if len(stops) > MAX_STOPS:
        raise ApiError(400, f"stop: {len(stops)} texts are too many; the most are {MAX_STOPS}", param="stop")
    stops += FIM_STOPS if fim else ()
    given = {name: value for name, value in options.items() if value is not None}
    fields = {
        **default_sampling(fim=fim).model_dump(),
        **({"candidates": candidates} if fim else {}),
        **given,
        "stop": tuple(text.encode("utf-8", "replace") for text in stops if text),
    }
    fields["max_new_tokens"] = min(int(fields["max_new_tokens"]), MAX_NEW_TOKENS)
    return Sampling.model_validate(fields)


def plain_ends(text: str) -> str:
    """A text with plain line ends, as models write them."""
    return text.replace("\r\n", "\n")


def stop_strings(stop: str | Sequence[str] | None) -> list[str]:
    """One or several stop strings as a list."""
    return [stop] if isinstance(stop, str) else list(stop or ())

"""What the bodies of requests share: clients send null for the default and fields that nobody else knows."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.model.sampling import MAX_CANDIDATES, MAX_WINDOW
from multiscale_transformer.model.vocabulary import VOCAB_SIZE
from multiscale_transformer.server.errors import ApiError

TokenId = Annotated[int, Field(ge=0, lt=VOCAB_SIZE)]
MIN_TOP_P = 1e-9  # clients send 0 for the likeliest token only


def named(words: str) -> frozenset[str]:
    """Names of fields, from a text."""
    return frozenset(words.split())


class Body(BaseModel):
    """A request body: null is as good as absent.

    What a dialect's description names is a field here and honoured, stands in `WITHOUT_EFFECT` (it changes nothing in what an
    answer says), or in `REFUSED`, with the values that ask for nothing. `tests/server/test_fields.py` holds that to the
    descriptions. Fields that no description names are ignored.
    """

    WITHOUT_EFFECT: ClassVar[frozenset[str]] = frozenset()
    REFUSED: ClassVar[dict[str, tuple[Any, ...]]] = {}

    model_config = ConfigDict(extra="ignore", populate_by_name=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = {name: value for name, value in data.items() if value is not None}
        for name in cls.REFUSED.keys() & given.keys():
            if given[name] not in (*cls.REFUSED[name], "", [], {}):
                raise ApiError(400, f"{name}: this server cannot do that; leave it out", param=name)
        return given


class SamplingOptions(Body):
    """The options that have the same name and range in every dialect."""

    temperature: float | None = Field(None, ge=0)
    top_k: int | None = None
    top_p: float | None = Field(None, ge=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    candidates: int | None = Field(None, ge=1, le=MAX_CANDIDATES)  # of a gap; `engine.candidates`
    stop_rules: bool | None = None  # the rules of `engine.stop_rules`: by default for fill-in-the-middle

    def sampling_options(
        self, max_new_tokens: int | None, repetition_penalty: float | None, window: int | None = None, **more: Any
    ) -> dict[str, Any]:
        """For `requests.sampling_of`; a negative top-k is off, a negative window is endless."""
        return {
            "max_new_tokens": max_new_tokens,
            "temperature": self.temperature,
            "top_k": None if self.top_k is None else max(self.top_k, 0),
            "top_p": None if self.top_p is None else max(self.top_p, MIN_TOP_P),
            "min_p": self.min_p,
            "repetition_penalty": repetition_penalty,
            "repetition_window": MAX_WINDOW if window is not None and window < 0 else window,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "seed": self.seed,
            "candidates": self.candidates,
            **more,
        }


class FunctionBody(Body):
    """A function that a model may call, as OpenAI's and Ollama's clients describe it."""

    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = {"type": "object"}


class ToolBody(Body):
    """A tool; other kinds than functions are not known."""

    type: str = "function"
    function: FunctionBody | None = None

    def as_tool(self) -> Tool:
        """Raises ApiError for what is no function."""
        if self.function is None:
            raise ApiError(400, f"tools: {self.type!r} is not known; functions are", param="tools")
        return Tool(self.function.name, self.function.description, self.function.parameters)


def prompts_of(given: str | list[int] | list[str] | list[list[int]]) -> list[str | list[int]]:
    """One or several prompts, each a text or ids, as a list of them."""
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [given]
    return list(given)  # type: ignore[arg-type]


def logit_bias_of(bias: dict[str, float] | None) -> dict[int, float] | None:
    """The bias by id. Raises ApiError for a key that is no id."""
    if bias is None:
        return None
    with contextlib.suppress(ValueError):
        by_id = {int(key): value for key, value in bias.items()}
        if all(0 <= key < VOCAB_SIZE for key in by_id):
            return by_id
    raise ApiError(400, f"logit_bias: keys are ids of bytes, 0 to {VOCAB_SIZE - 1}", param="logit_bias")

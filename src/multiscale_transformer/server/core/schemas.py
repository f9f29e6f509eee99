"""What request bodies share: clients send null for "whatever is usual" and fields that nobody else knows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from multiscale_transformer.model.vocabulary import VOCAB_SIZE
from multiscale_transformer.server.errors import ApiError


class Body(BaseModel):
    """A request body: null is as good as absent, unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


class StreamOptions(Body):
    """What else a stream says."""

    include_usage: bool = False


class OpenAIOptions(Body):
    """The options that OpenAI's completion routes share, and AXL's own: top_k, min_p, a time limit, memory and sources."""

    model: str = ""
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    n: int = Field(1, ge=1, le=128)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    stop: str | list[str] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=0.01, le=100)
    t_max_predict_ms: float | None = Field(None, gt=0)
    memory: list[str] | None = None
    sources: bool = True

    def options(self, max_new: int | None, logprobs: int | None) -> dict[str, Any]:
        """For `generation.sampling_of`."""
        return {
            "max_new_tokens": max_new,
            "temperature": self.temperature,
            "top_p": None if self.top_p is None else max(self.top_p, 1e-9),
            "top_k": None if self.top_k is None else max(self.top_k, 0),
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "logit_bias": bias_of(self.logit_bias),
            "seed": self.seed,
            "logprobs": logprobs,
        }


def bias_of(bias: dict[str, float] | None) -> dict[int, float] | None:
    """Ids by number. Raises ApiError for a key that is none."""
    if bias is None:
        return None
    try:
        numbered = {int(key): value for key, value in bias.items()}
    except ValueError:
        raise ApiError(400, "logit_bias: keys are ids of bytes, 0 to 257", param="logit_bias") from None
    if any(not 0 <= key < VOCAB_SIZE for key in numbered):
        raise ApiError(400, "logit_bias: keys are ids of bytes, 0 to 257", param="logit_bias")
    return numbered

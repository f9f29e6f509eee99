"""How the next byte is drawn, for every engine alike: no PyTorch here, so that the compiled engine needs none.

`Sampling` is what a user may ask for, `Sampler` does it for one text: logits in, an id out. What it draws depends on the
logits, on the text so far, on the seed and on how many bytes were drawn before, and on nothing else. The random number of
each byte is counted out instead of taken from a running generator (Salmon et al. 2011), so an engine that guesses ahead and
throws guesses away writes the same text as one that does not.
"""

# Shape suffixes: V vocabulary, S bytes seen lately.

from __future__ import annotations

import math
import secrets
from collections import Counter, deque
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, VOCAB_SIZE

Logits = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RECENT = 64  # bytes that the repetition penalty looks at, by default
MAX_WINDOW = 1 << 20
NEVER_DRAWN = (BOS, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)  # marks that a prompt may hold and that are no text
MAX_CANDIDATES = 16  # texts for one gap
FIM_CANDIDATES = 4  # by default (docs/log.md: what more of them bring)
MAX_BIAS = 100.0  # beyond it a bias is cut off
_COLDEST = 1e-200  # a lower temperature draws the same, and no difference of logits in fp32 overflows when divided by this one
_BLOCK = 64  # random numbers made at once

_DRAWABLE_V = np.ones(VOCAB_SIZE, np.bool_)
_DRAWABLE_V[list(NEVER_DRAWN)] = False


class Sampling(BaseModel):
    """How the next byte is drawn. Temperature 0 is greedy; top-k 0, top-p 1 and min-p 0 are off.

    Min-p (Nguyen et al. 2024) drops what is less likely than that share of the best. The repetition penalty (Keskar et al.
    2019) divides the logits of the last `repetition_window` bytes; code repeats bytes all the time, so it is off (1.0) by
    default. Presence and frequency penalty (as OpenAI defines them) lower the logits of what was written after the prompt, once
    and by its count; `logit_bias` is added to the logits of its ids. With `logprobs`, each byte comes with its log-probability
    and with those of that many of the best. Of a gap so many `candidates` are written, and one is chosen (`engine.candidates`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_new_tokens: int = Field(256, ge=0)
    temperature: float = Field(0.8, ge=0.0, allow_inf_nan=False)
    top_k: int = Field(0, ge=0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    min_p: float = Field(0.0, ge=0.0, le=1.0)
    repetition_penalty: float = Field(1.0, ge=0.01, le=100.0)
    repetition_window: int = Field(RECENT, ge=0, le=MAX_WINDOW)
    presence_penalty: float = Field(0.0, ge=-2.0, le=2.0)
    frequency_penalty: float = Field(0.0, ge=-2.0, le=2.0)
    logit_bias: dict[Annotated[int, Field(ge=0, lt=VOCAB_SIZE)], Annotated[float, Field(allow_inf_nan=False)]] = {}
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)  # 64 bits, with or without a sign
    stop: tuple[bytes, ...] = ()
    logprobs: int | None = Field(None, ge=0, le=20)
    candidates: int = Field(1, ge=1, le=MAX_CANDIDATES)

    @field_validator("stop")
    @classmethod
    def _stops_are_texts(cls, stop: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if not all(stop):
            raise ValueError("a stop text needs at least one character")
        return stop

    @field_validator("logit_bias")
    @classmethod
    def _biases_are_bounded(cls, logit_bias: dict[int, float]) -> dict[int, float]:
        return {index: min(max(bias, -MAX_BIAS), MAX_BIAS) for index, bias in logit_bias.items()}


DEFAULT_SAMPLING = Sampling(temperature=0.4, top_p=0.95, max_new_tokens=256)  # of the command, the server and the exports


def default_sampling(*, fim: bool) -> Sampling:
    """The defaults of a request; a gap is filled with the best of a few texts, the first of the likeliest bytes."""
    return DEFAULT_SAMPLING.model_copy(update={"temperature": 0.0, "candidates": FIM_CANDIDATES}) if fim else DEFAULT_SAMPLING


class SampledToken(NamedTuple):
    """An id and, where `Sampling.logprobs` asks for them, natural logarithms of what the model gave to it and to the best.

    They are those of the softmax over all ids before temperature, penalties, bias, cuts and constraint. `top` begins with the
    best; of equals the lower id comes first. Without `Sampling.logprobs`, `logprob` is NaN: computing it takes longer than
    the greedy choice.
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class Sampler:
    """Draws the ids of one text. `prompt` is what stands before; `recent` and `count` say what was drawn so far. `without` is a
    count and the id that is not drawn there.

    All logits are arrays (V,) in fp32 or fp64, which stay as they are. An `allowed_V` of booleans narrows what may be drawn.
    Raises AxlError where it permits nothing and for logits that are no numbers.
    """

    def __init__(self, sampling: Sampling, prompt: Iterable[int] = (), without: tuple[int, int] | None = None) -> None:
        self.sampling, self._without = sampling, without
        self.count = 0
        self.recent = deque((i for i in prompt if i < BOS), maxlen=sampling.repetition_window)
        self._written: Counter[int] = Counter()
        self._counting = sampling.presence_penalty != 0.0 or sampling.frequency_penalty != 0.0
        self._plain = not self._counting and sampling.repetition_penalty == 1.0 and not sampling.logit_bias
        self._offset_V = np.where(_DRAWABLE_V, 0.0, -np.inf)  # what bias and penalties add to the logits
        for index, bias in sampling.logit_bias.items():
            self._offset_V[index] += bias
        self._key = secrets.randbits(64) if sampling.seed is None else sampling.seed % 2**64
        self._block, self._uniforms = -1, [0.0]

    def probabilities(self, logits_V: Logits, allowed_V: Mask | None = None) -> Floats:
        """The distribution (V,) of the next id, fp64. At temperature 0 all mass is on the best, of equals the lowest id.

        BOS and the marks of fill-in-the-middle have none. Top-k and top-p keep more than they must only where bytes tie.
        """
        allowed_V = self._narrowed(allowed_V)
        if self.sampling.temperature == 0.0:
            chances_V = np.zeros(len(logits_V))
            chances_V[self._best(logits_V, allowed_V)] = 1.0
            return chances_V
        chances_V = self._weights(logits_V, allowed_V)
        chances_V /= chances_V.sum()
        return chances_V

    def draw(self, logits_V: Logits, allowed_V: Mask | None = None) -> SampledToken:
        """The next id, which is part of the text from now on: the one at `uniform(count)` of the cumulated distribution."""
        allowed_V = self._narrowed(allowed_V)
        if self.sampling.temperature == 0.0:
            drawn = self._best(logits_V, allowed_V)
        else:
            up_to_V = self._weights(logits_V, allowed_V).cumsum()
            drawn = int(up_to_V.searchsorted(self.uniform(self.count) * up_to_V[-1], side="right"))
        logprob, top = (math.nan, ()) if self.sampling.logprobs is None else reported(logits_V, drawn, self.sampling.logprobs)
        self._record(drawn)
        return SampledToken(drawn, logprob, top)

    def uniform(self, index: int) -> float:
        """The random number in [0, 1) for the id drawn after `index` others: a function of it and the seed only."""
        block, place = divmod(index, _BLOCK)
        if block != self._block:
            raw = np.random.Philox(key=self._key, counter=block << 64).random_raw(_BLOCK)
            self._block, self._uniforms = block, ((raw >> 11) * 2.0**-53).tolist()
        return self._uniforms[place]

    def _narrowed(self, allowed_V: Mask | None) -> Mask | None:
        """`allowed_V` but for what is not drawn at this count."""
        if self._without is None or self._without[0] != self.count:
            return allowed_V
        narrowed_V = np.ones(VOCAB_SIZE, np.bool_) if allowed_V is None else allowed_V.copy()
        narrowed_V[self._without[1]] = False
        return narrowed_V

    def _best(self, logits_V: Logits, allowed_V: Mask | None) -> int:
        if self._plain and allowed_V is None:
            best = int(logits_V.argmax())
            if best not in NEVER_DRAWN and math.isfinite(logits_V[best]):
                return best
        return int(self._adjusted(logits_V, allowed_V).argmax())

    def _weights(self, logits_V: Logits, allowed_V: Mask | None) -> Floats:
        """Chances before they are divided by their sum; the best has 1."""
        asked, weights_V = self.sampling, self._adjusted(logits_V, allowed_V)
        if 0 < asked.top_k < len(weights_V):
            weights_V[weights_V < np.partition(weights_V, -asked.top_k)[-asked.top_k]] = -np.inf
        weights_V -= weights_V[weights_V.argmax()]
        weights_V /= max(asked.temperature, _COLDEST)
        np.exp(weights_V, out=weights_V)
        if asked.top_p < 1.0:
            falling_V = np.sort(weights_V)[::-1]
            up_to_V = falling_V.cumsum()
            last = int(up_to_V.searchsorted(asked.top_p * up_to_V[-1]))  # the best byte always stays
            weights_V[weights_V < falling_V[min(last, len(falling_V) - 1)]] = 0.0
        if asked.min_p > 0.0:
            weights_V[weights_V < asked.min_p] = 0.0
        return weights_V

    def _adjusted(self, logits_V: Logits, allowed_V: Mask | None) -> Floats:
        """A copy of the logits in fp64 with penalties and bias, -inf for what may not be drawn."""
        adjusted_V = logits_V.astype(np.float64)
        penalty = self.sampling.repetition_penalty
        if penalty != 1.0 and self.recent:
            seen_S = np.fromiter(set(self.recent), np.intp)
            kept_S = adjusted_V[seen_S]
            adjusted_V[seen_S] = np.where(kept_S > 0, kept_S / penalty, kept_S * penalty)
        adjusted_V += self._offset_V
        if allowed_V is not None:
            adjusted_V[~allowed_V] = -np.inf
        if not math.isfinite(adjusted_V[adjusted_V.argmax()]):  # argmax finds NaN first
            raise _nothing_to_draw(allowed_V)
        return adjusted_V

    def _record(self, drawn: int) -> None:
        self.count += 1
        if drawn >= BOS:
            return
        self.recent.append(drawn)
        if self._counting:
            asked = self.sampling
            self._written[drawn] += 1
            penalty = asked.presence_penalty + asked.frequency_penalty * self._written[drawn]
            self._offset_V[drawn] = asked.logit_bias.get(drawn, 0.0) - penalty


def reported(logits_V: Logits, drawn: int, most: int) -> tuple[float, tuple[tuple[int, float], ...]]:
    """Natural logarithm of the softmax of `logits_V` (V,) at `drawn`, and of the `most` best ids, the best first."""
    logprobs_V = logits_V.astype(np.float64)
    logprobs_V -= logprobs_V[logprobs_V.argmax()]
    logprobs_V -= math.log(np.exp(logprobs_V).sum())
    best = np.argsort(-logprobs_V, kind="stable")[:most].tolist() if most else []
    return float(logprobs_V[drawn]), tuple((index, float(logprobs_V[index])) for index in best)


def _nothing_to_draw(allowed_V: Mask | None) -> AxlError:
    if allowed_V is not None and not (allowed_V & _DRAWABLE_V).any():
        return AxlError("the constraint permits no byte here, so the text cannot go on; loosen the schema or the pattern")
    return AxlError("the model's logits are not finite, so no byte can be drawn; train it again or take another checkpoint")

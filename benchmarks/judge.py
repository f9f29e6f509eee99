"""Stock llama.cpp as the judge of an exported file: what it gives the next byte, and what it writes.

It is the server inside xllamacpp, asked over its own port as anybody's would be.
"""

# Shape suffixes: V vocabulary.

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import VOCAB_SIZE


class Llama:
    """A GGUF in llama.cpp on one thread. Raises AxlError when xllamacpp or httpx are missing or the file does not load."""

    def __init__(self, path: Path, context: int = 2048) -> None:
        try:
            import httpx
            import xllamacpp
        except ImportError as error:
            raise AxlError(
                f"asking llama.cpp needs xllamacpp and httpx ({error}); run: pip install axl[bench,peers]"
            ) from error
        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
        settings.n_parallel, settings.n_ctx = 1, context
        settings.fit_params = settings.ui = False
        settings.verbosity = 0
        try:
            self._server = xllamacpp.Server(settings)
        except RuntimeError as error:
            raise AxlError(f"llama.cpp cannot load {path}; export it anew") from error
        self._http = httpx.Client(base_url=self._server.listening_address, timeout=60)

    def logprobs(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """Log-probabilities (V,) of the id after `ids`; a letter is drawn, as nothing is told of ends and half characters."""
        answer = self._ask(ids, 1, n_probs=VOCAB_SIZE, logit_bias=[[ord("a"), 1000]])
        out = np.full(VOCAB_SIZE, -math.inf)
        for one in answer["completion_probabilities"][0]["top_logprobs"]:
            out[one["id"]] = one["logprob"]
        return out

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        """The `count` likeliest ids one after the other."""
        answer = self._ask(ids, count, ignore_eos=True, return_tokens=True)
        return list(answer["tokens"])

    def text(self, prompt: str, count: int) -> str:
        """What follows a text, as a user types it."""
        return str(self._ask(prompt, count)["content"])

    def tokens(self, text: str) -> list[int]:
        """A text as it reaches the model."""
        answer = self._http.post("/tokenize", json={"content": text, "add_special": True, "parse_special": False})
        return list(answer.json()["tokens"])

    def detokenized(self, tokens: Sequence[int]) -> str:
        """And back."""
        return str(self._http.post("/detokenize", json={"tokens": list(tokens)}).json()["content"])

    def _ask(self, prompt: Any, count: int, **more: Any) -> dict[str, Any]:
        prompt = list(prompt) if not isinstance(prompt, str) else prompt
        body = {"prompt": prompt, "n_predict": count, "temperature": 0.0, "cache_prompt": True, "samplers": ["temperature"]}
        answer = self._http.post("/completion", json={**body, "repeat_penalty": 1.0, **more})
        if answer.status_code != 200:
            raise AxlError(f"llama.cpp refuses a request: {answer.text[:200]}")
        return answer.json()  # type: ignore[no-any-return]

"""Stock llama.cpp as a judge: probabilities of the next byte and greedy text, through the server inside xllamacpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from multiscale_transformer.model.vocabulary import VOCAB_SIZE


class Llama:
    """A GGUF in llama.cpp on one thread."""

    def __init__(self, path: Path, context: int = 2048) -> None:
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
        settings.n_parallel, settings.n_ctx = 1, context
        settings.fit_params = settings.ui = False
        settings.verbosity = 0
        self._server = xllamacpp.Server(settings)
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
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

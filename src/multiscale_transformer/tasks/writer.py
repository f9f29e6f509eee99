"""What skills write with: a model behind a prompt, held to a grammar where the answer has a form."""

from __future__ import annotations

from collections.abc import Sequence

from multiscale_transformer.engine.infill import continue_text
from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.engine.scheduler import Request, Scheduler
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.sampling import Sampling


class Writer:
    """A model and what it looks up in; several texts are written in one batch."""

    def __init__(self, scheduler: Scheduler, memory: CorpusMemory | None = None) -> None:
        self._scheduler, self._memory = scheduler, memory

    def write(
        self,
        prompt: str,
        seeds: Sequence[int],
        *,
        most: int,
        temperature: float = 0.8,
        stop: Sequence[str] = (),
        constraint: GrammarConstraint | None = None,
    ) -> list[str]:
        """What the model puts behind the end of a prompt, at most `most` bytes, once for each seed."""
        cursor = continue_text(prompt.encode(), self._scheduler.engine.config.max_seq_len)
        texts: dict[Request | ScoreRequest, str] = {}
        for seed in seeds:
            sampling = Sampling(
                max_new_tokens=most, temperature=temperature, seed=seed, stop=tuple(text.encode() for text in stop)
            )
            request = Request(cursor.ids, sampling, self._memory, constraint.copy() if constraint else None)
            texts[request] = ""
            self._scheduler.submit(request)
        while self._scheduler.busy:
            for answered, piece in self._scheduler.step():
                texts[answered] += piece.text
        return list(texts.values())

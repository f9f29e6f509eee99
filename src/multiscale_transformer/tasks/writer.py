"""What skills write with: a model behind a prompt, held to a grammar where the answer has a form."""

from __future__ import annotations

from collections.abc import Sequence

from multiscale_transformer.engine.continuations import log_probabilities
from multiscale_transformer.engine.infill import continue_text, fitted_fim_ids
from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.engine.scheduler import Request, Scheduler
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import EOS

LENGTH_POWER = 0.7  # of the length that a logarithm of a probability is divided by (Wu et al. 2016, arXiv 1609.08144)


class Writer:
    """A model and what it looks up in; several texts are written in one batch."""

    def __init__(self, scheduler: Scheduler, memory: CorpusMemory | None = None) -> None:
        self._scheduler, self._memory = scheduler, memory

    def write(
        self,
        prompt: str,
        seeds: Sequence[int],
        *,
        after: str = "",
        most: int,
        temperature: float = 0.8,
        stop: Sequence[str] = (),
        constraint: GrammarConstraint | None = None,
    ) -> list[str]:
        """What the model puts behind the end of a prompt, at most `most` bytes, once for each seed.

        With text `after` it fills the gap between the two.
        """
        ids = self._ids(prompt, after, most)
        texts: dict[Request | ScoreRequest, str] = {}
        for seed in seeds:
            sampling = Sampling(
                max_new_tokens=most, temperature=temperature, seed=seed, stop=tuple(text.encode() for text in stop)
            )
            request = Request(ids, sampling, self._memory, constraint.copy() if constraint else None)
            texts[request] = ""
            self._scheduler.submit(request)
        while self._scheduler.busy:
            for answered, piece in self._scheduler.step():
                texts[answered] += piece.text
        return list(texts.values())

    def candidates(
        self,
        prompt: str,
        samples: int,
        seed: int,
        *,
        after: str = "",
        most: int,
        temperature: float = 0.6,
        constraint: GrammarConstraint | None = None,
    ) -> list[str]:
        """Several texts that the model puts there: the greedy one first, the others drawn by the seeds behind `seed`."""
        greedy = self.write(prompt, [seed], after=after, most=most, temperature=0.0, constraint=constraint)
        seeds = range(seed + 1, seed + samples)
        return greedy + self.write(prompt, seeds, after=after, most=most, temperature=temperature, constraint=constraint)

    def log_probabilities(self, prompt: str, texts: Sequence[str], *, after: str = "", ended: bool = True) -> list[float]:
        """The natural logarithm of the probability that the model writes each text there and, with `ended`, nothing more."""
        continuations = [[*text.encode(), *([EOS] if ended else [])] for text in texts]
        longest, context = max(map(len, continuations), default=0), self._scheduler.engine.config.max_seq_len
        ids = self._ids(prompt, after, longest)
        return log_probabilities(self._scheduler.engine, ids[-max(1, context - longest) :], continuations, self._memory)

    def _ids(self, prompt: str, after: str, room: int) -> list[int]:
        """A prompt as ids, or two texts with a gap, cut so that there is room behind them in the model's window."""
        context = self._scheduler.engine.config.max_seq_len
        if not after:
            return continue_text(prompt.encode(), context).ids
        return fitted_fim_ids(prompt.encode(), after.encode(), max(context // 2, context - room))[0]

"""Incremental detokenizer: ids to text that is safe to show as it streams; stop strings are held back.

A UTF-8 character is never split, and what a stop string or a stop rule may still take away is held back until it cannot.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from multiscale_transformer.engine.stop_rules import NO_RULES, StopRules, StopState, second_choice
from multiscale_transformer.model.vocabulary import BOS, EOS

if TYPE_CHECKING:  # the compiled engine streams without PyTorch
    from multiscale_transformer.memory.lookup import CorpusMemory
    from multiscale_transformer.model.model import MultiScaleTransformer
    from multiscale_transformer.model.sampling import Sampling


class IncrementalDetokenizer:
    """Turns ids, one after the other, into text without the stop string; bytes that are not UTF-8 become U+FFFD.

    `stopped` says that a stop string has come (`stop_text`), or that one of `rules` has ended the text: what follows is not
    text any more.
    With `crlf` line ends are written as CRLF.
    """

    def __init__(self, stops: Sequence[bytes] = (), rules: StopRules = NO_RULES, *, crlf: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stops, self._rules, self._crlf = stops, StopState(rules), crlf
        self._held, self._shown = b"", 0
        self.stopped, self.stop_text = False, ""

    def push(self, drawn: int) -> str:
        """The text that is safe to show after one more id, often none. EOS and other marks have no text."""
        if drawn >= BOS or self.stopped:
            return ""
        self._held += bytes([drawn])
        ended = [stop for stop in self._stops if self._held.endswith(stop)]
        if ended:
            stop = max(ended, key=len)
            self._held = self._held.removesuffix(stop)
            self.stopped, self.stop_text = True, stop.decode("utf-8", "replace")
            return ""
        self.stopped = self._rules.feed(bytes([drawn])) is not None
        if self.stopped:
            return ""
        return self._show(min(len(self._held) - _possible_stop(self._held, self._stops), self._rules.safe - self._shown))

    def close(self, *, ended: bool) -> str:
        """What was held back. Of a text that a limit cut short an unfinished character is left away; where the model itself
        `ended` the text, it becomes U+FFFD."""
        text = self._show(max(0, min(len(self._held), self._rules.finish() - self._shown)))
        text += self._decoder.decode(b"", final=ended)
        self._decoder.reset()
        self._held = b""
        return text

    def _show(self, length: int) -> str:
        """The next bytes as text."""
        text = self._decoder.decode(self._held[:length])
        self._held, self._shown = self._held[length:], self._shown + length
        return text.replace("\r", "").replace("\n", "\r\n") if self._crlf else text


def stream_text(
    model: MultiScaleTransformer,
    prompt: Sequence[int],
    sampling: Sampling,
    memory: CorpusMemory | None = None,
    rules: StopRules = NO_RULES,
    *,
    crlf: bool = False,
) -> Iterator[str]:
    """Yield the new text of the reference path piece by piece, see `IncrementalDetokenizer`.

    Where `rules` leave nothing of a text it is written once more with another beginning.
    """
    without = None
    for _ in range(2 if begins_again(rules, sampling) else 1):
        stream, drawn, shown = IncrementalDetokenizer(sampling.stop, rules, crlf=crlf), list[int](), False
        for text in _stream_once(model, prompt, sampling, memory, stream, without, drawn):
            shown = True
            yield text
        ended = stream.stopped or drawn[-1:] == [EOS]
        without = second_choice(drawn)
        if shown or not ended or without is None:
            return


def begins_again(rules: StopRules, sampling: Sampling) -> bool:
    """Whether a text of which `rules` leave nothing is written once more: not where its log-probabilities were reported."""
    return rules.any and sampling.logprobs is None


def _stream_once(
    model: MultiScaleTransformer,
    prompt: Sequence[int],
    sampling: Sampling,
    memory: CorpusMemory | None,
    stream: IncrementalDetokenizer,
    without: tuple[int, int] | None,
    ids: list[int],
) -> Iterator[str]:
    """Yield the text of one try, never an empty one; what is drawn is put into `ids`."""
    from multiscale_transformer.memory.reader import MemoryReader
    from multiscale_transformer.model.generate import stream_ids

    ended = False
    reader = None if memory is None else MemoryReader(memory)
    for drawn in stream_ids(model, prompt, sampling, reader, without=without):
        ids.append(drawn)
        if ended := drawn == EOS:
            break
        text = stream.push(drawn)
        if text:
            yield text
        if ended := stream.stopped:
            break
    rest = stream.close(ended=ended)
    if rest:
        yield rest


def _possible_stop(held: bytes, stops: Sequence[bytes]) -> int:
    """Length of the longest end of `held` that begins a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for length in range(min(longest, len(held)), 0, -1):
        if any(stop.startswith(held[-length:]) for stop in stops):
            return length
    return 0

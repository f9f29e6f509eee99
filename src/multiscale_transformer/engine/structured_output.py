"""Structured output (constrained decoding): text that keeps to a JSON schema, a regular expression or a grammar, byte by byte.

The work is done by llguidance (MIT, an Earley parser over a lexer of derivatives), which is fast because a vocabulary of
bytes has nothing to walk through: a mask takes some microseconds. `allowed` goes to `Sampler.draw`, what was drawn to
`advance`. Text is UTF-8 throughout. llguidance is loaded on first use.
"""

# Shape suffixes: V vocabulary.

from __future__ import annotations

import functools
import json
import textwrap
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import BOS, EOS

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MAX_FORM = 64 << 10  # characters of a schema, pattern or grammar: compiling takes seconds for each megabyte
_SPACE = r" |(\r?\n){1,2}[ \t]{0,20}"  # between the parts of JSON, as llama.cpp has it: weak models write all they may


class GrammarConstraint:
    """What one text may be, and how much of it is written.

    It says what the form permits; the marks that `Sampler` never draws are not taken out. Where a form gets too complex for
    the library's limits while writing, `allowed` and `advance` raise AxlError.
    """

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @classmethod
    def json_schema(cls, schema: dict[str, Any]) -> GrammarConstraint:
        """JSON that fits `schema`. Raises AxlError for a schema that is wrong, that nothing fits or that is not supported."""
        library = _library()
        if not isinstance(schema, dict):
            raise AxlError(f"a JSON schema must be an object, not {type(schema).__name__}")
        try:
            text = json.dumps(schema, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise _refused("JSON schema", str(error)) from None
        _check_length("JSON schema", text)
        try:
            grammar = library.LLMatcher.grammar_from_json_schema(text, defaults={"whitespace_pattern": _SPACE})
        except ValueError as error:
            raise _refused("JSON schema", str(error)) from None
        return cls(_matcher("JSON schema", grammar))

    @classmethod
    def json_object(cls) -> GrammarConstraint:
        """Any JSON object."""
        return cls.json_schema({"type": "object"})

    @classmethod
    def regex(cls, pattern: str) -> GrammarConstraint:
        """Text that `pattern`, in the syntax of Rust's regex crate, matches as a whole. Raises AxlError for a bad pattern.

        There are no look-arounds, word boundaries or references back.
        """
        library = _library()
        _check_length("regular expression", pattern)
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:  # which the library would overlook
            raise _refused("regular expression", "a backslash stands at its end")
        return cls(_matcher("regular expression", library.LLMatcher.grammar_from_regex(pattern)))

    @classmethod
    def lark(cls, grammar: str) -> GrammarConstraint:
        """Text of a context-free `grammar` in llguidance's dialect of Lark. Raises AxlError for a bad one."""
        return cls(_matcher("grammar", _library().LLMatcher.grammar_from_lark(grammar)))

    @classmethod
    def gbnf(cls, grammar: str) -> GrammarConstraint:
        """Text of a `grammar` in llama.cpp's notation (GBNF). Raises AxlError for a bad one."""
        from llguidance.gbnf_to_lark import gbnf_to_lark

        _check_length("grammar", grammar)
        try:
            return cls.lark(gbnf_to_lark(grammar))
        except AxlError:
            raise
        except Exception as error:  # the library raises bare exceptions, and RecursionError where groups are deep
            raise _refused("grammar", str(error)) from None

    @property
    def ended(self) -> bool:
        """Whether the text is complete and nothing but EOS may follow."""
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which ids may come next, (V,); EOS exactly where the text may end."""
        allowed_V: npt.NDArray[np.bool_] = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8) != 0
        if self._matcher.is_error():
            raise _refused("constraint", self._matcher.get_error())
        return allowed_V

    def advance(self, drawn: int) -> None:
        """Go on behind the id `drawn`. Raises AxlError, and stays where it is, for one that `allowed` does not permit."""
        if (drawn == EOS and self.ended) or self._matcher.try_consume_tokens([drawn]) == 1:
            return
        if self._matcher.is_error():
            raise _refused("constraint", self._matcher.get_error())
        raise AxlError(f"the constraint does not permit id {drawn} here; draw one that `allowed` permits")

    def copy(self) -> GrammarConstraint:
        """The same constraint at the same place, to go on by itself; takes a few microseconds."""
        return GrammarConstraint(self._matcher.deep_copy())


def lark_string(text: str) -> str:
    """A text as a literal of a grammar in Lark."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return f'"{escaped}"'


class _Bytes:
    """The vocabulary in the words of llguidance: one byte a token, besides two that are no text."""

    bos_token_id = BOS
    eos_token_id = EOS
    special_token_ids = (BOS, EOS)
    tokens = (*(bytes([index]) for index in range(BOS)), b"<bos>", b"<eos>")

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


def _library() -> ModuleType:
    import llguidance

    return llguidance


@functools.cache
def _tokenizer() -> LLTokenizer:
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Bytes()), slices=[])


def _check_length(kind: str, text: str) -> None:
    if len(text) > MAX_FORM:
        raise _refused(kind, f"it has {len(text):,} characters, and the most are {MAX_FORM:,}")


def _matcher(kind: str, grammar: str) -> LLMatcher:
    """A matcher at the beginning of its text; the first mask shows whether any text fits."""
    from llguidance import LLMatcher

    matcher = LLMatcher(_tokenizer(), grammar, log_level=0)
    if matcher.is_error():
        raise _refused(kind, matcher.get_error())
    matcher.compute_logit_bias()
    if matcher.is_error():
        raise _refused(kind, "no text fits it")
    return matcher


def _refused(kind: str, report: str) -> AxlError:
    """One line from a report of many: the one that names the error, else the first."""
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    named = [line for line in lines if line.startswith("error: ")]
    reason = [*named, *lines, "it is too complex"][0]
    reason = textwrap.shorten(reason.removeprefix("error: "), 200, placeholder=" ...")
    return AxlError(f"the {kind} cannot be used: {reason}; correct or simplify it")

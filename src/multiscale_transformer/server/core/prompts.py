"""From the text of a request to the ids that a model reads.

Editors send fill-in-the-middle prompts as text with the marker words of some other model; `parse_fim` recognises them, so that
any template that an editor knows works. Long texts are cut to what the model and its memory can use; the prompt says by how
much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from multiscale_transformer.engine.infill import Gap, fill_gap, has_crlf
from multiscale_transformer.engine.stop_rules import NO_RULES, StopRules, rules_if
from multiscale_transformer.model.vocabulary import BOS, EOS

MAX_PROMPT_BYTES = 1 << 17  # bytes before the cursor that the memory reads; the net reads as many as its context holds

# Prefix, suffix and middle words of StarCoder, of Qwen and CodeGemma, of Code Llama and of DeepSeek.
FIM_TOKENS = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
)
FIM_TOKENS_SUFFIX_FIRST = ("[SUFFIX]", "[PREFIX]")  # of Codestral
FIM_STOPS = ("<fim_", "<|fim_", "<|endoftext|>", "<file_sep>")  # some editors' templates make models write one after the middle


@dataclass(frozen=True)
class Prompt:
    """Ids to continue, the bytes before them for finding sources, how many bytes the net does not see, and if it is FIM.

    `rules` end the completion, and with `crlf` its lines end with CRLF.
    """

    ids: list[int]
    before: bytes
    truncated: int
    fim: bool = False
    rules: StopRules = NO_RULES
    crlf: bool = False
    gap: Gap | None = None

    def with_stop_rules(self, wanted: bool | None) -> Prompt:
        """The same without stop rules, or with those of a text that nothing follows; None leaves it as it is."""
        rules = rules_if(wanted, self.rules, self.before)
        return self if rules is self.rules else replace(self, rules=rules)


def text_prompt(text: str, context: int) -> Prompt:
    """A text to continue or, where it begins with an editor's FIM token, a prefix and a suffix to fill in between."""
    fim = parse_fim(text)
    if fim is not None:
        return fim_prompt(*fim, context)
    return plain_prompt(text.encode("utf-8", "surrogatepass"), context)


def plain_prompt(raw: bytes, context: int) -> Prompt:
    """Bytes to continue."""
    return Prompt([BOS, *raw[-MAX_PROMPT_BYTES:]], raw[-MAX_PROMPT_BYTES:], max(0, len(raw) + 1 - context))


def fim_prompt(prefix: str, suffix: str, context: int, *, min_indent: int = 0) -> Prompt:
    """Fill in the middle between two texts; no line of it is indented less than `min_indent` columns."""
    before, after = (text.encode("utf-8", "surrogatepass") for text in (prefix, suffix))
    cursor = fill_gap(before, after, context, min_indent=min_indent)
    return Prompt(cursor.ids, before[-MAX_PROMPT_BYTES:], cursor.truncated, True, cursor.rules, cursor.crlf, cursor.gap)


def id_prompt(ids: list[int], context: int) -> Prompt:
    """Ids as they are, behind BOS; EOS before a text (as evaluation harnesses send it) is a beginning too."""
    text = ids[1:] if ids[:1] in ([BOS], [EOS]) else ids
    read = text[-MAX_PROMPT_BYTES:]
    return Prompt([BOS, *read], bytes(i for i in read if i < BOS), max(0, len(text) + 1 - context))


def with_crlf(prompt: Prompt) -> Prompt:
    """The same prompt with plain line ends, as models read texts, where most of its lines end with CRLF: so will the answer.

    Ids that are not just a text stay as they are.
    """
    if prompt.crlf or not has_crlf(prompt.before) or prompt.ids != [BOS, *prompt.before]:
        return prompt
    raw = prompt.before.replace(b"\r\n", b"\n")
    return replace(prompt, ids=[BOS, *raw], before=raw, crlf=True)


def any_prompt(given: str | list[int], context: int) -> Prompt:
    """A text or ids, for routes that take both."""
    return text_prompt(given, context) if isinstance(given, str) else id_prompt(given, context)


def literal_prompt(given: str | list[int], context: int) -> Prompt:
    """A text or ids to be scored, echoed or embedded: FIM tokens in it are text."""
    if isinstance(given, list):
        return id_prompt(given, context)
    return plain_prompt(given.encode("utf-8", "replace"), context)


def byte_count(given: str | list[int]) -> int:
    """Bytes of a text or ids."""
    return len(given.encode("utf-8", "replace")) if isinstance(given, str) else len(given)


def parse_fim(text: str) -> tuple[str, str] | None:
    """Prefix and suffix of a text that begins with an editor's FIM token; elsewhere such tokens are text like any other."""
    for tokens in FIM_TOKENS:
        parts = _split(text, tokens)
        if parts is not None:
            return parts[0], parts[1]
    parts = _split(text, FIM_TOKENS_SUFFIX_FIRST)
    return (parts[1], parts[0]) if parts is not None else None


def _split(text: str, tokens: Sequence[str]) -> list[str] | None:
    """What stands between these tokens, in this order, and, after two of them, to the end of the text."""
    if not text.startswith(tokens[0]):
        return None
    spans, at = [], 0
    for token in tokens:
        begin = text.find(token, at)
        if begin < 0:
            return None
        at = begin + len(token)
        spans.append((begin, at))
    ends = [begin for begin, _ in spans[1:]] + ([len(text)] if len(tokens) == 2 else [])
    return [text[after:end] for (_, after), end in zip(spans, ends, strict=False)]

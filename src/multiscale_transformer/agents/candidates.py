"""Values that an argument may have, by its schema, each with what speaks for it (`agents.arguments` decides).

A value is a piece of the request (`agents.spans`), one of those that the schema lists, or nothing, where it is optional. What
speaks for a piece: its kind, the words around it, how near the parameter's own words stand, and whether it looks like the
examples in the parameter's description.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from multiscale_transformer.agents.lexical import Features
from multiscale_transformer.agents.spans import Span, Token, dates_in, numbers_in, texts_in, times_in, tokens_of
from multiscale_transformer.agents.tool_schema import NUMERIC, Parameter, Tool, all_parameters, type_of
from multiscale_transformer.agents.words import STOP, words

MAX_LIST = 12  # items of a list that is copied
_EXAMPLE = re.compile(
    r"['\"“`]([^'\"”`]{1,60})['\"”`]"
    r"|(?:e\.g\.,?|such as|like|example:?|format:?|in the form(?: of)?)\s+([\w/:., -]{2,40}?)(?=[;.)]|$)",
    re.I,
)
_BETWEEN = re.compile(r"[\s,;'\"\[\](){}$€£°]*(?:and|or|&|to|,|by|x)?[\s,;'\"\[\](){}$€£°]*", re.IGNORECASE)
_NEGATION = re.compile(r"\b(?:not?|don't|without|exclude|excluding|disable|off|false|never|non|isn't|doesn't|unless)\b", re.I)


@dataclass(frozen=True)
class Candidate:
    """A value with the piece of the request it was copied from, if any; `left_out` is no value at all."""

    value: Any
    kind: str
    span: Span | None = None
    left_out: bool = False


@dataclass(frozen=True)
class Asked:
    """A request as values are copied from it; everything is looked for once."""

    text: str

    @cached_property
    def tokens(self) -> list[Token]:
        """Its words."""
        return tokens_of(self.text)

    @cached_property
    def stems(self) -> list[str]:
        """For each word its stems, as one text."""
        return [" ".join(words(token.text)) for token in self.tokens]

    @cached_property
    def numbers(self) -> list[Span]:
        """Numbers."""
        return numbers_in(self.text)

    @cached_property
    def texts(self) -> list[Span]:
        """Pieces of text."""
        return texts_in(self.text)

    @cached_property
    def dates(self) -> list[tuple[Span, date | tuple[int, int]]]:
        """Dates."""
        return dates_in(self.text)

    @cached_property
    def times(self) -> list[tuple[Span, str]]:
        """Times of the day."""
        return times_in(self.text)

    def place(self, span: Span) -> tuple[int, int]:
        """The first and the last word of a piece, by number."""
        inside = [number for number, token in enumerate(self.tokens) if token.begin < span.end and span.begin < token.end]
        return (inside[0], inside[-1]) if inside else (len(self.tokens), len(self.tokens))


@dataclass(frozen=True)
class Wanted:
    """A parameter beside the others of its tool."""

    tool: Tool
    parameter: Parameter

    @cached_property
    def kind(self) -> str:
        """Its type."""
        return type_of(self.parameter.schema)

    @cached_property
    def head(self) -> str:
        """What its name ends with: `city` of `departure_city`."""
        return (words(self.parameter.name) or [self.parameter.name.lower()])[-1]

    @cached_property
    def name(self) -> frozenset[str]:
        """The stems of its name."""
        return frozenset(words(self.parameter.name))

    @cached_property
    def described(self) -> frozenset[str]:
        """The stems of its description that few others of the tool share."""
        others = [
            set(words(one.description)) for one in all_parameters(self.tool.parameters) if one.name != self.parameter.name
        ]
        return frozenset(
            word for word in words(self.parameter.description) if sum(word in one for one in others) <= len(others) / 3
        )

    @cached_property
    def about_tool(self) -> frozenset[str]:
        """The stems of the tool's name and description."""
        return frozenset(words(f"{self.tool.name} {self.tool.description}"))

    @cached_property
    def examples(self) -> list[str]:
        """Examples in its description."""
        return [(one or other).strip() for one, other in _EXAMPLE.findall(self.parameter.description)]

    @cached_property
    def shapes(self) -> frozenset[str]:
        """What the examples look like."""
        return frozenset(map(_shape, self.examples))

    @cached_property
    def rank(self) -> int:
        """How many numeric parameters come before it."""
        names = [one.name for one in all_parameters(self.tool.parameters) if type_of(one.schema) in NUMERIC]
        return names.index(self.parameter.name) if self.parameter.name in names else 0


def candidates(asked: Asked, wanted: Wanted) -> list[Candidate]:
    """Every value that the parameter may have, and nothing where it is optional. Objects are not filled in here."""
    schema = wanted.parameter.schema
    found = [] if wanted.parameter.required else [Candidate(None, "left out", left_out=True)]
    if isinstance(schema.get("enum"), list):
        found += [Candidate(value, "listed") for value in schema["enum"] if value is not None]
    elif wanted.kind == "boolean":
        found += [Candidate(value, f"{value}") for value in (True, False)]
    elif wanted.kind in NUMERIC:
        found += list(_numeric(asked, wanted.kind))
    elif wanted.kind == "array":
        items = schema.get("items")
        found += list(_lists(asked, items if isinstance(items, dict) else {}))
    elif wanted.kind == "string":
        found += list(_strings(asked, wanted))
    if "default" in schema and wanted.kind != "object" and wanted.parameter.required and schema["default"] is not None:
        found.append(Candidate(schema["default"], "default"))
    return found


def _numeric(asked: Asked, kind: str) -> Iterator[Candidate]:
    for span in asked.numbers:
        if kind == "number":
            yield Candidate(float(span.value), span.kind, span)
        elif float(span.value).is_integer():
            yield Candidate(int(span.value), span.kind, span)


def _strings(asked: Asked, wanted: Wanted) -> Iterator[Candidate]:
    for span in asked.texts:
        yield Candidate(span.value, span.kind, span)
    for span in asked.numbers:
        if span.kind == "number":
            yield Candidate(asked.text[span.begin : span.end].strip(" $€£"), "number as text", span)
    for span, day in asked.dates:
        if not isinstance(day, tuple):
            patterns = _date_patterns(wanted.parameter.description)
            yield from (Candidate(day.strftime(pattern), "date in the format", span) for pattern in patterns)
    for span, time in asked.times:
        yield Candidate(time, "time in 24 hours", span)


def _date_patterns(description: str) -> list[str]:
    """Patterns of dates that a description asks for: that of ISO 8601 where it asks for none."""
    known = {
        "YYYY-MM-DD": "%Y-%m-%d",
        "MM/DD/YYYY": "%m/%d/%Y",
        "DD/MM/YYYY": "%d/%m/%Y",
        "MM-DD-YYYY": "%m-%d-%Y",
        "DD-MM-YYYY": "%d-%m-%Y",
    }
    found = [pattern for written, pattern in known.items() if written in description.upper()]
    return found or ["%Y-%m-%d"]


def _lists(asked: Asked, items: dict[str, Any]) -> Iterator[Candidate]:
    """Lists of values that stand together, the longest first; those of listed values are all that the request mentions."""
    kind = type_of(items)
    if isinstance(items.get("enum"), list):
        low = asked.text.lower()
        mentioned = sorted((low.find(str(value).lower()), value) for value in items["enum"] if str(value).lower() in low)
        yield Candidate([value for _, value in mentioned], "mentioned") if mentioned else Candidate([], "empty")
        return
    pieces: list[Span]
    if kind in NUMERIC:
        pieces = [span for span in asked.numbers if span.kind in ("number", "number word")]
        pieces = [
            Span(s.begin, s.end, float(s.value) if kind == "number" else int(s.value), s.kind)
            for s in pieces
            if kind == "number" or float(s.value).is_integer()
        ]
    elif kind == "string":
        pieces = [span for span in asked.texts if span.kind != "rest"]
    else:
        return
    for name in ("number", "quoted", "name", "code", "words"):
        of_kind = sorted((span for span in pieces if span.kind.startswith(name)), key=lambda span: (span.begin, -span.end))
        for run in _together(asked.text, of_kind):
            for first in range(len(run) if len(run) <= MAX_LIST // 2 else 1):
                part = run[first:]
                yield Candidate([span.value for span in part], f"list of {name}", Span(part[0].begin, part[-1].end, "", name))
        if name == "number" and len(of_kind) > 1:
            yield Candidate([span.value for span in of_kind], "all numbers", Span(of_kind[0].begin, of_kind[-1].end, "", name))
    for span in pieces if kind == "string" else ():
        yield Candidate([span.value], f"one {span.kind}", span)


def _together(text: str, spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Runs of pieces with nothing but commas, brackets and "and" between them."""
    run: list[Span] = []
    for span in spans:
        if run and span.begin < run[-1].end:
            continue
        between = text[run[-1].end : span.begin] if run else ""
        if run and _BETWEEN.fullmatch(between) and between.strip(" \"'"):
            run.append(span)
        else:
            yield from [run] if run else []
            run = [span]
    yield from [run] if run else []


def features(asked: Asked, wanted: Wanted, candidate: Candidate) -> Features:
    """What speaks for a value of the parameter."""
    kind, head, needed = wanted.kind, wanted.head, "required" if wanted.parameter.required else "optional"
    found = {f"{kind}: {candidate.kind}": 1.0, f"{head}: {candidate.kind}": 1.0, f"{needed}: {candidate.kind}": 1.0}
    if "default" in wanted.parameter.schema and candidate.value == wanted.parameter.schema["default"]:
        found["default"] = 1.0
    stems = {word for text in asked.stems for word in text.split()}
    if candidate.left_out or candidate.span is None:
        share = len(wanted.name & stems) / max(1, len(wanted.name))
        found[f"named, {candidate.kind}, {kind}"] = share
        found[f"described, {candidate.kind}, {kind}"] = len(wanted.described & stems) / max(
            1.0, math.sqrt(len(wanted.described))
        )
        if candidate.kind in ("listed", "default"):
            found |= _listed_features(asked, wanted, str(candidate.value))
        if kind == "boolean":
            found[f"negation, {candidate.kind}"] = float(bool(_NEGATION.search(asked.text)))
            found[f"default {wanted.parameter.schema.get('default')}, {candidate.kind}"] = 1.0
        return found
    return found | _span_features(asked, wanted, candidate, candidate.span)


def _listed_features(asked: Asked, wanted: Wanted, value: str) -> Features:
    """Whether a listed value is said in the request."""
    plain, low = value.lower().replace("_", " ").replace("-", " "), asked.text.lower().replace("-", " ")
    have, stems = set(words(value)), {word for text in asked.stems for word in text.split()}
    found = {
        "listed, whole": float(bool(re.search(rf"(?<!\w){re.escape(plain)}(?!\w)", low))),
        "listed, short": float(len(plain) < 3),
        "listed, words": len(have & stems) / max(1, len(have)),
        "listed, begins": float(len(plain) > 3 and any(len(t.low) > 3 and (plain.startswith(t.low[:4])) for t in asked.tokens)),
    }
    near = re.search(rf"'{re.escape(value)}'\s*(?:\(|for|:|-|means|is)\s*([^'.;,)]+)", wanted.parameter.description)
    if near:
        found["listed, described"] = float(len(set(words(near.group(1))) & stems))
    return found


def _span_features(asked: Asked, wanted: Wanted, candidate: Candidate, span: Span) -> Features:
    first, last = asked.place(span)
    tokens, head = asked.tokens, wanted.head
    text = asked.text[span.begin : span.end]
    before = tokens[first - 1] if 0 < first <= len(tokens) else None
    after = tokens[last + 1] if last + 1 < len(tokens) else None
    ends = after is None or tokens[last].ends_phrase
    behind, ahead = before.low if before else "-", "-" if ends or after is None else after.low
    inside = {word for text in asked.stems[first : last + 1] for word in text.split()}
    group = "number" if wanted.kind in NUMERIC else candidate.kind if candidate.kind in ("rest", "date", "quoted") else "text"
    found = {
        f"{group} behind {behind}": 1.0,
        f"{head} behind {behind}": 1.0,
        f"{group} ahead of {ahead}": 1.0,
        f"{head} ahead of {ahead}": 1.0,
        f"{group}, words": math.log1p(last - first),
        f"{group}, begins after a stop word": float(before is None or before.ends_phrase or before.low in STOP),
        f"{group}, ends a phrase": float(ends or ahead in STOP),
        f"{group}, begins the request": float(first == 0),
        f"{group}, capitals": sum(t.text[:1].isupper() for t in tokens[first : last + 1]) / max(1, last - first + 1),
        f"{group}, within capitals": float(bool(before and before.text[:1].isupper() and not before.ends_phrase and first > 1)),
        f"{group}, before capitals": float(bool(not ends and after and after.text[:1].isupper())),
        f"{group}, digits": float(any(c.isdigit() for c in text)),
        f"{group}, its name within": len(inside & wanted.name) / max(1, len(inside)),
        f"{group}, its description within": len(inside & wanted.described) / max(1, len(inside)),
        f"{group}, the tool within": len(inside & wanted.about_tool) / max(1, len(inside)),
        f"{group}, like an example": float(_shape(text) in wanted.shapes),
        f"{group}, examples and not like one": float(bool(wanted.shapes) and _shape(text) not in wanted.shapes),
        f"{group}, place": span.begin / max(1, len(asked.text)),
    }
    for name, own in (("its name", wanted.name), ("its description", wanted.described)):
        ahead_of, behind_it = _distances(asked.stems, own, first, last)
        found[f"{group}, {name} ahead"], found[f"{group}, {name} behind"] = 1 / ahead_of, 1 / behind_it
    if wanted.kind in NUMERIC:
        others = [one for one in asked.numbers if one.kind == span.kind]
        rank = others.index(span) if span in others else 0
        found[f"number, {min(3, abs(rank - wanted.rank))} off in order"] = 1.0
        found["number, the only one"] = float(len(others) == 1)
    if wanted.kind == "array":
        found["list, items"] = math.log(len(candidate.value) or 1)
        found["list, numbers"] = float(len(candidate.value) > 1)
    return found


def _distances(stems: Sequence[str], own: frozenset[str], first: int, last: int) -> tuple[float, float]:
    """How many words before and behind a piece the next of some stems stands; infinity where none does."""
    before = next((first - k for k in range(first - 1, max(-1, first - 12), -1) if own & set(stems[k].split())), math.inf)
    behind = next((k - last for k in range(last + 1, min(len(stems), last + 8)) if own & set(stems[k].split())), math.inf)
    return before, behind


def _shape(text: str) -> str:
    """Capitals, small letters and digits as A, a and 0, each run once; at most so many words count."""
    plain = re.sub(r"[^\W\d_a-z]+", "A", text)
    plain = re.sub(r"[a-z]+", "a", plain)
    return re.sub(r"\d+", "0", re.sub(r"(?:Aa|A)", "A", plain))[:12]

"""What speaks for a tool in the words of a request: features that a learned sum decides by (`agents.router`).

A tool is five fields of words: its name, its description, the names of its parameters, what is said of them, and the values
they may have. Words count by how few of the given tools have them. Beside words: whether the request's verbs are those of the
tool's name, and whether it holds the numbers, dates and values that a call would need.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from multiscale_transformer.agents.marks import prose
from multiscale_transformer.agents.tool_schema import NUMERIC, Parameter, Tool, all_parameters, type_of
from multiscale_transformer.agents.words import is_latin, verb_classes, words

Features = dict[str, float]

FIELDS = ("name", "description", "parameter names", "parameters", "values")
GRAM = 4  # letters of the parts of words that are compared beside whole words
MAX_TOOL_TEXT = 4000  # bytes of a description that are read
NUMBER = re.compile(r"(?<![\w.])[-+]?\$?\d[\d,]*(?:\.\d+)?")
DATE = re.compile(
    r"\b\d{4}-\d\d|\d/\d|\b(?:(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|today|tomorrow|tonight|yesterday|next (?:week|month|year))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ToolWords:
    """A tool as words."""

    tool: Tool

    @cached_property
    def parameters(self) -> list[Parameter]:
        """All parameters, those within others too."""
        return list(all_parameters(self.tool.parameters))

    @cached_property
    def fields(self) -> dict[str, list[str]]:
        """The stems of each field."""
        texts = {
            "name": self.tool.name,
            "description": self.tool.description[:MAX_TOOL_TEXT],
            "parameter names": " ".join(one.name for one in self.parameters),
            "parameters": " ".join(one.description for one in self.parameters)[:MAX_TOOL_TEXT],
            "values": " ".join(
                _texts([*(one.choices for one in self.parameters), *(one.schema.get("default") for one in self.parameters)])
            ),
        }
        return {field: words(text) for field, text in texts.items()}

    @cached_property
    def sets(self) -> dict[str, frozenset[str]]:
        """The stems of each field, each once."""
        return {field: frozenset(stems) for field, stems in self.fields.items()}

    @cached_property
    def all(self) -> frozenset[str]:
        """All stems."""
        return frozenset().union(*self.sets.values())

    @cached_property
    def required(self) -> list[Parameter]:
        """The parameters that a call needs."""
        return [one for one in self.parameters if one.required]


@dataclass(frozen=True)
class RequestWords:
    """A request as words, and the numbers and dates in it."""

    text: str

    @cached_property
    def stems(self) -> list[str]:
        """The stems of its prose in their order, each once."""
        return list(dict.fromkeys(words(prose(self.text))))

    @cached_property
    def verbs(self) -> frozenset[str]:
        """Classes of its verbs."""
        return frozenset(verb_classes(self.stems))

    @cached_property
    def first_verbs(self) -> frozenset[str]:
        """Classes of the verbs among its first three words, where requests say what is to be done."""
        return frozenset(verb_classes(self.stems[:3]))

    @cached_property
    def nouns(self) -> list[str]:
        """The stems that belong to no class of verbs."""
        return [word for word in self.stems if not verb_classes([word])]

    @cached_property
    def numbers(self) -> int:
        """How many numbers stand in it."""
        return len(NUMBER.findall(self.text))

    @cached_property
    def dates(self) -> int:
        """How many dates or days stand in it."""
        return len(DATE.findall(self.text))


def choice_features(request: RequestWords, tools: Sequence[ToolWords]) -> list[Features]:
    """Features of each tool as the one that is asked for, beside the others."""
    whole, by_field = _rarity([one.all for one in tools]), {name: _rarity([one.sets[name] for one in tools]) for name in FIELDS}
    parts = [_grams(one.sets["name"] | one.sets["description"] | one.sets["parameter names"]) for one in tools]
    gram_rarity, asked = _rarity(parts), _grams(request.stems)
    found = []
    for tool, grams in zip(tools, parts, strict=True):
        features = {"all": _sum(whole, request.stems, tool.all), "size": math.log1p(len(tool.all))}
        for name in FIELDS:
            rarity, stems = by_field[name], tool.sets[name]
            features[name] = _sum(rarity, request.stems, stems)
            features[f"{name}, share"] = features[name] / (sum(rarity[word] for word in stems) or 1.0)
        for name in ("name", "description"):
            features[f"{name}, rarest"] = max(
                (by_field[name][word] for word in request.stems if word in tool.sets[name]), default=0.0
            )
        features["name, hits"] = _share(tool.sets["name"], request.stems)
        features["pairs"] = float(len(_pairs(request.stems) & _tool_pairs(tool)))
        features["grams"] = sum(gram_rarity[gram] for gram in asked & grams) / 10
        found.append(features | _verb_features(request, tool) | _value_features(request, tool))
    return found


def decision_features(request: RequestWords, tool: ToolWords, scores: Sequence[float], own: Mapping[str, float]) -> Features:
    """Features of the best tool as one that is meant at all.

    `own` are those it was chosen by, and `scores` the scores of all tools.
    """
    stems, named = request.stems, tool.sets["name"]
    best, *others = sorted(scores, reverse=True)
    nouns = [word for word in named if not verb_classes([word])]
    features = {
        "bias": 1.0,
        "one": float(not others),
        "tools": math.log(len(scores)),
        "score": best / 5,
        "margin": min(5.0, best - others[0]) if others else 0.0,
        "probability": 1 / sum(math.exp(score - best) for score in scores) if others else 0.0,
        "covered": _share(stems, tool.all),
        "covered by name and description": _share(stems, named | tool.sets["description"]),
        "covered by name": _share(stems, named),
        "name asked": _share(named, stems),
        "nouns asked": _share(nouns, stems) if nouns else 0.5,
        "no noun asked": float(bool(nouns) and not set(nouns) & set(stems)),
        "no noun described": float(not set(request.nouns) & tool.sets["description"]),
        "grams covered": _share(_grams(request.nouns), _grams(tool.all)),
        "words": math.log1p(len(stems)),
        "hardly a word": float(len(stems) < 2),
        "latin": float(is_latin(request.text)),
    }
    for name in FIELDS:
        features[f"hits, {name}"] = math.log1p(sum(word in tool.sets[name] for word in stems))
        features[f"nouns, {name}"] = math.log1p(sum(word in tool.sets[name] for word in request.nouns))
    copied = {"size", "pairs", "grams", "name, rarest", "description, rarest", "no verb of the name", "required"}
    kept = {name: value for name, value in own.items() if name in copied or name.partition(":")[0] in ("verb", "value", "tool")}
    return features | kept


def _verb_features(request: RequestWords, tool: ToolWords) -> Features:
    named, described = verb_classes(tool.fields["name"]), verb_classes(tool.fields["description"][:6])
    features = {
        "verbs in the name": float(len(request.verbs & named)),
        "verbs in the description": float(len(request.verbs & described)),
        "no verb of the name": float(bool(named) and not named & request.verbs),
    }
    for asked in request.first_verbs or {"-"}:
        for does in named or {"-"}:
            features[f"verb: {asked} asked, {does} named"] = 1.0
    return features


def _value_features(request: RequestWords, tool: ToolWords) -> Features:
    """Whether the request holds what a call needs, and what no parameter takes."""
    text = request.text.lower()
    numeric = sum(type_of(one.schema) in NUMERIC for one in tool.required)
    listed = [[str(value).lower().replace("_", " ") for value in one.choices] for one in tool.required if one.choices]
    values = {str(value).lower().replace("_", " ") for one in tool.parameters for value in one.choices if len(str(value)) > 2}
    return {
        "required": len(tool.required) / 3,
        "value: numbers lacking": max(0, numeric - request.numbers) / max(1, numeric),
        "value: numbers not taken": float(request.numbers > 0 and not any(map(_takes_numbers, tool.parameters))),
        "value: date lacking": float(not request.dates and any(map(_is_date, tool.required))),
        "value: date not taken": float(request.dates > 0 and not any(map(_may_be_date, tool.parameters))),
        "value: listed": float(any(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) for value in values)),
        "value: none of the listed": float(any(not any(value in text for value in choices) for choices in listed)),
        "value: named": float(tool.tool.name.lower() in text),
    }


def _takes_numbers(parameter: Parameter) -> bool:
    return type_of(parameter.schema) in (*NUMERIC, "array")


def _is_date(parameter: Parameter) -> bool:
    return "date" in parameter.name.lower() or "YYYY" in parameter.description


def _may_be_date(parameter: Parameter) -> bool:
    return _is_date(parameter) or bool({"day", "dai", "time", "year", "month"} & set(words(parameter.name)))


def _rarity(sets: Sequence[Set[str]]) -> _ByWord:
    """How much a word tells: ln(1 + tools / tools that have it); 0 for one that none has."""
    have = Counter(word for one in sets for word in one)
    return _ByWord({word: math.log(1 + len(sets) / times) for word, times in have.items()})


class _ByWord(dict[str, float]):
    """Numbers by word, 0 for words that are not in it."""

    def __missing__(self, key: str) -> float:
        return 0.0


def _sum(rarity: _ByWord, stems: Iterable[str], among: Set[str]) -> float:
    return sum(rarity[word] for word in stems if word in among)


def _share(of: Iterable[str], among: Iterable[str]) -> float:
    members, all_of = set(among), set(of)
    return len(all_of & members) / max(1, len(all_of))


def _grams(stems: Iterable[str]) -> set[str]:
    return {word[at : at + GRAM] for word in stems for at in range(max(1, len(word) - GRAM + 1))}


def _pairs(stems: Sequence[str]) -> set[tuple[str, str]]:
    return set(pairwise(stems))


def _tool_pairs(tool: ToolWords) -> set[tuple[str, str]]:
    return _pairs(tool.fields["name"]) | _pairs(tool.fields["description"]) | _pairs(tool.fields["parameter names"])


def _texts(value: object) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [text for one in value for text in _texts(one)]
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    return [] if value is None else [str(value)]

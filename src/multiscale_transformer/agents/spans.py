"""What in a request may be the value of an argument: pieces of its text, with what they are.

Numbers in digits and in words, dates, paths and addresses, what is quoted, names in capitals, and runs of words. Nothing else
is ever an argument's text, so a call says nothing that the request does not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice

from multiscale_transformer.agents.words import STOP

MAX_TOKENS = 300  # of a request
MAX_RUN = 7  # words of a run
MAX_OF_KIND, MAX_RESTS, MAX_NUMBERS = 800, 80, 100  # pieces that are looked at
MAX_CODE = 200  # characters of a name or path
MAX_DIGITS = 30
UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
         "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
WORDS = (
    {word: value for value, word in enumerate(UNITS)}
    | {word: 20 + 10 * value for value, word in enumerate(TENS)}
    | {"hundred": 100, "dozen": 12, "couple": 2, "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "tenth": 10}
)
SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "billion": 1e9, "hundred": 1e2, "dozen": 12}
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
_TOKEN = re.compile(r"\S+")
_QUOTED = re.compile(r"`{1,3}([^`]+)`{1,3}|\"([^\"\n]+)\"|“([^”]+)”|(?<!\w)'((?:[^'\n]|'(?=\w))+)'(?!\w)|(?<!\w)‘([^’]+)’")
_NUMBER = re.compile(
    r"(?<![\w.])([-+]?)[$€£]?(\d{1,3}(?:,\d{3})+(?!,?\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(%|[kmb]\b|\s?(?:percent|thousand|million|billion|hundred|dozen)\b)?",
    re.IGNORECASE,
)
_LIST = re.compile(r"\[[^\]]*\]")
_NUMBER_IN_WORD = re.compile(r"(?<=[A-Za-z:#(\[=])-?\d+(?:\.\d+)?")
_CODE = re.compile(
    r"[\w~.+-]+/|[\w~.+-]*[/\\@][\w./\\@:?=&%+~-]*\w/?|\w[\w-]*\.(?:\w+\.)*\w+|\w*_\w+|\w+\(\)"
    r"|[a-z]+[A-Z]\w*|\w*\d\w*[A-Za-z]\w*|[A-Za-z]+\d[\w-]*"
)
_PATH = re.compile(r"[/\\\\]|\.[a-z]{1,4}$")
_PLACE = re.compile(r"([\w./~-]+\.\w+):\d+")  # a line of a file
_MONTH = "|".join(f"{month}|{month[:3]}|{month[:4]}" for month in MONTHS)
_DATES = (
    re.compile(r"\b(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})\b"),
    re.compile(r"\b(?P<m>\d{1,2})[-/.](?P<d>\d{1,2})[-/.](?P<y>\d{4})\b"),
    re.compile(rf"\b(?P<n>{_MONTH})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?(?:\s+(?:of\s+)?(?P<y>\d{{4}}))?\b", re.I),
    re.compile(
        rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:day\s+)?(?:of\s+)?(?P<n>{_MONTH})\b\.?,?(?:\s+(?:of\s+)?(?P<y>\d{{4}}))?",
        re.I,
    ),
)
_TIMES = re.compile(
    r"\b(?P<h>\d{1,2})(?::(?P<min>\d\d))?\s*(?P<ap>[ap])\.?m\b\.?|\b(?P<h24>\d{1,2}):(?P<m24>\d\d)(?::\d\d)?\b", re.I
)
_EDGES = " \t\r\n.,;:!?()[]{}<>\"'`“”‘’"
_JOINERS = {"of", "the", "and", "de", "la", "du", "for", "von", "in", "on", "to", "&"}


@dataclass(frozen=True)
class Span:
    """A piece of a request: where it stands, the value, and what kind of a piece it is."""

    begin: int
    end: int
    value: str | int | float
    kind: str

    def overlaps(self, other: Span) -> bool:
        """Whether a byte belongs to both."""
        return self.begin < other.end and other.begin < self.end


@dataclass(frozen=True)
class Token:
    """A word of a request, without the signs around it."""

    begin: int
    end: int
    text: str
    ends_phrase: bool  # a comma, a stop or a bracket stands behind it

    @property
    def low(self) -> str:
        """In small letters."""
        return self.text.lower()


def tokens_of(text: str) -> list[Token]:
    """The words of a text."""
    found = []
    for match in _TOKEN.finditer(text):
        raw = match.group()
        bare = raw.strip(_EDGES) or raw
        begin = match.start() + raw.find(bare)
        bare = re.sub(r"['’]s$", "", bare) or bare
        found.append(Token(begin, begin + len(bare), bare, raw[-1] in ".,;:!?)]}"))
        if len(found) == MAX_TOKENS:
            break
    return found


def numbers_in(text: str) -> list[Span]:
    """Numbers in the order in which they stand, in digits or in words; shares of a hundred also as fractions."""
    found: list[Span] = []
    text = _LIST.sub(lambda match: match.group().replace(",", ";"), text)  # no thousands within brackets
    for match in _NUMBER.finditer(text):
        sign, digits, scale = match.groups()
        value = _number(digits.replace(",", "")) * (-1 if sign == "-" else 1)
        scale = (scale or "").strip().lower()
        if scale in ("%", "percent"):
            found.append(Span(match.start(), match.end(), value, "number"))
            found.append(Span(match.start(), match.end(), round(value / 100, 10), "share"))
        elif scale:
            scaled = value * SCALES[scale]
            found.append(Span(match.start(), match.end(), int(scaled) if scaled == int(scaled) else scaled, "number"))
            if len(scale) == 1:
                found.append(Span(match.start(), match.end(), value, "number"))
        else:
            found.append(Span(match.start(), match.end(), value, "number"))
    found += [Span(m.start(), m.end(), _number(m.group()), "number in a word") for m in _NUMBER_IN_WORD.finditer(text)]
    found += _numbers_in_words(tokens_of(text))
    return sorted(found, key=lambda span: span.begin)[:MAX_NUMBERS]


def _number(digits: str) -> int | float:
    digits = digits[:MAX_DIGITS].rstrip(".")
    return float(digits) if "." in digits else int(digits)


def _numbers_in_words(tokens: Sequence[Token]) -> Iterator[Span]:
    at = 0
    while at < len(tokens):
        total = part = 0.0
        begin = at
        while at < min(len(tokens), begin + MAX_RUN):
            pieces = tokens[at].low.split("-")
            if all(piece in WORDS for piece in pieces):
                for piece in pieces:
                    part = max(1.0, part) * 100 if piece == "hundred" else part + WORDS[piece]
            elif tokens[at].low in ("thousand", "million", "billion") and at > begin:
                total, part = total + part * SCALES[tokens[at].low], 0.0
            else:
                break
            at += 1
        if at > begin:
            yield Span(tokens[begin].begin, tokens[at - 1].end, int(total + part), "number word")
        else:
            at += 1


def dates_in(text: str) -> list[tuple[Span, date | tuple[int, int]]]:
    """Dates as they stand, each with the day it means, or month and day where no year is said."""
    found: list[tuple[Span, date | tuple[int, int]]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            month = (
                int(groups["m"])
                if groups.get("m")
                else 1 + next(k for k, name in enumerate(MONTHS) if name.startswith(groups["n"].lower()[:3]))
            )
            try:
                day = date(int(groups["y"] or 2000), month, int(groups["d"]))
            except ValueError:
                continue
            span = Span(match.start(), match.end(), match.group().strip(" ,"), "date")
            if not any(span.overlaps(other) for other, _ in found):
                found.append((span, day if groups["y"] else (day.month, day.day)))
    return sorted(found, key=lambda pair: pair[0].begin)


def times_in(text: str) -> list[tuple[Span, str]]:
    """Times of the day as they stand, each as HH:MM."""
    found = []
    for match in _TIMES.finditer(text):
        hour, minute = int(match["h"] or match["h24"]), int(match["min"] or match["m24"] or 0)
        if match["ap"]:
            hour = hour % 12 + (12 if match["ap"].lower() == "p" else 0)
        if hour < 24 and minute < 60:
            found.append((Span(match.start(), match.end(), match.group().strip(), "time"), f"{hour:02}:{minute:02}"))
    return found


def texts_in(text: str) -> list[Span]:
    """Pieces of text that may be a value, each once: the first kind that a piece is counts."""
    found: dict[tuple[int, int], Span] = {}

    def add(begin: int, end: int, kind: str) -> None:
        if (begin, end) not in found and end > begin:
            found[begin, end] = Span(begin, end, text[begin:end], kind)

    for match in _QUOTED.finditer(text):
        group = next(number for number in range(1, 6) if match.group(number) is not None)
        add(match.start(group), match.end(group), "quoted")
    for span, _ in dates_in(text):
        add(span.begin, span.begin + len(str(span.value)), "date")
    for span, _ in times_in(text):
        add(span.begin, span.begin + len(str(span.value)), "time")
    tokens = tokens_of(text)
    for token in tokens:
        if len(token.text) <= MAX_CODE and _CODE.fullmatch(token.text):
            add(token.begin, token.end, _code_kind(token))
        elif place := _PLACE.fullmatch(token.text):
            add(token.begin, token.begin + place.end(1), "path")
    for first, last in islice(_capitals(tokens), MAX_OF_KIND):
        add(tokens[first].begin, tokens[last].end, "name")
    for first, last in islice(_runs(tokens), MAX_OF_KIND):
        add(tokens[first].begin, tokens[last].end, "words")
    end = len(text.rstrip(" .?!\n"))
    parts = (number for number in range(len(tokens)) if _begins_a_part(text, tokens, number))
    for number in islice(parts, MAX_RESTS):  # all that follows
        add(tokens[number].begin, end, "rest")
    return list(found.values())


def _code_kind(token: Token) -> str:
    if _PATH.search(token.text):
        return "path"
    return "test" if token.low.startswith("test_") else "code"


def _begins_a_part(text: str, tokens: Sequence[Token], number: int) -> bool:
    """Whether a word may begin all that follows as one value: a message, a question, code."""
    if number == 0:
        return True
    before = tokens[number - 1]
    return before.low in STOP or before.ends_phrase or bool(text[before.end : tokens[number].begin].strip())


def _capitals(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Runs of words in capitals, whole and without what follows a comma; small words may join them."""
    for first, token in enumerate(tokens):
        if not token.text[:1].isupper() or (first == 0 and token.low in STOP):
            continue
        last = first
        yield first, first
        while last + 1 < len(tokens) and last - first < MAX_RUN:
            following = tokens[last + 1]
            joined = (
                following.low in _JOINERS
                and not tokens[last].ends_phrase
                and last + 2 < len(tokens)
                and tokens[last + 2].text[:1].isupper()
            )
            if following.text[:1].isupper() or (following.text.isdigit() and not tokens[last].ends_phrase):
                last += 1
            elif joined:
                last += 2
            else:
                break
            yield first, last


def _runs(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Runs of words within a phrase that neither begin nor end with a word that every text has."""
    for first, token in enumerate(tokens):
        if token.low in STOP:
            continue
        for last in range(first, min(len(tokens), first + MAX_RUN)):
            if tokens[last].low not in STOP:
                yield first, last
            if tokens[last].ends_phrase:
                break

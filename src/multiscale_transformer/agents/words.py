"""Words of requests and of tools in one form: names taken apart, endings cut off, verbs of one meaning counted as one.

So `getWeather` shares a word with "the weather", "bookings" is "book", and "purchase" does what `buy_ticket` is named after.
The classes of verbs are the few that tools are distinguished by: who looks for a film does not want to buy the ticket.
"""

from __future__ import annotations

import re
from functools import lru_cache

from multiscale_transformer.tasks.nearest import parts_of_names


def split(text: str) -> frozenset[str]:
    """The words of a list, each once."""
    return frozenset(text.split())


STOP = split(
    "a about an and any are as at be been being both but by can could did do does doing done each for from had has have "
    "having he her here hers him his how i if in into is it its itself just kindly let like may me might more most must "
    "my need no nor not of on or other our ours please shall she should so some such than that the their theirs them "
    "then there these they this those to too upon us very want wants was we were what when where which while who whom "
    "whose why will wish with within without would you your yours am im ve re ll d s t don doesn isn also only e g etc "
    "eg ie via using use used given specified specific provided provide function based one"
)
VERBS = {
    "find": split(
        "find search look lookup retrieve fetch get query list browse show check view see discover locate display "
        "obtain explore inquire tell know seek available recommend suggest option grep hunt track mention reference "
        "usage occurrence caller"
    ),
    "buy": split("buy purchase book reserve order schedule arrange booking reservation secure hire rent rental"),
    "make": split("create make generate add build write compose produce new draft insert register post open initiate design"),
    "change": split(
        "update change modify edit set adjust alter configure replace rename correct move switch convert put patch "
        "overwrite substitute swap exchange fix amend revise turn"
    ),
    "remove": split("delete remove cancel erase drop clear discard revoke uninstall rid"),
    "play": split("play listen watch stream hear song music video"),
    "send": split("send email mail message notify transfer pay payment share forward text deliver wire"),
    "compute": split(
        "calculate compute evaluate determine result value output estimate solve sum count total predict measure "
        "analyze analyse assess"
    ),
    "run": split("run execute start launch perform call invoke restart command install trigger"),
    "stop": split("stop close end kill terminate shut pause disable turn off"),
    "explain": split(
        "explain describe meaning mean clarify summary summarize summarise interpret understand why cause reason diagnose sense"
    ),
    "read": split(
        "read print content open cat dump load display output type view show see inspect present reveal pull bring look"
    ),
    "list": split("list ls dir browse enumerate tree listing folder directory subfolder layout structure explore overview"),
    "clean": split(
        "clean tidy simplify refactor polish streamline shorten restructure rework rewrite improve modernise modernize "
        "beautify untangle readable cleaner simpler nicer cleanup declutter optimize optimise reorganise reorganize "
        "straighten shorter easier nice clear readability complexity clutter redundant"
    ),
    "continue": split(
        "complete continue finish autocomplete extend resume proceed completion fill rest unfinished missing carry "
        "follow keep next"
    ),
    "document": split("document docstring annotate comment documentation docs documented undocumented doc"),
    "compare": split("compare difference versus vs diff better than"),
    "verify": split("verify validate test confirm authenticate authorize approve check pass fail green succeed pytest"),
    "translate": split("translate translation translator convert port transpile migrate version equivalent"),
}
_ENDINGS = (
    "ization",
    "isation",
    "ations",
    "ation",
    "ingly",
    "ments",
    "ment",
    "ings",
    "ness",
    "ions",
    "able",
    "ible",
    "ing",
    "ion",
    "ies",
    "ers",
    "ors",
    "ed",
    "er",
    "or",
    "es",
    "ly",
    "al",
    "s",
    "e",
    "y",
)
_NOT_LATIN = re.compile(r"[^\x00-\u024f\s]")


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A word without its ending, if four letters stay; what is shorter loses at most a plural s."""
    word = word.lower()
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    else:
        if len(word) == 4 and word.endswith("s") and not word.endswith("ss"):
            word = word[:-1]
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeiou":
        word = word[:-1]  # planning, shipped
    return word[:-1] + "i" if word.endswith("y") and len(word) > 4 else word


def words(text: str) -> list[str]:
    """The stems of a text in its order, without words that every text has."""
    return [stem(part) for part in parts_of_names(text) if part.lower() not in STOP]


@lru_cache(maxsize=1)
def _classes() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for name, members in VERBS.items():
        for member in members:
            found.setdefault(stem(member), set()).add(name)
    return {word: frozenset(names) for word, names in found.items()}


def verb_classes(stems: list[str]) -> set[str]:
    """The classes of verbs that words belong to."""
    known = _classes()
    return {name for word in stems for name in known.get(word, ())}


def is_latin(text: str) -> bool:
    """Whether most of a text is in Latin letters, in which the words of tools are found."""
    return 3 * len(_NOT_LATIN.findall(text)) <= len(text)

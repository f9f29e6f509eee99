"""First sentences of docstrings as what names become: `is_①` is often "Return True if ①.", `test_①` is "Test ①."

Templates come from documented functions: the longest run of a name's words that stands in the sentence is a hole, and what
stands around it on both sides is the rest. Each knows how near the sentences that it makes of other names come to what people
wrote there (BLEU), and so does a sentence of an alike function, by how alike it is. `sentence_memory.json` was learnt from the
training examples of document, with

    python -m multiscale_transformer.tasks.sentence_memory data/document
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from multiscale_transformer.files import write_text
from multiscale_transformer.tasks.bleu import bleu
from multiscale_transformer.tasks.nearest import Nearest, parts_of_names

PLACE = Path(__file__).with_name("sentence_memory.json")
MOST_WORDS = 7  # of a name
PACKAGES, TIMES = 3, 4  # a template is kept that so many packages, and functions, have
MOST_ENDINGS = 6  # templates for the same words of names
DOUBT, DOUBTED = 9.0, 8  # the BLEU that is expected of a template that has made nothing, which weighs as so many sentences
STEPS = 10  # of how alike two functions are, from not at all to the same
COMPARED = 1500  # functions by which it is measured what an alike one's sentence is good for
_ARTICLE = re.compile(r"\b(an?) $")
_TOKEN = re.compile(r"\w+|[^\w\s]|\s+")

Words = tuple[str, ...]


class SentencePair(NamedTuple):
    """A function by name, its text as retrieval compares it, the first sentence of its docstring, and its package."""

    name: str
    text: str
    sentence: str
    package: str


class Ending(NamedTuple):
    """What stands before and behind the words of a name in a sentence, and the BLEU (0 to 100) that is expected of it."""

    before: str
    behind: str
    expected: float


class SentenceMemory:
    """Endings by the first and last words of names, and what sentences of alike functions are good for."""

    def __init__(self, endings: dict[tuple[Words, Words], list[Ending]], alike: Sequence[float]) -> None:
        self.endings, self._alike = endings, tuple(alike)

    def sentence(self, name: str) -> tuple[str, float]:
        """The sentence that is expected to come nearest, and the BLEU expected of it; at worst it is the words of the name.

        Of a name of one word there may be none.
        """
        made = [(text, expected) for text, expected, _ in _made(self.endings, words_of_name(name)) if " " in text]
        return max(made, key=lambda one: one[1], default=("", 0.0))

    def expected(self, likeness: float) -> float:
        """The BLEU of a sentence of a function that is so alike (0 to 1)."""
        return self._alike[_step(likeness)]

    def as_json(self) -> dict[str, object]:
        """For the file; `load_memory` reads it."""
        rows = [[*map(" ".join, key), *ending] for key, endings in sorted(self.endings.items()) for ending in endings]
        return {"alike": self._alike, "endings": rows}


def words_of_name(name: str) -> Words:
    """The words of a name, lower case."""
    return tuple(word.lower() for word in parts_of_names(name))


def learn(pairs: Sequence[SentencePair]) -> SentenceMemory:
    """A memory of these functions; of alike ones only those of other packages count."""
    known = [(words_of_name(pair.name), pair) for pair in pairs]
    known = [(words, pair) for words, pair in known if 1 <= len(words) <= MOST_WORDS]
    seen: dict[tuple[Words, Words], dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for words, pair in known:
        for key, ending in _templates(words, pair.sentence):
            seen[key][ending].append(pair.package)
    endings: dict[tuple[Words, Words], list[Ending]] = {((), ()): [Ending("", ".", 0.0)]}
    for key, found in seen.items():
        common = [one for one, packages in found.items() if len(packages) >= TIMES and len(set(packages)) >= PACKAGES]
        common.sort(key=lambda one: (-len(found[one]), one))
        if common and any(key):
            endings[key] = [Ending(*one, 0.0) for one in common[:MOST_ENDINGS]]
    return SentenceMemory(_measured(endings, known), _measured_alike(pairs))


def _templates(words: Words, sentence: str) -> Iterator[tuple[tuple[Words, Words], tuple[str, str]]]:
    """What stands around the longest run of the words in a sentence, on both sides."""
    tokens = _TOKEN.findall(sentence)
    places = [place for place, token in enumerate(tokens) if not token.isspace()]
    said = [tokens[place].lower() for place in places]
    runs = {(_shared(words[i:], said[j:]), i, j) for i in range(len(words)) for j in range(len(said))}
    longest = max((count for count, _, _ in runs), default=0)
    for count, i, j in sorted(runs):
        if count == longest > 0:
            before, behind = tokens[: places[j]], tokens[places[j + count - 1] + 1 :]
            yield (words[:i], words[i + count :]), ("".join(before), "".join(behind))


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _made(endings: dict[tuple[Words, Words], list[Ending]], words: Words) -> Iterator[tuple[str, float, Ending]]:
    """All sentences for the words of a name."""
    for i in range(len(words)):
        for j in range(i + 1, len(words) + 1):
            for ending in endings.get((words[:i], words[j:]), ()):
                article = _ARTICLE.search(ending.before)
                if article and (article[1] == "an") != (words[i][0] in "aeiou"):
                    continue
                text = f"{ending.before}{' '.join(words[i:j])}{ending.behind}"
                yield text[:1].upper() + text[1:], ending.expected, ending


def _measured(
    endings: dict[tuple[Words, Words], list[Ending]], known: Sequence[tuple[Words, SentencePair]]
) -> dict[tuple[Words, Words], list[Ending]]:
    """The endings with the mean BLEU of what they make of the known names."""
    reached: dict[Ending, list[float]] = defaultdict(list)
    for words, pair in known:
        for text, _, ending in _made(endings, words):
            reached[ending].append(bleu(text, pair.sentence))
    return {
        key: [one._replace(expected=round(fmean([*[DOUBT] * DOUBTED, *reached[one]]), 2)) for one in of]
        for key, of in endings.items()
    }


def _measured_alike(pairs: Sequence[SentencePair]) -> list[float]:
    """The mean BLEU of the sentence of the most alike function of another package, by how alike it is; never less for more."""
    nearest = Nearest([pair.text for pair in pairs])
    reached: list[list[float]] = [[] for _ in range(STEPS)]
    for pair in pairs[:: max(1, len(pairs) // COMPARED)]:
        scores = nearest.scores(pair.text)
        scores[[number for number, other in enumerate(pairs) if other.package == pair.package]] = 0
        best = int(scores.argmax())
        if scores[best] > 0:
            reached[_step(nearest.likeness(pair.text, best))].append(bleu(pairs[best].sentence, pair.sentence))
    found: list[float] = []
    for values in reached:
        found.append(max([round(fmean([*[DOUBT] * DOUBTED, *values]), 2), *found[-1:]]))
    return found


def _step(likeness: float) -> int:
    return min(STEPS - 1, max(0, int(STEPS * likeness)))


def save_memory(memory: SentenceMemory, path: Path) -> None:
    """Write a memory as JSON, an ending a line."""
    fields = memory.as_json()
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in fields["endings"])  # type: ignore[attr-defined]
    write_text(path, f'{{"alike": {json.dumps(fields["alike"])},\n"endings": [\n{rows}\n]}}\n')


@cache
def load_memory(path: Path = PLACE) -> SentenceMemory:
    """A memory that was saved; the one in the package unless another is named."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    endings: dict[tuple[Words, Words], list[Ending]] = defaultdict(list)
    for first, last, before, behind, expected in fields["endings"]:
        endings[tuple(first.split()), tuple(last.split())].append(Ending(before, behind, expected))
    return SentenceMemory(dict(endings), fields["alike"])


if __name__ == "__main__":
    import sys

    from multiscale_transformer.tasks.document import sentence_pairs

    save_memory(learn(sentence_pairs(Path(sys.argv[1]), "train")), PLACE)

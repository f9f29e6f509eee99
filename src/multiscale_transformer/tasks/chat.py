"""The skill chat: a question about code in, a fact with its source out.

The facts of the index are the candidates (`tasks.facts`), so nothing is said that inspection does not say. Which of them
answers is decided by a sum of weighted features, learnt as the order of edits is (`tasks.fix_order.learn`): how alike question
and fact are in words (BM25), which words of the question go with which kind of fact, and how likely the model finds the answer
after the code and the question.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.engine.continuations import log_probabilities
from multiscale_transformer.engine.engine import Engine
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.tasks.examples import Example, capped, split_of
from multiscale_transformer.tasks.facts import MAX_ANSWER, MAX_CODE, Fact, Subject, subjects_in
from multiscale_transformer.tasks.fix_order import Order, learn, load_order, without_rare
from multiscale_transformer.tasks.nearest import Nearest
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.questions import phrased
from multiscale_transformer.tasks.skill import Figures, Measurement, Skill

TASK = "chat"
WEIGHTS_FILE = Path(__file__).with_name("chat_weights.json")
MAX_OF_KIND, MAX_OF_PACKAGE = 1500, 600
OTHERS = 4  # subjects beside the right one, while the weights are learnt
STEM = 5  # letters of a word that count: `returned` is `return`
WHERE_EVERY = 8  # examples for one question where something is defined
MIN_TIMES = 8  # a word of a question is a feature where it came up so often
CHOSEN = 24  # facts of which the model says how likely they are: those that the other features find best
_WORD = re.compile(r"[A-Za-z_][\w.]*")


def prompt_of(code: str, question: str) -> str:
    """The code, and the question in the published form."""
    return f"{code.rstrip()}\n\nUser: {question}\nAssistant: "


@dataclass(frozen=True)
class Answer:
    """A fact that answers a question, and the score it was chosen by."""

    fact: Fact
    score: float


class Likelihood:
    """How likely a model finds answers, in nats a byte: so that long ones are judged as short ones are."""

    def __init__(self, engine: Engine, memory: CorpusMemory | None = None) -> None:
        self._engine, self._memory = engine, memory

    def of(self, code: str, question: str, answers: Sequence[str]) -> list[float]:
        """The mean of ln P over the bytes of each answer, with its end."""
        written = [f"{answer}\n".encode() for answer in answers]
        room = self._engine.config.max_seq_len - 1 - max(map(len, written), default=0)
        prompt = [BOS, *prompt_of(code, question).encode()[-room + 1 :]]
        totals = log_probabilities(self._engine, prompt, [list(text) for text in written], self._memory)
        return [total / len(text) for total, text in zip(totals, written, strict=True)]


class Facts:
    """The facts of some code, found by the names in a question, or by its words where it names nothing."""

    def __init__(self, subjects: Iterable[Subject]) -> None:
        self._subjects = list(subjects)
        self._facts = [(fact, number) for number, subject in enumerate(self._subjects) for fact in subject.facts]
        self._by_name: dict[str, list[int]] = defaultdict(list)
        for number, subject in enumerate(self._subjects):
            for name in {subject.name, subject.name.rpartition(".")[2]}:
                self._by_name[name].append(number)
        self._nearest = Nearest([fact.sentence for fact, _ in self._facts])

    @property
    def sentences(self) -> list[str]:
        """All facts as sentences: the text that a search without a model has."""
        return [fact.sentence for fact, _ in self._facts]

    def retrieved(self, question: str) -> Fact | None:
        """What BM25 alone finds."""
        best = self._nearest.best(question)
        return None if best is None else self._facts[best][0]

    def answers(self, question: str, order: Order, likelihood: Likelihood | None = None) -> list[Answer]:
        """Facts that may answer, best first. Without a model the words alone decide."""
        chosen, features = self.candidates(question, order, likelihood)
        scores = order.scores(features)
        return [
            Answer(self._facts[k][0], float(score))
            for score, k in sorted(zip(scores, chosen, strict=True), key=lambda pair: -pair[0])
        ]

    def candidates(
        self, question: str, order: Order, likelihood: Likelihood | None
    ) -> tuple[list[int], list[dict[str, float]]]:
        """The facts that are most likely to answer by their words, by number, and the features of each."""
        alike = self._nearest.scores(question)
        named = {number for word in _WORD.findall(question) for number in self._named(word.rstrip("."))}
        if named:
            chosen = [k for k, (_, number) in enumerate(self._facts) if number in named]
        else:
            chosen = alike.argsort()[::-1][: 4 * CHOSEN].tolist()
        features = [_features(question, self._facts[k][0], float(alike[k])) for k in chosen]
        scores = order.scores(features)
        first = sorted(range(len(chosen)), key=lambda k: -scores[k])[:CHOSEN]
        if likelihood is not None and first:
            code = self._subjects[self._facts[chosen[first[0]]][1]].code
            answers = [self._facts[chosen[k]][0].answer for k in first]
            for k, value in zip(first, likelihood.of(code, question, answers), strict=True):
                features[k]["likely"] = value
        return [chosen[k] for k in first], [features[k] for k in first]

    def _named(self, word: str) -> list[int]:
        """Subjects of a name, or of the last part of it where the whole is not known."""
        return self._by_name.get(word) or self._by_name.get(word.rpartition(".")[2], [])

    def fact(self, number: int) -> Fact:
        """A fact by its number."""
        return self._facts[number][0]


def _features(question: str, fact: Fact, alike: float) -> dict[str, float]:
    """What speaks for a fact as an answer."""
    asked = _WORD.findall(question)
    plain = {word.lower()[:STEM] for word in asked if word not in fact.subject and word != fact.argument}
    features = {"alike": alike / 10, "exact name": float(fact.subject in asked), fact.kind: 1.0}
    features |= {f"{fact.kind} and {word}": 1.0 for word in plain}
    if fact.argument:
        features["argument" if fact.argument in asked else "no argument"] = 1.0
    return features


def make_examples(texts: Iterable[PackageText]) -> list[Example]:
    """A question for a few facts of every text, its prompt the code of the subject."""
    found = [example for text in texts for example in _examples_of(text)]
    return capped(found, rule=MAX_OF_KIND, package=MAX_OF_PACKAGE)


def _examples_of(text: PackageText) -> Iterator[Example]:
    measured = split_of(text.package) == "test"
    for subject in subjects_in(text.text, text.name):
        if len(subject.code.encode()) >= MAX_CODE:
            continue  # it is cut: not all that is asked stands in it
        for fact in subject.facts:
            number = int(hashlib.sha256(f"{text.name} {fact.sentence}".encode()).hexdigest(), 16)
            if number % 5 == 0 and (fact.kind != "place"):  # which no code says
                yield Example(
                    task=TASK,
                    prompt=prompt_of(subject.code, phrased(fact, number // 5, measured=measured)),
                    answer=f"{fact.answer}\n",
                    package=text.package,
                    origin=text.name,
                    rule=fact.kind,
                    licence=text.licence,
                )


def learn_weights(examples: Sequence[Example], likelihood: Likelihood | None, rng: random.Random) -> Order:
    """Weights of the features from questions whose answers are known.

    Each stands beside the code of a few others of its package, so that the right subject has to be found too.
    """
    by_package: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_package[example.package].append(example)
    asked = []
    for example in examples:
        beside = rng.sample(by_package[example.package], min(OTHERS, len(by_package[example.package])))
        codes = {one.origin: parts_of(one.prompt)[0] for one in beside} | {example.origin: parts_of(example.prompt)[0]}
        facts = Facts(subject for origin, code in codes.items() for subject in subjects_in(code, origin))
        questions = [(parts_of(example.prompt)[1], example.rule, example.answer.rstrip("\n"))]
        questions += [(question, "place", example.origin) for question in _where(example, rng)]
        for question, kind, answer in questions:
            numbers, features = facts.candidates(question, Order(weights={"alike": 1.0}), likelihood)
            asked.append((features, [facts.fact(k).answer == answer and facts.fact(k).kind == kind for k in numbers]))
    times = Counter(name for features, _ in asked for name in set().union(*features))
    return learn(without_rare(asked, times, MIN_TIMES))


def _where(example: Example, rng: random.Random) -> Iterator[str]:
    """Now and then the question where it is defined, which no code in a prompt answers and so no example asks."""
    subjects = list(subjects_in(parts_of(example.prompt)[0], example.origin))
    if subjects and rng.random() < 1 / WHERE_EVERY:
        place = next(fact for fact in subjects[0].facts if fact.kind == "place")
        yield phrased(place, rng.randrange(1 << 16), measured=False)


def parts_of(prompt: str) -> tuple[str, str]:
    """Code and question of a prompt."""
    code, _, rest = prompt.rpartition("\n\nUser: ")
    return code, rest.removesuffix("\nAssistant: ")


def measure(measurement: Measurement) -> Figures:
    """Questions about code in the prompt and about a whole package, beside BM25 over the same facts."""
    test, order = measurement.examples("test"), load_order(WEIGHTS_FILE)
    likelihood = Likelihood(measurement.scheduler.engine, measurement.memory)
    packages = _facts_by_package(test)
    right: dict[str, list[bool]] = defaultdict(list)
    for example in test:
        code, question = parts_of(example.prompt)
        prompted = Facts(subjects_in(code, example.origin))
        wanted = example.answer.rstrip("\n")
        written = measurement.writer.write(example.prompt, [0], most=MAX_ANSWER, temperature=0.0, stop=("\n",))[0]
        right["written by the model"].append(written == wanted)
        for where, facts in (("code in the prompt", prompted), ("from the index", packages[example.package])):
            answers = facts.answers(question, order, likelihood)
            alone = facts.answers(question, order)
            found = facts.retrieved(question)
            right[where].append(bool(answers) and answers[0].fact.answer == wanted)
            right[f"{where}, words alone"].append(bool(alone) and alone[0].fact.answer == wanted)
            right[f"{where}, BM25"].append(found is not None and found.answer == wanted)
    share = {name: sum(values) / max(1, len(values)) for name, values in right.items()}
    places = ("code in the prompt", "from the index")
    return Figures(
        skill=TASK,
        examples=len(test),
        packages=len(packages),
        figures={name: share[name] for name in (*places, "written by the model")},
        rivals={
            "BM25": {place: share[f"{place}, BM25"] for place in places},
            "words alone": {place: share[f"{place}, words alone"] for place in places},
        },
        notes=("the questions of the test are phrased as none of the training's is",),
    )


def _facts_by_package(test: Sequence[Example]) -> dict[str, Facts]:
    """The facts of all code that the test asks about, by package: the index that a question is put to."""
    subjects: dict[str, dict[str, Subject]] = defaultdict(dict)
    for example in test:
        code, _ = parts_of(example.prompt)
        for subject in subjects_in(code, example.origin):
            subjects[example.package].setdefault(f"{example.origin} {subject.name}", subject)
    return {package: Facts(found.values()) for package, found in subjects.items()}


SKILL = Skill(TASK, make_examples, measure)

"""The skill chat: facts are what inspection says, and what answers is one of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from multiscale_transformer.cli.main import main
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.tasks.chat import WEIGHTS_FILE, Facts, Likelihood, learn_weights, make_examples, parts_of
from multiscale_transformer.tasks.facts import subjects_in
from multiscale_transformer.tasks.fix_order import load_order
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.questions import PHRASES, of_test, phrased
from tiny import SHAPES, checkpoint

TEXT = '''LIMIT = 3 * 7


class Circle(Shape, abc.Base):
    """A round thing."""

    def area(self, scale=1, *, unit: str = "cm") -> float:
        """How large it is.

        More.
        """
        if scale < 0:
            raise ValueError("negative")
        return math.pi * self.square(scale)


def square(x, /, *rest):
    return helper(x) ** 2
'''
WANTED = {
    ("LIMIT", "value", ""): "3 * 7",
    ("Circle", "purpose", ""): "A round thing.",
    ("Circle", "bases", ""): "Shape, abc.Base",
    ("Circle", "methods", ""): "area",
    ("Circle.area", "parameters", ""): "scale, unit",
    ("Circle.area", "default", "scale"): "1",
    ("Circle.area", "default", "unit"): '"cm"',
    ("Circle.area", "returns", ""): "float",
    ("Circle.area", "raises", ""): "ValueError",
    ("Circle.area", "calls", ""): "ValueError, self.square",
    ("Circle.area", "purpose", ""): "How large it is.",
    ("square", "parameters", ""): "x, *rest",
    ("square", "calls", ""): "helper",
}


@pytest.fixture(scope="module")
def facts() -> Facts:
    return Facts(subjects_in(TEXT, "a.py"))


def test_facts_are_what_the_code_says() -> None:
    found = {(f.subject, f.kind, f.argument): f.answer for s in subjects_in(TEXT, "a.py") for f in s.facts if f.kind != "place"}
    assert found == WANTED
    assert list(subjects_in("def f(:", "a.py")) == []
    lines = {f.subject: f.source for s in subjects_in(TEXT, "a.py") for f in s.facts}
    assert lines == {"LIMIT": "a.py:1", "Circle": "a.py:4", "Circle.area": "a.py:7", "square": "a.py:17"}


def test_every_kind_has_questions_to_learn_from_and_others_to_measure() -> None:
    for kind, phrases in PHRASES.items():
        assert {of_test(phrase) for phrase in phrases} == {True, False}, kind


def test_most_questions_find_their_fact_by_words_alone(facts: Facts) -> None:
    order, right, count = load_order(WEIGHTS_FILE), 0, 0
    for subject in subjects_in(TEXT, "a.py"):
        for fact in subject.facts:
            answers = facts.answers(phrased(fact, count, measured=True), order)
            right += answers[0].fact.answer == fact.answer
            count += 1
    assert right > 0.6 * count


def test_weights_are_learnt_from_questions(tmp_path: Path) -> None:
    texts = [PackageText(f"p{n}", "MIT", f"{n}.py", TEXT.replace("square", f"square{n}")) for n in range(12)]
    examples = make_examples(texts)
    checkpoint(SHAPES["flat"], tmp_path)
    likelihood = Likelihood(open_scheduler(tmp_path).engine)
    for model in (None, likelihood):
        order = learn_weights(examples[:12], model, random.Random(0))
        assert ("likely" in order.weights) == (model is not None)
        code, question = parts_of(examples[0].prompt)
        assert Facts(subjects_in(code, "a.py")).answers(question, order, model)


def test_the_command_answers_with_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text(TEXT)
    checkpoint(SHAPES["flat"], tmp_path / "model")
    words = ["--data", str(tmp_path / "a.py"), "--model", str(tmp_path / "model")]
    assert main(["chat", "Which exceptions does Circle.area raise?", "--json", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"subject": "Circle.area", "line": 7}.items() <= said[0].items()
    assert main(["chat", "zzz qqq", *words]) in (0, 1)

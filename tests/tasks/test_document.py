"""The skill document: docstrings come out of a text and go in without a change of anything else; no name is invented."""

from __future__ import annotations

import ast
import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.cli.main import main
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.tasks.bleu import bleu, mean_bleu
from multiscale_transformer.tasks.docstrings import (
    Docstring,
    bare,
    cut,
    described,
    insert,
    opened,
    parameters_of,
    place,
    rambles,
    read_docstring,
    speaks_of,
    verified,
    widest_line,
)
from multiscale_transformer.tasks.document import (
    Neighbours,
    Proposal,
    Question,
    Retrieved,
    Suggestion,
    answer_of,
    documented,
    function_of,
    make_examples,
    measure,
    name_split,
    prompt_of,
    propose,
    read_answer,
    score,
)
from multiscale_transformer.tasks.examples import Example, write_examples
from multiscale_transformer.tasks.nearest import Nearest
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.skill import Measurement, load_skill
from multiscale_transformer.tasks.source_text import SourceText, qualified_functions
from multiscale_transformer.tasks.writer import Writer
from tiny import SHAPES, checkpoint

LIBRARY = Path(ast.__file__).parent
FILES = [path for path in sorted(LIBRARY.glob("*.py")) if path.stat().st_size < 60_000]
DOCSTRING = Docstring("Say what it does.", (("a", "What goes in."),))
FUNCTION = "    def f(self, a, *rest, b=1):  # why\n        # first\n        return a + b"
DOCUMENTED = '''class Shape:
    def scaled(self, factor, origin=None):
        """Return a copy of the shape, larger by
        a factor.  Its centre stays.

        Args:
            factor (float): how much larger
                it becomes. More text.
            origin: the point that stays
        """

        return self
'''


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    folder = tmp_path_factory.mktemp("model")
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 512}), folder)
    return Writer(open_scheduler(folder, threads=1))


@pytest.mark.parametrize("path", random.Random(0).sample(FILES, 12), ids=lambda path: path.name)
def test_docstrings_of_the_library_are_cut_out_and_others_put_in(path: Path) -> None:
    source = SourceText(path.read_text())
    functions = list(source.functions())
    for node in random.Random(0).sample(functions, min(6, len(functions))):
        begin, end = source.whole_lines(node)
        edit = cut(source, node)
        if edit is not None:
            assert bare(edit.apply(source.text)) == bare(source.text)
            function = source.text[begin : edit.start] + source.text[edit.end : end]
        elif ast.get_docstring(node) is None:
            function = source.text[begin:end]
            after = place(source, node).edit(DOCSTRING).apply(source.text)
            assert bare(after) == bare(source.text)
            texts = [ast.get_docstring(one) or "" for one in SourceText(after).functions() if one.name == node.name]
            assert any(text.startswith(DOCSTRING.first) for text in texts)
        else:
            continue
        names = [(one.name, "Words of it.") for one in parameters_of(node)]
        for docstring in (Docstring("Say what it does."), Docstring("Say what it does.", tuple(names))):
            after = insert(function, docstring)
            assert verified(function, after, 300)
            assert not set(function.split("\n")) - set(after.split("\n")) or "\n" not in function.strip()


@pytest.mark.parametrize(
    ("function", "after"),
    [
        (FUNCTION, '    def f(self, a, *rest, b=1):  # why\n        """X y z."""\n        # first\n        return a + b'),
        ("def f(): pass  # no", 'def f():\n    """X y z."""\n    pass  # no'),
        ("\tasync def f(a={1: 2}): return a; x", '\tasync def f(a={1: 2}):\n\t\t"""X y z."""\n\t\treturn a; x'),
        ("@a(\n  b)\ndef f(\n    x: int\n) -> {1: 2}:\n\n    @c\n    def g(): ...", None),
        ("def f():\r\n    return 1\r\n", 'def f():\r\n    """X y z."""\r\n    return 1\r\n'),
        ("def f(): \\\n    pass", 'def f():\n    """X y z."""\n    pass'),
    ],
)
def test_where_a_docstring_goes(function: str, after: str | None) -> None:
    written = insert(function, Docstring("X y z."))
    assert verified(function, written, 79)
    if after is not None:
        assert written == after


def test_a_second_docstring_is_refused() -> None:
    with pytest.raises(ValueError, match="f has a docstring"):
        insert('def f():\n    """One."""\n    return 1', DOCSTRING)


@pytest.mark.parametrize(
    "function", ['def f():\n    """X."""; a = 1\n    return a', 'def f(): """X."""; return 1', 'def f():\n    """X."""']
)
def test_docstrings_that_share_their_lines_stay(function: str) -> None:
    source, node = opened(f"{function}\n")
    assert cut(source, node) is None


def test_what_does_not_verify() -> None:
    function = "def f(a, b):\n    return a + b"
    good = Docstring("Add two of them.", (("a", "One."), ("b", "The other.")))
    assert verified(function, insert(function, good), 79)
    for wrong in (
        insert(function, Docstring("Add two.", (("a", "One."), ("c", "None.")))),
        insert(function, Docstring("Add two.", (("b", "One."), ("a", "Two.")))),
        insert(function, Docstring("Add two.", (("a", "One."),))),
        insert(function, Docstring(f"Add {'x' * 80}.")),
        insert(function, good).replace("a + b", "a - b"),
        insert(function, good).replace("f(a, b)", "f(a, b=1)"),
        function,
        "",
        "def f(:",
    ):
        assert not verified(function, wrong, 79)
    assert widest_line("x" * 90) == 90
    assert (widest_line(""), widest_line("x" * 300)) == (79, 100)


@pytest.mark.parametrize(
    ("style", "said"),
    [
        (
            "Args:\n    a (int): One. Two.\n    *b: Rest\n        of it.\n\nReturns:\n    c: no",
            {"a": "One. Two.", "b": "Rest\n        of it."},
        ),
        ("Parameters\n----------\na, b : int\n    Both\n\nReturns\n-------\nc : d\n    No", {"a": "    Both", "b": "    Both"}),
        (":param int a: One.\n:param b: Two\n    of it.\n:type b: x\n:returns: no", {"a": "One.", "b": "Two\n    of it."}),
        ("@param a: One", {"a": "One"}),
        ("Say it: now.\n\n    a: an example", {}),
    ],
)
def test_parameters_are_read_in_three_styles(style: str, said: dict[str, str]) -> None:
    assert described(f"First.\n\n{style}") == said


def test_examples_hold_the_sentence_and_the_parameters_in_order() -> None:
    (one,) = make_examples([PackageText("p", "MIT", "a.py", DOCUMENTED)])
    assert one.prompt == prompt_of("    def scaled(self, factor, origin=None):\n        return self")
    assert one.answer == (
        "Return a copy of the shape, larger by a factor.\nArgs:\n"
        "factor: how much larger it becomes.\norigin: the point that stays.\n"
    )
    assert (one.licence, one.origin) == ("MIT", "a.py:scaled")
    docstring = read_answer(one.answer)
    assert docstring is not None
    assert answer_of(docstring) == one.answer
    constraint = Question.of_format(function_of(one.prompt)).constraint()
    for byte in one.answer.encode():
        constraint.advance(byte)
    assert constraint.ended or constraint.allowed()[257]


@pytest.mark.parametrize(
    "text", ["See the base class.", "Deprecated since 3.1, use g.", "Two words.", "", "A \\\\ b c.", "Sets it up:"]
)
def test_texts_that_teach_nothing_are_left_out(text: str) -> None:
    functions = "\n\n".join(f'def f{n}(a):\n    """{text}"""\n    return a + {n}' for n in range(5))
    assert make_examples([PackageText("p", "MIT", "a.py", functions)]) == []


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=3))
def test_hostile_docstrings_are_read_or_refused_and_never_break_a_function(text: str, more: list[str]) -> None:
    _, node = opened(FUNCTION)
    docstring = read_docstring(
        "\n".join([f"One two three {text}", *more, ":param a: x", f"Args:\n  {text}: y"]), parameters_of(node)
    )
    if docstring is not None:
        assert verified(FUNCTION, insert(FUNCTION, docstring), 400)


@given(st.text(max_size=80))
def test_hostile_sources_are_read_or_passed_over(text: str) -> None:
    list(documented(text))
    list(documented(f"def f(a):\n    '''{text}'''\n    return a"))
    read_answer(text)


@pytest.mark.parametrize("with_parameters", [False, True])
def test_a_model_can_write_no_other_names(writer: Writer, with_parameters: bool) -> None:
    source, node = opened(FUNCTION)
    for question in (Question.of_format(FUNCTION, 100), Question.in_code(source, node, 100)):
        constraint = question.constraint(with_parameters=with_parameters)
        answers = writer.write(
            question.before, range(8), after=question.after, most=600, temperature=1.0, constraint=constraint
        )
        docstrings = [docstring for docstring in map(read_answer, answers) if docstring]
        assert docstrings
        for docstring in docstrings:
            assert verified(FUNCTION, insert(FUNCTION, docstring), 100)
            assert docstring.parameters or not with_parameters
            assert {name for name, _ in docstring.parameters} <= {"a", "*rest", "b"}


def test_proposals_are_ranked_and_the_retrieved_one_is_among_them(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    question, other = Question.of_format(FUNCTION), Docstring("Return the sum of both.")
    answers = ["Say what it does.\n", "the files and the files and the files and.\n", "no sentence", f"{'x y z ' * 19}abcde.\n"]
    monkeypatch.setattr(writer, "write", lambda prompt, seeds, **_: answers[: len(seeds)] * len(seeds))
    suggestions = [Suggestion("its name", "Do it.", 11.0), Suggestion("other", other.first, 12.0)]
    assert propose(writer, question, suggestions, samples=6) == [
        Proposal(other, "other"),
        Proposal(Docstring("Do it."), "its name"),
        Proposal(Docstring("Say what it does."), "model"),
    ]
    assert propose(writer, question, said=frozenset({"Say what it does."})) == []
    assert propose(writer, question, suggestions, said=frozenset({other.first}), with_parameters=True)[0].source == "model"


def test_a_sentence_that_is_told_has_the_parameters_that_the_model_writes(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = "Say what it does.\nArgs:\na: The first one.\nb: The second one.\n"
    monkeypatch.setattr(writer, "write", lambda prompt, seeds, **_: [answer] * len(seeds))
    ranked = propose(writer, Question.of_format(FUNCTION), [Suggestion("its name", "Do it.", 1.0)], with_parameters=True)
    assert ranked[0] == Proposal(Docstring("Do it.", (("a", "The first one."), ("b", "The second one."))), "its name")


def test_neighbours_are_retrieved_where_they_are_alike() -> None:
    text = 'def add_one(total):\n    """Add one to the total."""\n    total = total + 1\n    return total\n'
    neighbours = Neighbours(text)
    assert neighbours.sentences == {"Add one to the total."}
    (suggestion,) = neighbours.alike("def add_two(total):\n    total = total + 2\n    return total")
    assert suggestion[:2] == ("add_one", "Add one to the total.")
    (same,) = neighbours.alike("def add_one(total):\n    total = total + 1\n    return total")
    assert same.expected_bleu > suggestion.expected_bleu > 0
    assert neighbours.alike("def read(path):\n    return path.read_text()") == []


def test_circles_are_seen() -> None:
    assert rambles("the files and the files and the files and the rest")
    assert rambles("Describe the names of the names of the names.")
    assert not rambles("Return the sum of the first and of the second.")


def test_bleu_is_that_of_the_script() -> None:
    assert bleu("Return the sum.", "return the sum.") == pytest.approx(100)
    assert bleu("a b c d e", "a b x d e") == pytest.approx(100 * (4 / 5 * 3 / 5 * 1 / 4 * 1 / 3) ** 0.25)
    assert bleu("the cat", "the cat sat") == pytest.approx(100 * math.exp(-1 / 3))
    assert bleu("one_two", "one _ two") == pytest.approx(100)
    assert bleu("", "x") == bleu("y", "x") == 0
    assert mean_bleu([("a", "a"), ("b", "c")]) == pytest.approx(50)


def test_the_most_alike_text_is_found() -> None:
    nearest = Nearest(["def readFile(path)", "def add(a, b)", ""])
    assert nearest.best("read_file(name)") == 0
    assert nearest.best("???") is None
    assert Nearest([]).best("x") is None


def test_measuring_sets_the_model_beside_its_rivals(writer: Writer, tmp_path: Path) -> None:
    names = ["read", "write", "open", "close", "find"]
    examples = [
        Example(
            task="document",
            prompt=prompt_of(f"def {name}_file(path):\n    return path.{name}()"),
            answer=f"{name.title()} the file at a path.\n" + ("Args:\npath: Where it is.\n" if name == "read" else ""),
            package="p",
        )
        for name in names
    ]
    write_examples(tmp_path, {"train": examples[1:], "validation": [], "test": examples[:2]}, {})
    figures = measure(Measurement(writer._scheduler, None, tmp_path, 2))
    assert set(figures.rivals) == {"retrieval", "constant sentence", "name split", "memory alone"}
    assert figures.figures["verified"] <= 1
    right = score(examples, [read_answer(example.answer) for example in examples])
    assert (right["BLEU"], right["exact"], right["parameter F1"]) == (pytest.approx(100), 1, 1)
    wrong = score(examples[:1], [Docstring("Read it.", (("name", "What."),))])
    assert (wrong["parameter F1"], wrong["verified"]) == (0, 0)
    assert name_split("def read_file(path): ...") == "Read file."
    assert Retrieved(examples)(function_of(examples[0].prompt)) == (read_answer(examples[0].answer), 1.0)
    assert load_skill("document").measure is measure


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `axl words…`: the exit status, and what was written to both outputs."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


def test_the_command(tmp_path: Path, call: Call) -> None:
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 512}), tmp_path / "model")
    text = f"{DOCUMENTED}\n    def area(self): return 1\n\n\ndef _hidden(a):\n    return a\n"
    text += "\n\ndef double(number):\n    return 2 * number\n"
    (tmp_path / "a.py").write_text(text)
    for record in ("{}", json.dumps({"data": {"sources": ["task:/x/document"], "sha256": ""}})):
        (tmp_path / "model" / "training.json").write_text(record)
        status, out, _ = call("document", tmp_path / "a.py", "--model", tmp_path / "model", "--json")
        content = json.loads(out)
        assert status == (content["diff"] is None)
        if not status:
            assert set(content["functions"]) <= {"Shape.area", "double"}
        assert (tmp_path / "a.py").read_text() == text
    written = tmp_path / "b.py"
    written.write_text('def f(a):\n    """Say what it does."""\n    return a\n\n\ndef _g(a):\n    return a\n')
    assert call("document", written)[0] == 1
    status, _, err = call("document", f"{written}:f")
    assert status == 2
    assert "f has a docstring already" in err


def test_applied_docstrings_leave_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    checkpoint(SHAPES["flat"], tmp_path / "model")
    monkeypatch.setattr(Writer, "write", lambda self, prompt, seeds, **_: ["Say what it does."] * len(seeds))
    path = tmp_path / "a.py"
    path.write_bytes(b"def f(a): return a\r\n\r\nclass A:\r\n    def g(self):\r\n        return 2\r\n")
    status, _, err = call("document", path, "--model", tmp_path / "model", "--apply")
    assert status == 0, err
    assert path.read_bytes() == (
        b'def f(a):\r\n    """Say what it does."""\r\n    return a\r\n\r\n'
        b'class A:\r\n    def g(self):\r\n        """Say what it does."""\r\n        return 2\r\n'
    )
    assert call("document", path, "--model", tmp_path / "model")[0] == 1
    assert dict(qualified_functions(SourceText(path.read_text()).tree)).keys() == {"f", "A.g"}


def test_a_sentence_about_other_code_is_none_of_this() -> None:
    code = "def average(numbers, digits=2):\n    total = sum(numbers)\n    return round(total / len(numbers), digits)\n"
    for sentence in ("Calculate the average.", "Rounds to so many digits.", "The number of things."):
        assert speaks_of(sentence, code)
    for sentence in ("A context manager for a copy.", "Return this value.", "", "Write from self."):
        assert not speaks_of(sentence, code)

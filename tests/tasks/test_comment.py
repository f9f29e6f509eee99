"""The skill comment: comments come out of a function and go into it without a change of any token."""

from __future__ import annotations

import ast
import io
import json
import random
import tokenize
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.cli.main import main
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.tasks.comment import (
    CLEAN,
    baselines,
    code_of,
    constraint_for,
    make_examples,
    measure,
    prompt_of,
    propose,
    propose_in_code,
    read_answer,
    score,
)
from multiscale_transformer.tasks.comment_lines import (
    Block,
    blocks_of,
    cut_comments,
    hunks_of,
    is_prose,
    places,
    put,
    statement_places,
    verified,
)
from multiscale_transformer.tasks.docstrings import opened
from multiscale_transformer.tasks.edit_format import applied, read_hunks, written
from multiscale_transformer.tasks.examples import write_examples
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.skill import Measurement, load_skill
from multiscale_transformer.tasks.source_text import SourceText
from multiscale_transformer.tasks.writer import Writer
from tiny import SHAPES, checkpoint

FILES = [path for path in sorted(Path(ast.__file__).parent.glob("*.py")) if path.stat().st_size < 60_000]
CODE = """    def f(self, a):
        if a:
            return None
        text = '''
        x
        '''
        for b in (
            1,
            2,
        ):
            a += b; b = \\
                3
        return None"""
COMMENTED = CODE.replace("        text =", "        # What comes next\n        # is a text.\n        text =")
TEXT = "class A:\n" + COMMENTED + "\n\n\ndef g(a):\n    b = a + 1\n    b += 2\n    return b * b\n"


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    folder = tmp_path_factory.mktemp("model")
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 1024}), folder)
    return Writer(open_scheduler(folder, threads=1))


def tokens(text: str) -> list[tuple[int, str]]:
    layout = (tokenize.COMMENT, tokenize.NL)
    return [(one.type, one.string) for one in tokenize.generate_tokens(io.StringIO(text).readline) if one.type not in layout]


@pytest.mark.parametrize("path", random.Random(1).sample(FILES, 12), ids=lambda path: path.name)
def test_comments_of_the_library_are_cut_out_and_others_put_in(path: Path) -> None:
    source = SourceText(path.read_text())
    functions = list(source.functions())
    for node in random.Random(0).sample(functions, min(8, len(functions))):
        begin, end = source.whole_lines(node)
        function = source.text[begin:end]
        code, blocks = cut_comments(function)
        assert put(code, blocks) == function
        assert tokens(opened(code)[0].text) == tokens(opened(function)[0].text)
        assert verified(code, function) == bool(blocks)
        everywhere = [Block(line, ("Say why it is.",)) for line in places(code)]
        after = put(code, everywhere)
        assert verified(code, after) == bool(everywhere)
        assert set(statement_places(code)) <= set(places(code))
        again, found = cut_comments(after)
        assert (again, len(found)) == (code, len(everywhere)) or "#" in code
        for block in blocks:
            assert blocks_of(code, read_hunks(written(hunks_of(code, [block]))) or []) == [block]


def test_places_are_lines_at_which_a_comment_changes_nothing() -> None:
    assert list(places(CODE)) == [1, 2, 3, 6, 7, 8, 10, 12]
    assert list(statement_places(CODE)) == [1, 2, 3, 6, 10, 12]
    assert places("def f(): pass") == {}
    assert list(places("def f(a):\n    b = f'''\n    {a}'''\n    return b")) == [1, 3]
    assert list(places('def f():\n    """Doc."""\n    @a\n    def g(): pass')) == [2, 3]


@pytest.mark.parametrize("words", ["Say why it is", "the first of them, if any", "we can't know this (yet)."])
def test_sentences_are_prose(words: str) -> None:
    assert is_prose([words])


@pytest.mark.parametrize(
    "words",
    [
        *("x = f(a, b, c)", "print(a, b)", "for a in b:", "if a not in b:", "a not in b", "return not a"),
        *("TODO: say why it is", "type: ignore this one now", "pylint: disable all of it", "see https://x.y for all of it"),
        *("two words", "-----------", "Der Käse ist ein Käse", "a b c a b c a b c", "1 2 3 4 5"),
    ],
)
def test_code_and_words_to_tools_are_not(words: str) -> None:
    assert not is_prose([words])


def test_examples_hold_the_published_prompt_and_hunks() -> None:
    others = [
        PackageText(f"p{n}", "MIT", "b.py", TEXT.replace("self, a", f"self, a, c{n}").replace("g(a", f"g(c{n}, a"))
        for n in range(20)
    ]
    examples = make_examples(others)
    commented = [example for example in examples if example.rule == "1 comment"]
    assert len(commented) == 20
    assert all(example.prompt.startswith("Code:\n    def f(self, a, c") for example in commented)
    assert {example.answer for example in commented} == {
        "-        text = '''\n+        # What comes next\n+        # is a text.\n+        text = '''\n"
    }
    clean = [example for example in examples if example.rule == CLEAN]
    assert clean
    assert {example.answer for example in clean} == {"=\n"}
    for example in (*commented[:3], *clean[:1]):
        code, constraint = code_of(example.prompt), constraint_for(code_of(example.prompt))
        assert prompt_of(code) == example.prompt
        for byte in example.answer.encode():
            constraint.advance(byte)
        assert constraint.ended or constraint.allowed()[257]
        after = applied(code, read_hunks(example.answer) or [])
        assert after == put(code, read_answer(code, example.answer))


def test_a_line_that_stands_twice_is_named_with_those_above_it() -> None:
    block = Block(12, ("There is nothing more.",))
    code = CODE.replace("            return None", "        return None")
    hunks = hunks_of(code, [block])
    assert len(hunks[0].old) > 1
    assert blocks_of(code, hunks) == [block]


def test_what_does_not_verify() -> None:
    assert verified(CODE, COMMENTED)
    for wrong in (
        CODE,
        COMMENTED.replace("return None", "return 1"),
        COMMENTED.replace("# is a text.", "is_a_text()"),
        COMMENTED.replace("        # What", "    # What"),
        CODE.replace("        x\n", "        # in a string\n        x\n"),
        CODE.replace("                3", "                # behind a backslash\n                3"),
        CODE + "\n        # at the end of it",
        "",
        "def f(:",
    ):
        assert not verified(CODE, wrong)


@pytest.mark.parametrize("code", [CODE, 'def f():\n\treturn "\\\\n"\n', "def é():\n    pass\n\n    pass", "def f(): pass"])
def test_a_model_can_write_nothing_but_comments_before_these_lines(writer: Writer, code: str) -> None:
    constraint = constraint_for(code)
    answers = writer.write(prompt_of(code), range(6), most=400, temperature=1.0, constraint=constraint)
    for answer in answers:
        if answer.endswith("\n") and answer != "=\n":
            blocks = read_answer(code, answer)
            assert not blocks or verified(code, put(code, blocks))
    assert all(verified(code, put(code, blocks)) for blocks in propose(writer, code, samples=3))
    source, node = opened(code)
    chosen = list(statement_places(code))
    for blocks in propose_in_code(writer, source, node, chosen, samples=2):
        assert verified(code, put(code, blocks))


@pytest.mark.parametrize("chosen", [[3], [2, 6], [1, 10, 12]])
def test_a_model_writes_a_comment_before_each_line_that_is_chosen(writer: Writer, chosen: list[int]) -> None:
    constraint = constraint_for(CODE, chosen)
    answers = writer.write(prompt_of(CODE), range(6), most=400, temperature=1.0, constraint=constraint)
    whole = [answer for answer in answers if answer.count("\n\n") == len(chosen) - 1 and answer.endswith("\n")]
    for answer in whole:
        assert [block.line for block in read_answer(CODE, answer)] == chosen
    proposed = propose(writer, CODE, chosen, samples=6)
    assert all({block.line for block in blocks} <= set(chosen) for blocks in proposed)
    assert propose(writer, CODE, []) == []


@given(st.text(max_size=80))
def test_hostile_texts_are_read_or_passed_over(text: str) -> None:
    make_examples(
        [
            PackageText("p", "MIT", "a.py", text),
            PackageText("p", "MIT", "b.py", f"def f(a):\n    # {text}\n    b = a\n    return b"),
        ]
    )
    read_answer(CODE, text)
    assert not verified(CODE, text)


def test_measuring_sets_the_model_beside_rules(writer: Writer, tmp_path: Path) -> None:
    examples = make_examples(PackageText(f"p{n}", "MIT", "b.py", TEXT.replace("self, a", f"self, a, c{n}")) for n in range(9))
    write_examples(tmp_path, {"train": examples[3:], "validation": [], "test": examples[:3]}, {})
    figures = measure(Measurement(writer._scheduler, None, tmp_path, 3))
    rules = {"loops and ifs", "behind empty lines", "first statement", "retrieval"}
    assert set(figures.rivals) == {*rules, "places learnt, without the model"}
    right = [read_answer(code_of(example.prompt), example.answer) for example in examples]
    perfect = score(examples, right)
    assert (perfect["placement F1"], perfect["similarity at right lines"], perfect["verified"]) == (1, 1, 1)
    assert score(examples, [[] for _ in examples])["placement F1"] == 0
    commented = [example for example in examples if example.rule != CLEAN]
    rivals = baselines(commented, commented)
    assert [block.line for block in rivals["loops and ifs"][0]] == [1, 6]
    assert score(commented, rivals["retrieval"])["placement F1"] == 1
    assert load_skill("comment").measure is measure


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `axl words…`: the exit status, and what was written to both outputs."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


ANSWERS = {
    "{}": "Say why it is.",
    '{"data": {"sources": ["task:/x/comment"], "sha256": ""}}': "-    for c in b:\n+    # Say why it is.\n+    for c in b:\n",
}


@pytest.mark.parametrize("record", ANSWERS)
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, record: str) -> None:
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 1024}), tmp_path / "model")
    (tmp_path / "model" / "training.json").write_text(record)
    path = tmp_path / "a.py"
    text = (
        b"def f(a):\r\n    b = a\r\n    for c in b:\r\n        a += c\r\n    return a\r\n\r\n\r\ndef g(a):\r\n    return a\r\n"
    )
    path.write_bytes(text)
    words = ["comment", path, "--model", tmp_path / "model", "--json"]
    status, out, _ = call(*words)
    assert status == (json.loads(out)["diff"] is None)
    monkeypatch.setattr(Writer, "write", lambda self, prompt, seeds, **_: [ANSWERS[record]] * len(seeds))
    status, out, err = call(*words, "--apply")
    assert status == 0, err
    assert json.loads(out)["functions"] == ["f"]
    after = path.read_bytes().split(b"\r\n")
    assert [row for row in after if b"#" not in row] == text.split(b"\r\n")
    assert [row.strip() for row in after if b"#" in row] == [b"# Say why it is."]


def test_what_the_command_has_nothing_for(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "a.py"
    path.write_text("def f(a):\n    # Say why it is.\n    return a\n")
    assert call("comment", path)[0] == 1
    assert call("comment", f"{path}:h")[0] == 2

"""The skill refactor: what is proposed are edits of lines of the input, and what is kept a linter and a parser have checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.engine.infill import continue_text
from multiscale_transformer.engine.scheduler import Request
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.tasks.edit_format import applied, hunks_between, read_hunks, written
from multiscale_transformer.tasks.examples import split_examples, write_examples
from multiscale_transformer.tasks.package_texts import PackageText, package_texts, unseen_packages
from multiscale_transformer.tasks.refactor import CLEAN, constraint_for, make_examples, prompt_of, verify
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.training.settings import TrainSettings
from tiny import SHAPES, checkpoint

BEFORE = '    def f(self, a):\n        if a == "x\\t":\n            return 1\n        else:\n            return 2'
AFTER = '    def f(self, a):\n        if a == "x\\t":\n            return 1\n        return 2'
TEXT = f"class A:\n{BEFORE}\n\n\ndef g(a):\n    b = a + 1\n    b += 2\n    return b * b\n"


def test_examples_hold_the_published_prompt_and_the_edit() -> None:
    others = [PackageText(f"p{n}", "MIT", "b.py", TEXT.replace("self, a", f"self, a{n}")) for n in range(9)]
    examples = make_examples([PackageText("one", "MIT", "a.py", TEXT), *others])
    edits = [example for example in examples if example.rule == "RET505"]
    marked = BEFORE.replace("else:", "else:  # <- RET505")
    assert {prompt_of(BEFORE), f"Before:\n{marked}\nAfter:\n"} & {example.prompt for example in edits}
    assert prompt_of(BEFORE, 4, "RET505") == f"Before:\n{marked}\nAfter:\n"
    assert {example.answer for example in edits} == {written(hunks_between(BEFORE, AFTER))}
    clean = [example for example in examples if example.rule == CLEAN]
    assert {example.answer for example in clean} == {"=\n"}
    assert all("def g" in example.prompt for example in clean)
    assert {example.licence for example in examples} == {"MIT"}


@pytest.mark.parametrize("function", [BEFORE, 'def f():\n\treturn "\\\\n"', "def é():\n    pass\n\n    pass"])
def test_a_model_can_write_nothing_but_edits_of_these_lines(function: str, tmp_path: Path) -> None:
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 1024}), tmp_path)
    scheduler = open_scheduler(tmp_path, threads=1)
    lines, ended = set(function.split("\n")), 0
    for seed in range(6):
        sampling = Sampling(max_new_tokens=300, temperature=1.0, seed=seed)
        request = Request(continue_text(prompt_of(function).encode(), 1024).ids, sampling, constraint=constraint_for(function))
        pieces = list(scheduler.stream(request))
        if pieces[-1].ended == "stop":
            hunks = read_hunks("".join(piece.text for piece in pieces))
            assert hunks is not None
            assert all(line in lines for hunk in hunks for line in hunk.old)
            ended += 1
    assert ended


def test_the_right_answer_fits_the_constraint() -> None:
    constraint = constraint_for(BEFORE)
    for byte in written(hunks_between(BEFORE, AFTER)).encode():
        constraint.advance(byte)
    assert constraint.ended or constraint.allowed()[257]


def test_an_answer_for_a_finding_begins_with_its_line_and_changes_it() -> None:
    answer = written(hunks_between(BEFORE, AFTER)).encode()
    held = constraint_for(BEFORE, 4)
    for byte in answer:
        assert held.allowed()[byte]
        held.advance(byte)
    assert not constraint_for(BEFORE, 3).copy().allowed()[ord("=")]
    elsewhere, same = constraint_for(BEFORE, 3), constraint_for(BEFORE, 3)
    for byte in b"-        ":
        elsewhere.advance(byte)
    assert not elsewhere.allowed()[ord("e")]
    for byte in b"-            return 1\n+            return 1":
        same.advance(byte)
    assert not same.allowed()[ord("\n")]
    assert same.allowed()[ord("0")]


def test_what_is_kept_loses_a_finding_and_brings_none() -> None:
    assert [found.rules for found in verify(BEFORE, [AFTER])] == [("RET505",)]
    for wrong in (
        BEFORE,
        BEFORE.replace("return 2", "return 3"),
        AFTER.replace("def f", "def h"),
        AFTER.replace("return 2", "return (2"),
        AFTER.replace("return 2", "x = 2\n        return x"),
    ):
        assert verify(BEFORE, [wrong]) == []


def test_the_test_packages_are_known_and_texts_have_licences() -> None:
    assert {"networkx", "hypothesis", "graphql-core", "pathspec", "pyyaml"} <= unseen_packages()
    texts = package_texts(most_bytes=1)
    first = next(texts)
    assert (first.package.partition("-")[0], first.licence) == ("stdlib", "PSF-2.0")


def test_a_skill_is_learnt_from_its_examples(tmp_path: Path) -> None:
    texts = [PackageText(f"p{n}", "MIT", "a.py", TEXT.replace("self, a", f"self, a{n}")) for n in range(30)]
    write_examples(tmp_path / "data", split_examples(make_examples(texts)), {})
    corpus = load_corpus([f"task:{tmp_path / 'data'}"])
    assert corpus.train.answers is not None
    config = SHAPES["memory"].model_copy(update={"downsample_factors": (1,), "max_seq_len": 256})
    settings = TrainSettings(minutes=0.02, batch_bytes=1024, stages=((0.0, 128),))
    out = train_run(RunRequest("x", config, settings, corpus.sources, tmp_path / "out", format="refactor"), corpus)
    assert (out / "model.safetensors").is_file()


def test_applied_answers_give_the_text_after() -> None:
    assert applied(BEFORE, read_hunks(written(hunks_between(BEFORE, AFTER))) or []) == AFTER

"""CodeBLEU: its properties, the figures of the package codebleu, and texts that mean harm."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tree_sitter")

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.codebleu import dataflow, probe, syntax
from multiscale_transformer.evaluation.codebleu.languages import GRAMMARS
from multiscale_transformer.evaluation.codebleu.score import CodeBleu, codebleu

GOLDEN = json.loads(Path(__file__).with_name("codebleu_golden.json").read_text("utf-8"))
LANGUAGES = sorted(GRAMMARS)
OWN = {language: [row["reference"] for row in GOLDEN if row["language"] == language] for language in LANGUAGES}
PIECES = st.sampled_from(
    [
        *"(){}[];:,.=+<>'\"`\\#/*@\n\0é",
        "  ",
        "\n    ",
        "if ",
        "else ",
        "for ",
        "while ",
        "x",
        "y = ",
        "x.y = 'a'\n",
        "/*",
        "\ud800",
    ]
)
NO_NAMES = {"async", "constructor", "false", "null", "of", "true"}
languages = pytest.mark.parametrize("language", LANGUAGES)


def score(reference: str, hypothesis: str, language: str = "python") -> CodeBleu:
    return codebleu([([reference], hypothesis)], language)


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row['language']}: {row['hypothesis'][:30]!r}")
def test_small_pairs_have_the_scores_of_the_package(row: dict) -> None:
    found = score(row["reference"], row["hypothesis"], row["language"]).parts
    assert [part or 0.0 for part in found.values()] == pytest.approx(row["scores"], abs=1e-6)


@languages
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_equal_scores_1_and_all_parts_stay_between_0_and_1(language: str, data: st.DataObject) -> None:
    texts = st.one_of(st.sampled_from(OWN[language]), st.lists(PIECES, max_size=40).map("".join))
    reference, hypothesis = data.draw(texts), data.draw(texts)
    for part in [*score(reference, hypothesis, language).parts.values(), score(reference, hypothesis, language).codebleu]:
        assert part is None or 0 <= part <= 1
    same = score(reference, reference, language)
    assert {part for part in same.parts.values() if part is not None} == {1.0}
    assert same.codebleu == pytest.approx(1)


@languages
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_names_do_not_matter_to_syntax_and_data_flow(language: str, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(OWN[language]))
    words = sorted(set(re.findall(r"\b[a-z]\w*\b", text)) - GRAMMARS[language].keywords - NO_NAMES)
    order = data.draw(st.permutations(range(len(words))))
    names = dict(zip(words, (f"n{number}" for number in order), strict=True))
    renamed = re.sub(r"\b[a-z]\w*\b", lambda word: names.get(word[0], word[0]), text)
    found = score(text, renamed, language)
    assert found.syntax_match_score == 1.0
    assert found.dataflow_match_score == 1.0


def test_data_flow_sees_where_values_come_from() -> None:
    text = "def f(a, b):\n    c = a\n    d = b\n    return c, d\n"
    crossed = "def f(a, b):\n    c = b\n    d = a\n    return c, d\n"
    found = score(text, crossed)
    assert found.syntax_match_score == 1.0
    assert found.dataflow_match_score is not None
    assert found.dataflow_match_score < 1.0


def test_behind_an_if_a_name_comes_from_each_branch_that_may_have_been_taken() -> None:
    grammar = GRAMMARS["python"]
    beginnings = {}  # edges without parents are kept where a later one comes from them
    for rest in ("", "else:\n    x = []\n"):
        with syntax.CodeReader(grammar) as reader:
            parsed = reader.read(f"x\nif a:\n    x = y\n{rest}print(x)\n")
        assert parsed
        flow = dataflow.flow_of(*parsed, grammar)
        assert flow
        beginnings[rest] = sum(not parents for _, relation, parents in flow.elements() if relation == dataflow.COMES)
    assert list(beginnings.values()) == [2, 1]  # x and y; with an else only y


@languages
def test_comments_do_not_count(language: str) -> None:
    mark = "#" if language == "python" else "//"
    for text in OWN[language]:
        lines = "\n".join(f"{line} {mark} a remark" for line in text.splitlines())
        found = score(text, lines, language)
        assert (found.syntax_match_score, found.dataflow_match_score or 1.0) == (1.0, 1.0)


def test_docstrings_count_neither_and_strings_with_marks_stay() -> None:
    plain = "def f(a):\n    b = a\n    return b\n"
    assert score(plain, plain.replace("b = a", '"""What it does."""\n\n    # a remark\n    b = a')).syntax_match_score == 1.0
    link = "const a = `http://${b}/`; const c = a;\n"
    cut = "const a = `http:\n"
    assert score(link, cut, "javascript").syntax_match_score != 1.0
    assert score("x = [\n'a',\n]\n", "x = [\n]\n").syntax_match_score != 1.0


def test_tabs_and_line_ends_make_no_difference() -> None:
    text = OWN["python"][5]
    found = score(text, text.replace("    ", "\t").replace("\n", "\r\n"))
    assert set(found.parts.values()) == {1.0}


def test_letters_of_several_bytes_do_not_shift_names() -> None:
    text = "größe = breite\nx = größe + breite\n"
    assert score(text, text.replace("ö", "o").replace("ß", "s")).dataflow_match_score == 1.0


def test_counts_are_summed_over_the_corpus() -> None:
    pairs = [([row["reference"]], row["hypothesis"]) for row in GOLDEN if row["language"] == "java"]
    whole, apart = codebleu(pairs, "java"), [codebleu([pair], "java") for pair in pairs]
    assert whole.pairs == len(pairs)
    assert whole.broken == sum(one.broken for one in apart) == 1
    syntaxes = [one.syntax_match_score or 0.0 for one in apart]
    assert min(syntaxes) < (whole.syntax_match_score or 0) < max(syntaxes)
    assert whole.syntax_match_score != pytest.approx(sum(syntaxes) / len(syntaxes), abs=1e-3)  # a mean would be something else


def test_of_several_references_each_counts() -> None:
    first, second = OWN["python"][:2]
    both = codebleu([([first, second], first)], "python")
    assert both.ngram_match_score == 1.0
    assert 0 < (both.syntax_match_score or 0) < 1


def test_what_is_not_there_is_no_part_of_the_mean() -> None:
    empty = score("", "")
    assert (empty.ngram_match_score, empty.weighted_ngram_match_score, empty.dataflow_match_score) == (None, None, None)
    assert score("def f(): pass\n", "").parts == {"n-grams": 0.0, "weighted n-grams": 0.0, "syntax": 0.0, "data flow": None}
    assert score("", "x = y\n").ngram_match_score == 0.0
    missed = score("x = y\nz = x\n", "print()\n")
    assert missed.dataflow_match_score == 0.0
    assert missed.codebleu == pytest.approx(sum(part or 0 for part in missed.parts.values()) / 4)  # not a match for nothing
    without = score("import os\nimport sys\n", "import os\nimport re\n")
    defined = [part for part in without.parts.values() if part is not None]
    assert without.codebleu == pytest.approx(sum(defined) / len(defined))


def test_weights_and_words_are_for_the_caller_to_choose() -> None:
    row = GOLDEN[3]
    pair = ([row["reference"]], row["hypothesis"])
    for number, part in enumerate(codebleu([pair], "python").parts.values()):
        weights = [float(number == at) for at in range(4)]
        assert codebleu([pair], "python", weights).codebleu == pytest.approx(part)
    finer = codebleu([pair], "python", tokenizer=re.compile(r"\w+|\S").findall)
    assert finer.ngram_match_score != codebleu([pair], "python").ngram_match_score
    assert finer.syntax_match_score == codebleu([pair], "python").syntax_match_score


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1, 1, -1, 0), (0.5, 0.5, 0.5, 0.5), (float("nan"), 0, 0, 1)])
def test_other_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(AxlError, match="sum to 1"):
        codebleu([(["x"], "x")], "python", weights)


def test_other_input_is_refused_in_a_line() -> None:
    for pairs, language, what in [
        ([(["x"], "x")], "cobol", "unknown language"),
        ([], "python", "no pair"),
        ([([], "x")], "python", "no reference"),
        ([(["x" * (syntax.MAX_TEXT_BYTES + 1)], "x")], "python", "leave it out"),
    ]:
        with pytest.raises(AxlError, match=what):
            codebleu(pairs, language)


HOSTILE = {
    "brackets": "(" * 30_000,
    "blocks": "{" * 10_000 + "}" * 10_000,
    "ifs": "if(a)" * 10_000,
    "chain": "a=" * 3_000 + "b",
    "sum": "a = b" + " + b" * 10_000,
    "indented": "".join(" " * depth + "if a:\n" for depth in range(250)),
    "loops": "while(a)" * 60 + "b+=1;",
    "loops of Python": "".join(" " * depth + "while a:\n" for depth in range(60)) + " " * 60 + "a = b\n",
    "branches": "".join(f"if a:\n    b{number} = {number}\n" for number in range(3_000)),
    "product": ",".join(f"a{n}" for n in range(4_000)) + "=f(" + ",".join(f"b{n}" for n in range(4_000)) + ")",
    "control": "\0\x01\x7f" * 5_000,
    "quotes": "'" * 20_001,
    "ambiguous": "a<" * 1_500,
}


@languages
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_texts_that_mean_harm_have_a_score(language: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflow, "MAX_STEPS", 300_000)
    found = score(text, text, language)
    assert {part for part in found.parts.values() if part is not None} == {1.0}


def test_loops_in_loops_have_no_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflow, "MAX_STEPS", 100_000)
    looped = score(HOSTILE["loops of Python"], HOSTILE["loops of Python"])
    assert (looped.syntax_match_score, looped.dataflow_match_score, looped.too_complex) == (1.0, None, 2)


def test_what_would_take_all_memory_is_not_parsed() -> None:
    text, fair = "a<" * 100_000, OWN["java"][0]  # 100 GB
    unread = score(fair, text, "java")
    assert (unread.syntax_match_score, unread.dataflow_match_score, unread.too_complex, unread.broken) == (0.0, 0.0, 1, 1)
    against = score(text, fair, "java")
    assert (against.syntax_match_score, against.dataflow_match_score, against.too_complex) == (None, None, 1)


def test_after_a_text_that_is_too_much_the_next_is_parsed() -> None:
    fair = "\n".join(OWN["java"] * 3)
    assert len(fair) > probe.SAFE_BYTES
    pairs = [([fair], "a<" * 100_000), ([fair], fair)]
    assert codebleu(pairs, "java").syntax_match_score == 0.5


def test_a_defect_of_the_process_that_tries_is_no_hostile_text() -> None:
    with probe.Probe("no_such_grammar") as trial:
        assert trial.can_parse(b"x" * probe.SAFE_BYTES)  # none is asked
        with pytest.raises(AxlError, match="has ended"):
            trial.can_parse(b"x" * (probe.SAFE_BYTES + 1))


def test_a_string_is_one_value() -> None:
    text = "def f(self):\n    self.name = 'a'\n    a, b, c = 'xyz'\n    return b\n"
    assert score(text, text).dataflow_match_score == 1.0


@pytest.mark.slow
@languages
def test_a_megabyte_has_a_score(language: str) -> None:
    text = ("\n".join(OWN[language]) * 1_000)[:1_000_000]
    found = score(text, text, language)
    assert set(found.parts.values()) == {1.0}
    assert found.too_complex == 0

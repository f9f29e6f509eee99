"""The skill fix: what a failure says, in which order edits are tried, and that only what passed the test is proposed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from held import needs_sandbox
from multiscale_transformer.cli.main import main
from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.bugs import LIMITS as SHORT
from multiscale_transformer.tasks.bugs import Checked, bugs_of, fixes, load_mbpp
from multiscale_transformer.tasks.fix import ORDER_FILE, Budget, Focus, is_test, search
from multiscale_transformer.tasks.fix_order import Gains, Order, features_of, learn, load_order, save_order
from multiscale_transformer.tasks.observe import Observed, observe
from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.source_text import SourceText
from multiscale_transformer.tasks.symptoms import SYMPTOMS, symptom
from multiscale_transformer.tasks.test_runs import LIMITS, MOST_IMPORTED, Project, failures_in
from tiny import SHAPES, checkpoint

pytestmark = needs_sandbox
AREA = """\
def longest(words):
    best = ''
    for word in words:
        if len(word) < len(best):
            best = word
    return best
"""
MENDED = AREA.replace("<", ">")
TEST = "from geo.area import longest\n\ndef test_longest():\n    assert longest(['a', 'abc', 'ab']) == 'abc'\n"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in (("src/geo/__init__.py", ""), ("src/geo/area.py", AREA), ("tests/test_area.py", TEST)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("actual", "expected", "word"),
    [
        ("None", "3", "nothing came"), ("True", "False", "true for false"), ("True", "1", "another type"),
        ("3", "'3'", "another type"), ("4", "3", "one more"), ("2.0", "3.0", "one less"), ("-3", "3", "another sign"),
        ("9", "3", "another number"), ("'ab'", "'abc'", "one shorter"), ("[1, 2]", "[1]", "one longer"),
        ("[]", "[1, 2]", "shorter"),
        ("(1, 2, 3)", "(1,)", "longer"), ("[2, 1]", "[1, 2]", "another order"), ("'ad'", "'bc'", "another text"),
        ("{1: 2}", "{1: 3}", "other items"), ("<object>", "3", "something else"),
    ],
)  # fmt: skip
def test_what_a_value_says(actual: str, expected: str, word: str) -> None:
    assert symptom(Observed(test="", error="AssertionError", actual=actual, expected=expected)) == word
    assert word in SYMPTOMS


def test_what_an_error_says() -> None:
    assert symptom(Observed(test="", error="IndexError")) == "IndexError"
    assert symptom(Observed(test="", error="CustomError")) == "something else"


def test_tests_are_observed(box: Sandbox) -> None:
    module = "def f(x):\n    if x:\n        return 1\n    return [][x]\n"
    seen = observe(box, module, ["assert f(1) == 1", "assert f(2) == 2", "assert f(0) == 0", "f(3)"])
    assert [test.error for test in seen.tests] == [None, "AssertionError", "IndexError", None]
    assert seen.tests[1].actual == "1"
    assert (seen.tests[2].at, seen.tests[2].lines) == ((4,), (2, 4))
    assert not seen.passed
    assert observe(box, module, ["assert f(1) == 1"]).passed
    assert observe(box, "def f(:", ["f()"]).failure.error == "SyntaxError"
    assert observe(box, "while True: pass", ["f()"], limits=SHORT).failure.error == "Timeout"


def test_bugs_are_killed_by_their_tests_and_come_in_a_fixed_order(box: Sandbox, tmp_path: Path) -> None:
    row = {"task_id": 601, "code": MENDED.replace("\n", "\r\n"), "test_setup_code": "", "test_list": [
        "assert longest(['a', 'abc', 'ab']) == 'abc'"]}  # fmt: skip
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "task_id": 7}))
    (checked,) = load_mbpp(tmp_path / "mbpp.jsonl", range(601, 975))
    bugs = list(bugs_of(box, [checked], each=4))
    assert bugs == list(bugs_of(box, [checked], each=4))
    assert len({bug.code for bug in bugs}) == 4
    for bug in bugs:
        assert not fixes(box, bug, bug.code)
        assert fixes(box, bug, checked.code)
        assert bug.failure.error is not None
    broken = Checked(name="x", code="def f(): return 1", tests=("assert f() == 2",))
    assert list(bugs_of(box, [broken], each=4)) == []
    (tmp_path / "mbpp.jsonl").write_text("{}")
    with pytest.raises(AxlError, match=r"no mbpp\.jsonl"):
        load_mbpp(tmp_path / "mbpp.jsonl", [601])


def test_an_order_learns_which_kind_of_edit_mends_which_failure(tmp_path: Path) -> None:
    failure = Observed(test="", error="AssertionError", actual="'a'", expected="'abc'", lines=(3, 4, 6))
    edits = edits_of(SourceText(AREA))
    features = features_of(AREA, edits, failure, [{"between": 0.0}] * len(edits))
    mends = [edit.apply(AREA) == MENDED for edit in edits]
    assert sum(mends) == 1
    order = learn([(features, mends)] * 3, l2=0.01)
    assert mends[int(order.scores(features).argmax())]
    assert order.weights["< -> >"] > order.weights["< -> <="]
    save_order(order, tmp_path / "order.json")
    assert load_order(tmp_path / "order.json") == order
    (tmp_path / "order.json").write_text("[]")
    with pytest.raises(AxlError, match="no weights"):
        load_order(tmp_path / "order.json")


def test_gains_are_differences_to_the_text_as_it_is(tmp_path: Path) -> None:
    checkpoint(SHAPES["memory"].model_copy(update={"max_seq_len": 1024}), tmp_path)
    edits = edits_of(SourceText(AREA))
    gains = Gains(load_engine(tmp_path)).of(AREA, edits)
    assert len(gains) == len(edits)
    assert all(set(gain) == {"between", "after"} for gain in gains)
    assert any(gain["between"] != 0 for gain in gains)
    same = edits[0].__class__(edits[0].start, edits[0].end, AREA[edits[0].start : edits[0].end], "x", edits[0].line)
    assert Gains(load_engine(tmp_path)).of(AREA, [same]) == [{"between": 0.0, "after": 0.0}]


def test_a_search_ends_with_what_passed_and_leaves_the_project_alone(project: Path, box: Sandbox) -> None:
    before = snapshot(project)
    tested = Project(project, (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"), box)
    found = search(tested, load_order(ORDER_FILE), budget=Budget(runs=60))
    assert found.fix is not None, found.first.output
    assert tested.run({found.fix.file: found.fix.after}).passed
    assert found.first.failures["src/geo/area.py"].lines == (2, 3, 4, 6)
    assert snapshot(project) == before
    assert search(tested, Order(weights={}), budget=Budget(runs=1)).runs == 1
    assert search(tested, Order(weights={}), budget=Budget(), focus=Focus("src/geo/area.py", range(1, 2))).fix is None


def test_a_test_command_cannot_reach_the_project(project: Path, box: Sandbox) -> None:
    reach = f"open({str(project / 'src/geo/area.py')!r}, 'w').write('')"
    before = snapshot(project)
    assert not Project(project, (sys.executable, "-c", reach), box).run().passed
    assert Project(project, (sys.executable, "-c", "open('src/geo/area.py', 'w').write('')"), box).run().passed
    assert snapshot(project) == before


@needs_sandbox
@pytest.mark.parametrize(("count", "suspects"), [(MOST_IMPORTED, MOST_IMPORTED + 2), (MOST_IMPORTED + 1, 2)])
def test_of_many_files_those_only_imported_are_no_suspects(tmp_path: Path, box: Sandbox, count: int, suspects: int) -> None:
    """The test and what it calls always are."""
    (tmp_path / "called.py").write_text("def value():\n    return 1\n")
    for number in range(count):
        (tmp_path / f"other{number}.py").write_text("SIZE = 1\n")
    imports = "".join(f"import other{number}\n" for number in range(count))
    (tmp_path / "check.py").write_text(f"{imports}import called\ndef check():\n    assert called.value() == 2\ncheck()\n")
    ran = Project(tmp_path, (sys.executable, "check.py"), box).run(trace=True).ran
    assert len(ran) == suspects
    assert ran["called.py"] == (2,)


def test_what_pytest_and_python_print_is_read() -> None:
    pytest_output = (
        "src/geo/area.py:4: in longest\n    x\nE   IndexError: list index out of range\nsrc/geo/area.py:9: IndexError\n"
    )
    seen = failures_in(pytest_output, "failed", {"src/geo/area.py": (4, 9)})["src/geo/area.py"]
    assert (seen.error, seen.message, seen.at) == ("IndexError", "list index out of range", (4, 9))
    compared = failures_in("E       assert 3 == 4\nE        +  where 3 = f()\n", "failed", {"a.py": (1,)})["a.py"]
    assert (compared.error, compared.actual, compared.expected) == ("AssertionError", "3", "4")
    plain = failures_in('  File "/tmp/x/1/pkg/a.py", line 3, in f\nKeyError: 5\n', "failed", {"pkg/a.py": (3,)})
    assert plain["pkg/a.py"].at == (3,)
    unequal = failures_in("AssertionError: 3 != 4\n", "failed", {"a.py": (1,)})["a.py"]
    assert (unequal.actual, unequal.expected) == ("3", "4")


@pytest.mark.parametrize(
    ("name", "test"), [("tests/a.py", True), ("test_a.py", True), ("a_test.py", True), ("src/testing.py", False)]
)
def test_tests_are_known_by_their_names(name: str, test: bool) -> None:
    assert is_test(name) == test


def test_the_command(project: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path_factory.mktemp("model")
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 2048}), model)
    (project / "tests/check.py").write_text("from geo.area import longest\nassert longest(['a', 'abc', 'ab']) == 'abc'\n")
    words = ["fix", "--project", str(project), "--test", f"{sys.executable} tests/check.py", "--model", str(model)]
    assert main([*words, "--runs", "1", "--json"]) in (0, 1)
    capsys.readouterr()
    assert main([*words, "--runs", "60", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["applied"] is False
    assert answer["diff"].startswith("--- a/src/geo/area.py")
    assert (project / "src/geo/area.py").read_text() == AREA
    assert main([*words, f"{project}/src/geo/area.py:longest", "--runs", "60", "--apply"]) == 0
    assert "Applied" in capsys.readouterr().out
    assert (project / "src/geo/area.py").read_text() != AREA
    assert main(words) == 1
    assert "passes as it is" in capsys.readouterr().out
    assert main([*words, "--project", str(project / "absent")]) == 2
    assert main([*words, "nowhere.py"]) == 2
    assert main([*words, "--test", "no-such-command"]) == 2
    assert main([*words, "--test", 'pytest -k "a']) == 2
    assert main([*words, "--test", ""]) == 2

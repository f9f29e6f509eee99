"""Who writes code for benchmarks: a model by its engine, counts alone, and the nearest function of an index."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from code_problems import DOUBLE, GAP, HUMANEVAL, JAVASCRIPT, MBPP, lines
from held import needs_sandbox
from multiscale_transformer.engine.scheduler import Scheduler
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.index import build_index, remove_documents
from multiscale_transformer.memory.lookup import CorpusMemory, open_memory
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.code_benchmarks.authors import Drawing, ModelAuthor, model_digest
from multiscale_transformer.tasks.code_benchmarks.execution import LIMITS, judge
from multiscale_transformer.tasks.code_benchmarks.humaneval import humaneval, infilling
from multiscale_transformer.tasks.code_benchmarks.humaneval_x import humaneval_x
from multiscale_transformer.tasks.code_benchmarks.mbpp import mbpp
from multiscale_transformer.tasks.code_benchmarks.problem import Problem
from multiscale_transformer.tasks.code_benchmarks.rivals import MemoryAlone, NearestFunction, functions_in
from multiscale_transformer.tasks.writer import Writer
from tiny import SHAPES, checkpoint

FILES = {
    "numbers.py": b"""import math


@wraps
def twice(number):
    # a double of a number: double, twice
    return number * 2
""",
    "filters.py": b"""def filtered(values, bound):
    return [one for one in values if one > bound]  # larger, above


class Larger:
    def larger(self): pass
""",
    "broken.py": b"def larger(numbers, least) return\n",
    "old.py": b"def double(number):\n    return number - number\n",
    "notes.txt": b"def double(number):\n    return 0\n",
}


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> CorpusMemory:
    folder = tmp_path_factory.mktemp("index") / "index"
    index = build_index(folder, FILES.items())
    remove_documents(index, ["old.py"])
    return open_memory([folder])


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Scheduler:
    folder = tmp_path_factory.mktemp("model") / "model"
    checkpoint(SHAPES["memory"], folder)
    return open_scheduler(folder, threads=1)


@pytest.fixture
def problems(tmp_path: Path) -> list[Problem]:
    return [*humaneval(lines(tmp_path / "a", HUMANEVAL)), *infilling(lines(tmp_path / "b", [GAP]))]


def written(author: ModelAuthor, problems: list[Problem]) -> list[list[str]]:
    return [[one.completion for one in of_problem] for of_problem in author.write(problems)]


def test_what_is_written_depends_on_problem_and_seed_alone(
    scheduler: Scheduler, memory: CorpusMemory, problems: list[Problem]
) -> None:
    drawing = Drawing(each=3, temperature=1.0, max_bytes=24)
    together = written(ModelAuthor(scheduler, memory, drawing), problems)
    alone = [written(ModelAuthor(scheduler, memory, drawing), [problem])[0] for problem in reversed(problems)]
    assert together == alone[::-1]
    assert all(len(set(texts)) == 3 for texts in together)
    other = written(ModelAuthor(scheduler, memory, drawing.model_copy(update={"seed": 1})), problems)
    assert all(set(left).isdisjoint(right) for left, right in zip(together, other, strict=True))


def test_completions_end_at_stops_and_lengths(scheduler: Scheduler, problems: list[Problem]) -> None:
    function, line = problems[0], problems[2]
    ticks: list[int] = []
    author = ModelAuthor(scheduler, None, Drawing(max_bytes=20), lambda: ticks.append(1))
    ((text,),) = written(author, [function])
    assert 0 < len(text) <= 20
    stop = text[4:6]
    stopped = function.model_copy(update={"stops": (stop,), "closing": "|"})
    assert written(author, [stopped]) == [[text[: text.index(stop)] + "|"]]
    ((text,),) = written(author, [line])
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert len(ticks) == 3
    with pytest.raises(AxlError, match="greedy"):
        ModelAuthor(scheduler, None, Drawing(each=2))


def test_bits_of_the_solution_are_those_of_its_log_probability(
    scheduler: Scheduler, memory: CorpusMemory, problems: list[Problem]
) -> None:
    for known in (memory, None):
        author, writer = ModelAuthor(scheduler, known, Drawing()), Writer(scheduler, known)
        for problem in (problems[0], problems[2]):
            after = problem.suffix or ""
            (expected,) = writer.log_probabilities(problem.prompt, [problem.canonical], after=after, ended=False)
            assert author.canonical_bits(problem) == pytest.approx(-expected / math.log(2), rel=1e-3)
    long = problems[0].model_copy(update={"prompt": problems[0].prompt * 9, "canonical": problems[0].canonical * 40})
    bits = ModelAuthor(scheduler, memory, Drawing()).canonical_bits(long)  # longer than the window
    assert bits is not None
    assert 0 < bits < 20 * len(long.canonical)


def test_counts_alone_go_on_with_what_stands_in_index_or_problem(memory: CorpusMemory, problems: list[Problem]) -> None:
    copied = problems[0].model_copy(
        update={"prompt": "def filtered(values, bound):\n    return [one for", "stops": ("\n\n\n",)}
    )
    rival = MemoryAlone(memory)
    assert rival.name == "memory alone"
    assert rival.write([copied])[0][0].completion == " one in values if one > bound]  # larger, above"
    within = problems[0].model_copy(update={"prompt": "alpha = beta + gamma\ndelta\nalpha = bet", "stops": ("\n",)})
    alone = MemoryAlone(None)
    assert alone.name == "copying from the problem"
    assert alone.write([within])[0][0].completion == "a + gamma"
    gap = problems[2].model_copy(update={"prompt": "x = [one for one in ", "suffix": "\nfinal_total = one\n"})
    assert rival.write([gap])[0][0].completion.startswith("values if one > bound]")


def test_functions_are_those_at_the_top_of_python_files_that_are_not_removed(memory: CorpusMemory) -> None:
    found = {name: (parameters, text) for name, parameters, text in functions_in(memory)}
    assert set(found) == {"twice", "filtered"}
    assert found["twice"] == (1, "def twice(number):\n    # a double of a number: double, twice\n    return number * 2")


@needs_sandbox
def test_the_nearest_function_stands_for_the_one_that_is_asked_for(
    memory: CorpusMemory, problems: list[Problem], tmp_path: Path
) -> None:
    rival = NearestFunction(memory)
    assert rival.suits(problems[:2])
    assert not rival.suits(problems)
    assert not rival.suits(humaneval_x(lines(tmp_path / "js", JAVASCRIPT)))
    task = MBPP[4] | {"text": "Write a function that gives twice a number.", "test_list": ["assert add(3) == 6"]}
    asked = [*problems[:2], *mbpp(lines(tmp_path / "m", [task]))]
    with Sandbox(LIMITS) as box:
        for problem, (answer,) in zip(asked, rival.write(asked), strict=True):
            assert judge(box, problem, answer.program(problem)).passed, answer
    nothing = problems[0].model_copy(update={"prompt": "§§§"})
    assert rival.write([nothing])[0][0].completion == ""


def test_a_models_digest_changes_with_what_it_writes_by(tmp_path: Path) -> None:
    checkpoint(SHAPES["flat"], tmp_path / "model")
    before = model_digest(tmp_path / "model")
    assert model_digest(tmp_path / "model") == before
    (tmp_path / "model" / "training.json").write_text("{}")
    assert model_digest(tmp_path / "model") == before
    (tmp_path / "model" / "engine.json").write_text("{}")
    assert model_digest(tmp_path / "model") != before
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(AxlError, match="cannot be read"):
        model_digest(tmp_path / "model")


def test_a_memorys_digest_is_that_of_its_documents(memory: CorpusMemory, tmp_path: Path) -> None:
    kept = {name: content for name, content in FILES.items() if name != "old.py"}
    build_index(tmp_path / "same", kept.items())
    build_index(tmp_path / "all", FILES.items())
    assert open_memory([tmp_path / "same"]).digest() == memory.digest() != open_memory([tmp_path / "all"]).digest()
    assert DOUBLE["entry_point"] not in {name for name, _, _ in functions_in(memory)}

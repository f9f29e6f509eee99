"""MBPP (Austin et al. 2021, arXiv 2108.07732): a sentence and three assertions in, a program out; ids 11 to 510 are the test.

Both files are read, `mbpp.jsonl` and the hand-checked `sanitized-mbpp.json`. The paper's prompt has three solved tasks before
the one that is asked (ids 2, 3 and 4). Base models are commonly asked without them, by a docstring of the sentence and the
assertions (Fried et al. 2022, arXiv 2204.05999), and that is shorter: a byte is a token here.
"""

from __future__ import annotations

import re

from pydantic import Field

from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.bugs import MBPP_MEASURE
from multiscale_transformer.tasks.code_benchmarks.problem import Language, Problem
from multiscale_transformer.tasks.code_benchmarks.reading import Origin, Row, read_rows

MBPP = Origin(
    "MBPP",
    "mbpp.jsonl or sanitized-mbpp.json of github.com/google-research/google-research, folder mbpp",
    "google-research-datasets/mbpp",
    "full",
    ("prompt", "test"),
)
PREFIX = "Mbpp/"  # of the ids, as in EvalPlus
SHOTS = (2, 3, 4)
STOPS = ("\nclass", "\nassert", '\n"""', "\nprint", "\nif")
STOPS_AFTER_SHOTS = ("[DONE]",)
_CALLED = re.compile(r"[A-Za-z_]\w*(?=\s*\()")


class _Task(Row):
    """A task of either file: the full one has `text` and `test_setup_code`, the sanitized one `prompt` and `test_imports`."""

    task_id: int
    code: str
    test_list: tuple[str, ...] = Field(min_length=1, strict=False)
    text: str = ""
    prompt: str = ""
    test_setup_code: str = ""
    test_imports: tuple[str, ...] = Field((), strict=False)

    @property
    def sentence(self) -> str:
        return (self.text or self.prompt).strip()

    @property
    def program(self) -> str:
        return self.code.replace("\r\n", "\n")

    @property
    def test(self) -> str:
        return "\n".join([*self.test_imports, self.test_setup_code.replace("\r\n", "\n"), *self.test_list]) + "\n"


def mbpp(source: str, *, shots: bool = False) -> list[Problem]:
    """The test's problems in a file, or of the hub; with `shots` behind the paper's three solved tasks.

    Raises AxlError for another file, and where it lacks the solved tasks.
    """
    tasks = read_rows(source, MBPP, _Task)
    if any(not task.sentence for task in tasks):
        raise AxlError(f"{source} is no file of MBPP (a task has neither text nor prompt); give {MBPP.published}")
    before = _solved(tasks, source) if shots else ""
    return [_problem(task, before) for task in tasks if task.task_id in MBPP_MEASURE]


def _problem(task: _Task, before: str) -> Problem:
    called = [name for name in _CALLED.findall(task.test_list[0]) if f"def {name}" in task.code]
    return Problem(
        task_id=f"{PREFIX}{task.task_id}",
        language=Language.PYTHON,
        prompt=before + _asked(task) if before else _docstring(task),
        canonical=task.program,
        test=task.test,
        stops=STOPS_AFTER_SHOTS if before else STOPS,
        function=called[0] if called else "",
    )


def _docstring(task: _Task) -> str:
    return '"""\n' + "\n".join([task.sentence, *task.test_list]) + '\n"""\n'


def _asked(task: _Task) -> str:
    tests = "\n".join(task.test_list)
    return (
        f"You are an expert Python programmer, and here is your task: {task.sentence} "
        f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )


def _solved(tasks: list[_Task], source: str) -> str:
    by_id = {task.task_id: task for task in tasks}
    if missing := [number for number in SHOTS if number not in by_id]:
        raise AxlError(f"{source} lacks task {missing[0]}, which the paper's prompt shows solved; leave --shots out")
    return "".join(f"{_asked(by_id[number])}{by_id[number].program}\n[DONE]\n" for number in SHOTS)

"""HumanEval (Chen et al. 2021, arXiv 2107.03374) and its infilling variants (Bavarian et al. 2022, arXiv 2207.14255).

HumanEval is 164 functions to write from signature and docstring. Infilling takes their canonical solutions and asks for one
line of them, several, or a span from anywhere to anywhere. In all of them one `check` decides.
"""

from __future__ import annotations

from pydantic import field_validator

from multiscale_transformer.tasks.code_benchmarks.problem import Language, Problem
from multiscale_transformer.tasks.code_benchmarks.reading import Origin, Row, read_rows

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")  # as the paper has them
HUMANEVAL = Origin("HumanEval", "HumanEval.jsonl.gz of github.com/openai/human-eval", "openai/openai_humaneval")
INFILLING = Origin(
    "HumanEval infilling",
    "HumanEval-SingleLineInfilling.jsonl.gz or another one of github.com/openai/human-eval-infilling",
    "loubnabnl/humaneval_infilling",
    "HumanEval-SingleLineInfilling",
)
ONE_LINE = "SingleLineInfilling/"  # how the ids of problems begin whose gap is a line
LINE_BYTES, GAP_BYTES = 256, 768  # the longest canonical ones are 141 and, of the light spans, 417


class _Function(Row):
    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    @field_validator("entry_point")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not name.isidentifier():
            raise ValueError("it is no name of a function")
        return name


class _Gap(_Function):
    suffix: str


def humaneval(source: str) -> list[Problem]:
    """The problems of HumanEval in a file, or of the hub. Raises AxlError for another file."""
    return [
        Problem(
            task_id=row.task_id,
            language=Language.PYTHON,
            prompt=row.prompt,
            canonical=row.canonical_solution,
            head=row.prompt,
            test=_test(row),
            stops=STOPS,
            function=row.entry_point,
        )
        for row in read_rows(source, HUMANEVAL, _Function)
    ]


def infilling(source: str) -> list[Problem]:
    """The problems of one of the infilling files, or of the hub. Raises AxlError for another file."""
    return [_infilling(row) for row in read_rows(source, INFILLING, _Gap)]


def _infilling(row: _Gap) -> Problem:
    one_line = row.task_id.startswith(ONE_LINE)
    return Problem(
        task_id=row.task_id,
        language=Language.PYTHON,
        prompt=row.prompt,
        suffix=row.suffix,
        canonical=row.canonical_solution,
        head=row.prompt,
        tail=row.suffix,
        test=_test(row),
        stops=("\n",) if one_line else (),
        closing="\n" if one_line else "",
        one_line=one_line,
        max_bytes=LINE_BYTES if one_line else GAP_BYTES,
        function=row.entry_point,
    )


def _test(row: _Function) -> str:
    return f"{row.test}\ncheck({row.entry_point})\n"

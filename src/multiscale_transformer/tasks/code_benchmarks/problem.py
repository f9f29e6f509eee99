"""A problem of a benchmark that runs code, the same for all: what the model reads, what it may write, and what tests it.

prompt   what the model reads before the place that it writes at, and `suffix` behind it where the place is a gap
head     what stands before its completion in the program, `tail` behind it; together they are the solution
test     what is run behind the solution
"""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict, Field


class Language(Enum):
    """What a problem's program is written in."""

    PYTHON = "Python"
    JAVASCRIPT = "JavaScript"
    RUST = "Rust"


class Problem(BaseModel):
    """One problem. `needs` names libraries without which even the canonical solution fails; such problems are not judged.

    A completion ends before the first of `stops`, and then `closing` is put behind it: what the stop took away with it, such as
    the brace that ends a function. A `one_line` completion ends with its line in any case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: str
    language: Language
    prompt: str
    canonical: str
    test: str
    head: str = ""
    tail: str = ""
    suffix: str | None = None  # None where the model goes on after the prompt
    stops: tuple[str, ...] = ()
    closing: str = ""
    one_line: bool = False
    max_bytes: int = Field(1024, ge=1)  # of a completion
    function: str = ""  # that is asked for, where there is one by name
    needs: tuple[str, ...] = ()

    def solution(self, completion: str) -> str:
        """The program's text without its test."""
        return self.head + completion + self.tail

    def finished(self, text: str, *, stopped: bool) -> str:
        """What a model wrote as a completion; `stopped` says that one of `stops` has ended it."""
        return text + self.closing if stopped or self.one_line else text

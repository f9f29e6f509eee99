"""HumanEval-X (Zheng et al. 2023, arXiv 2303.17568): HumanEval's functions in other languages, here JavaScript and Rust.

The language is in the ids. A function ends with a brace at the beginning of a line, which the canonical solutions have and a
stop string takes away. Rust's declarations use three crates for all problems; few need one, and those are not judged, since
nothing is downloaded here, nor are the problems in JavaScript that require a package.
"""

from __future__ import annotations

import re

from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.code_benchmarks.problem import Language, Problem
from multiscale_transformer.tasks.code_benchmarks.reading import Origin, Row, read_rows

HUMANEVAL_X = Origin(
    "HumanEval-X", "humaneval_js.jsonl.gz or humaneval_rust.jsonl.gz of github.com/THUDM/CodeGeeX, benchmark/humaneval-x"
)
STOPS, CLOSING = ("\n}",), "\n}\n"
MAX_BYTES = 1536  # of a completion; the longest canonical ones are 1,325 and, in Rust, 2,157
_CRATES = ("rand", "regex", "md5")
_USE = re.compile(rf"^use ({'|'.join(_CRATES)})\b.*;[ \t]*$", re.MULTILINE)
_NEEDED = {  # what is written where a crate is needed
    "rand": re.compile(r"\brand::|thread_rng|gen_range"),
    "regex": re.compile(r"\bRegex::|RegexBuilder"),
    "md5": re.compile(r"\bmd5::"),
}
_REQUIRED = re.compile(r"require\(['\"]([^'\"]+)['\"]\)")
_OF_NODE = frozenset({"assert", "crypto", "fs", "path", "util"})


class _Translated(Row):
    task_id: str
    prompt: str
    declaration: str
    canonical_solution: str
    test: str


def humaneval_x(source: str) -> list[Problem]:
    """The problems of a file in JavaScript or Rust. Raises AxlError for one in another language, or of something else."""
    return [_problem(row, source) for row in read_rows(source, HUMANEVAL_X, _Translated)]


def _problem(row: _Translated, source: str) -> Problem:
    written = row.canonical_solution + row.test
    if row.task_id.startswith("JavaScript/"):
        language, head = Language.JAVASCRIPT, row.prompt
        prompt = head
        needs = {name for name in _REQUIRED.findall(written) if name not in _OF_NODE}
    elif row.task_id.startswith("Rust/"):
        language, prompt = Language.RUST, row.prompt + row.declaration
        head = _USE.sub("", prompt)
        needs = {name for name, pattern in _NEEDED.items() if pattern.search(head + written)}
    else:
        raise AxlError(f"{source} has the problem {row.task_id!r}; of HumanEval-X JavaScript and Rust are run here")
    return Problem(
        task_id=row.task_id,
        language=language,
        prompt=prompt,
        canonical=row.canonical_solution,
        head=head,
        test=row.test,
        stops=STOPS,
        closing=CLOSING,
        max_bytes=MAX_BYTES,
        needs=tuple(sorted(needs)),
    )

"""What a model has to beat: the same indexes without a net.

`MemoryAlone` writes byte by byte what most often came next after the longest contexts, in the index and in the problem itself,
by the look-ups that the model gets as features. `NearestFunction` takes the function of the index that is most alike by its
words (BM25) and puts it in the place of the one that is asked for, whose arguments it gets.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Sequence

from multiscale_transformer.engine.detokenizer import IncrementalDetokenizer
from multiscale_transformer.engine.infill import fim_ids
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import TextReader
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.memory_spec import NO_CANDIDATE
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.tasks.code_benchmarks.authors import Written
from multiscale_transformer.tasks.code_benchmarks.problem import Language, Problem
from multiscale_transformer.tasks.nearest import Nearest
from multiscale_transformer.tasks.source_text import parsed

MAX_FUNCTION = 2000  # bytes of one that is retrieved
_INDENT = "    "


class MemoryAlone:
    """Writes the likeliest next byte by look-ups alone; without an index by what stands in the problem."""

    def __init__(self, memory: CorpusMemory | None) -> None:
        self.name = "memory alone" if memory is not None else "copying from the problem"
        self._memory = memory or CorpusMemory([build_shard([("", b"\n")])[0]])

    def write(self, problems: Sequence[Problem]) -> list[list[Written]]:
        """One completion of each problem."""
        return [[Written(completion=self._completion(problem))] for problem in problems]

    def canonical_bits(self, problem: Problem) -> float | None:
        """None: counts are no probabilities until something weighs them."""
        return None

    def _completion(self, problem: Problem) -> str:
        before = problem.prompt.encode()
        ids = fim_ids(before, problem.suffix.encode()) if problem.suffix else [BOS, *before]
        reader = TextReader(self._memory)
        detokenizer = IncrementalDetokenizer([stop.encode() for stop in problem.stops])
        features, text = reader.read(ids, n_skip=len(ids) - 1), ""
        for _ in range(problem.max_bytes):
            likeliest = int(features.symbols_TM[-1, 0])
            if likeliest in (NO_CANDIDATE, EOS):
                break
            text += detokenizer.push(likeliest)
            if detokenizer.stopped:
                break
            features = reader.read([likeliest])
        text += detokenizer.close(ended=True)
        return problem.finished(text, stopped=detokenizer.stopped)


class NearestFunction:
    """Retrieves functions in Python from the documents of an index."""

    name = "nearest function"

    def __init__(self, memory: CorpusMemory) -> None:
        self._functions = list(functions_in(memory))
        self._nearest = Nearest([text for _, _, text in self._functions])

    @staticmethod
    def suits(problems: Sequence[Problem]) -> bool:
        """Whether functions in Python are asked for."""
        return all(problem.language is Language.PYTHON and problem.suffix is None for problem in problems)

    def write(self, problems: Sequence[Problem]) -> list[list[Written]]:
        """One completion of each problem; an empty one where nothing is alike."""
        return [[Written(completion=self._completion(problem))] for problem in problems]

    def canonical_bits(self, problem: Problem) -> float | None:
        """None: what is retrieved has no probability."""
        return None

    def _completion(self, problem: Problem) -> str:
        number = self._nearest.best(problem.prompt)
        if number is None or not problem.function:
            return ""
        name, parameters, text = self._functions[number]
        if not problem.head:  # the whole program is wanted
            return f"{text}\n{problem.function} = {name}\n"
        asked = _parameters_of(problem)[:parameters]
        inner = textwrap.indent(text, _INDENT)
        return f"{inner}\n{_INDENT}return {name}({', '.join(asked)})\n"


def functions_in(memory: CorpusMemory) -> Iterator[tuple[str, int, str]]:
    """Name, number of parameters and text of the functions at the top of the Python files of an index."""
    for document in memory.documents():
        if not document.name.endswith((".py", ".pyi")):
            continue
        try:
            text = document.content.decode()
            tree = parsed(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and (node.args.args or node.args.posonlyargs):
                found = "\n".join(text.split("\n")[node.lineno - 1 : node.end_lineno])
                if len(found.encode()) <= MAX_FUNCTION:
                    yield node.name, len(node.args.posonlyargs) + len(node.args.args), found


def _parameters_of(problem: Problem) -> list[str]:
    try:
        tree = parsed(f"{problem.head}{_INDENT}pass\n")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    wanted = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == problem.function)
    return [one.arg for node in wanted for one in (*node.args.posonlyargs, *node.args.args)]

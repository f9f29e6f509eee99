"""The skill test: a function in, a test out that passes on it and fails on as many of its mutants as five calls can see.

The model proposes calls; the sandbox says what they give. A call that gives the same literal twice becomes an assertion; which
are kept is decided by mutants, small edits of the function (`tasks.operators`): greedily those calls that see the most of them
(set cover). What is written down is what the function does now, right or wrong: a person reads it before it is kept.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.calls import Call, Result, calls_in, literal_call, results_of, steady_results
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.random_calls import random_calls
from multiscale_transformer.tasks.source_text import SourceText, parsed
from multiscale_transformer.tasks.writer import Writer

MAX_ASSERTS = 5
MAX_MUTANTS = 40
SAMPLES = 24  # texts that the model writes
RANDOM = 24  # calls that are made at random beside them
MAX_CALL = 120  # bytes that the model may write of one

_LITERALS = r"""
start: arguments ")"
value: INT | FLOAT | STRING | list | tuple | dict | "True" | "False" | "None"
list: "[]" | "[" value (", " value)* "]"
tuple: "(" value (", " value)+ ")"
dict: "{}" | "{" pair (", " pair)* "}"
pair: (INT | STRING) ": " value
INT: /-?(0|[1-9][0-9]{0,3})/
FLOAT: /-?[0-9]{1,3}\.[0-9]{1,2}/
STRING: /'[^'"\\\n\r]{0,20}'/ | /"[^'"\\\n\r]{0,20}"/
"""


@dataclass(frozen=True)
class Tested:
    """Assertions for a function: the calls that were kept and what they give, of how many, and the mutants they see."""

    name: str
    asserts: tuple[tuple[Call, Result], ...]
    calls: int
    killed: int
    mutants: int

    @property
    def text(self) -> str:
        """The test as a function of pytest."""
        lines = [f"    assert {call.text} == {result.text}" for call, result in self.asserts]
        return f"def test_{self.name}():\n" + "\n".join(lines) + "\n"


def propose_calls(
    module: Module,
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    writer: Writer | None,
    others: Sequence[str] = (),
    *,
    seed: int = 0,
) -> list[Call]:
    """Calls from all sources, each once: those in the code first, then the model's, then random ones."""
    found = {call.text: call for call in calls_in([module.text, *others], function.name)}
    if writer is not None:
        prompt = f"{module.text.rstrip()}\n\n\ndef test_{function.name}():\n    assert {function.name}("
        seeds = range(seed, seed + SAMPLES)
        for written in writer.write(prompt, seeds, most=MAX_CALL, constraint=_arguments_of(function)):
            text = literal_call(f"{function.name}({written}", function.name)
            if text is not None:
                found.setdefault(text, Call(text=text, source="model"))
    for call in random_calls(function, RANDOM, random.Random(seed)):
        found.setdefault(call.text, call)
    return list(found.values())


def _arguments_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> GrammarConstraint:
    """Literals for the parameters of a function, at least for those without a default, and the bracket behind them."""
    places = [*function.args.posonlyargs, *function.args.args]
    most, fewest = len(places), len(places) - len(function.args.defaults)
    choices = ['""' if count == 0 else ' ", " '.join(["value"] * count) for count in range(fewest, most + 1)]
    return GrammarConstraint.lark(f"{_LITERALS}arguments: {' | '.join(choices)}\n")


def write_tests(
    sandbox: Sandbox, module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef, calls: Sequence[Call], *, seed: int = 0
) -> Tested:
    """Assertions out of the calls that give the same literal twice, at most MAX_ASSERTS, that see the most mutants."""
    steady = [(call, result) for call, result in steady_results(sandbox, module, calls) if result.kind == "value"]
    mutants = mutants_of(module, function, seed=seed)
    seen_by = kills(sandbox, mutants, steady)
    kept: list[int] = []
    left = set(range(len(mutants)))
    while len(kept) < MAX_ASSERTS:
        best = max(range(len(steady)), key=lambda k: (len(seen_by[k] & left), -len(steady[k][0].text)), default=None)
        if best is None or not seen_by[best] & left:
            break
        kept.append(best)
        left -= seen_by[best]
    if not kept and steady:
        kept = [min(range(len(steady)), key=lambda k: len(steady[k][0].text))]
    return Tested(function.name, tuple(steady[k] for k in kept), len(calls), len(mutants) - len(left), len(mutants))


def mutants_of(
    module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef, *, seed: int = 0, most: int = MAX_MUTANTS
) -> list[Module]:
    """The module, each time with one small edit in the function; a sample where there are many."""
    edits = edits_of(SourceText(module.text), range(function.lineno, (function.end_lineno or function.lineno) + 1))
    chosen = random.Random(seed).sample(edits, min(most, len(edits)))
    return [module.changed(edit.apply(module.text)) for edit in chosen]


def kills(sandbox: Sandbox, mutants: Sequence[Module], asserts: Sequence[tuple[Call, Result]]) -> list[set[int]]:
    """For each assertion the numbers of the mutants that fail it."""
    seen_by: list[set[int]] = [set() for _ in asserts]
    for number, mutant in enumerate(mutants):
        for k, result in enumerate(results_of(sandbox, mutant, [call for call, _ in asserts])):
            if result != asserts[k][1]:
                seen_by[k].add(number)
    return seen_by


def with_tests(text: str, module: str, tested: Sequence[Tested]) -> str:
    """A file of tests with those added that it lacks, and the import that they need behind its other imports."""
    tree = parsed(text)
    known = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    new = [found for found in tested if f"test_{found.name}" not in known]
    if not new:
        return text
    line = f"from {module} import {', '.join(sorted(found.name for found in new))}\n"
    tests = "\n\n".join(found.text for found in new)
    if not tree.body:
        return f"{text}{line}\n\n{tests}"
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    first = tree.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    behind = imports[-1] if imports else first if is_docstring else None
    lines = text.splitlines(keepends=True)
    at = (behind.end_lineno or behind.lineno) if behind is not None else 0
    return "".join(lines[:at]) + line + "".join(lines[at:]).rstrip("\n") + f"\n\n\n{tests}"

"""The skill translate: a Python function in, JavaScript out that gives the same as Python on calls of it.

Rules translate what they know (`tasks.transpile`); what they refuse the model proposes. Node decides about both. The model
learns from what the rules made of functions of installed packages and of mutants of them, where node agreed.
"""

from __future__ import annotations

import ast
import hashlib
import random
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.calls import LIMITS
from multiscale_transformer.tasks.examples import Example, capped
from multiscale_transformer.tasks.javascript import Unspeakable, agrees, run_javascript
from multiscale_transformer.tasks.known_calls import KnownCalls, known_calls
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.skill import Figures, Measurement, Skill
from multiscale_transformer.tasks.source_text import SourceText, parsed
from multiscale_transformer.tasks.transpile.statements import FREE_MODULES
from multiscale_transformer.tasks.transpile.transpile import transpile
from multiscale_transformer.tasks.transpile.types import Untranslatable
from multiscale_transformer.tasks.writer import Writer

TASK = "translate"
MIN_CALLS = 3  # on which both sides have to agree before a pair is learnt from
MAX_ANSWER = 1000  # bytes
MIN_FUNCTION, MAX_FUNCTION = 40, 1500  # bytes
MAX_OF_RULE, MAX_OF_PACKAGE, FUNCTIONS_OF_PACKAGE, MUTANTS = 40_000, 400, 60, 3
PLAIN, MUTANT = "function", "mutant"  # rules of examples
SAMPLES = 5
RULES = "the rules alone, which made the pairs"
_BUILTINS = {
    "abs", "all", "any", "bin", "bool", "chr", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "hex",
    "int", "isinstance", "len", "list", "map", "max", "min", "next", "oct", "ord", "pow", "print", "range", "reversed",
    "round", "set", "sorted", "str", "sum", "tuple", "zip", "Exception", "ValueError", "TypeError", "KeyError",
    "IndexError", "ZeroDivisionError", "RuntimeError", "AssertionError", "NotImplementedError",
}  # fmt: skip


def prompt_of(function: str) -> str:
    """The published prompt: the function between `Translate:` and `Result:`."""
    return f"Translate:\n{function.rstrip()}\nResult:\n"


@dataclass(frozen=True)
class Translation:
    """JavaScript that gave the same as Python on `calls` calls, and whether the rules or the model wrote it."""

    javascript: str
    calls: int
    source: str


def constraint_for(name: str) -> GrammarConstraint:
    """Answers for a function: helpers and other functions, and one of this name."""
    part = r"(const|function) [^\n]*\n([ }][^\n]*\n)*\n?"
    main = rf"function {name}\([^\n]*\{{\n( [^\n]*\n)*\}}\n"
    return GrammarConstraint.lark(f"start: /({part})*{main}/\n")


def propose(writer: Writer, function: str, name: str, *, samples: int = 1, seed: int = 0) -> list[str]:
    """Texts that the model writes for a function, the greedy one first, each once."""
    prompt, constraint = prompt_of(function), constraint_for(name)
    answers = writer.candidates(prompt, samples, seed, most=MAX_ANSWER, constraint=constraint)
    return [answer for answer in dict.fromkeys(answers) if f"function {name}(" in answer]


def verify(sandbox: Sandbox, javascript: str, name: str, known: KnownCalls) -> bool:
    """Whether a text gives the same as Python on all known calls, of which one at least gives a value."""
    if not known.examples:
        return False
    try:
        found = run_javascript(sandbox, javascript, name, known.arguments)
    except Unspeakable:
        return False
    return all(map(agrees, known.results, found))


def by_rules(text: str, name: str, known: KnownCalls) -> str | None:
    """What the rules make of a function; None where it is outside of what they know."""
    try:
        return transpile(text, name, known.examples)
    except Untranslatable:
        return None


def translate(
    sandbox: Sandbox, module: Module, function: ast.FunctionDef, writer: Callable[[], Writer] | None, texts: Sequence[str] = ()
) -> Translation | None:
    """The first translation that verifies: that of the rules, else one of the model's, which is loaded then only, or
    None."""
    known = known_calls(sandbox, module, function, [module.text, *texts])
    ruled = by_rules(module.text, function.name, known)
    if ruled is not None and verify(sandbox, ruled, function.name, known):
        return Translation(ruled + "\n", len(known.results), "rules")
    if not known.examples or writer is None:
        return None
    source = textwrap.dedent(ast.get_source_segment(module.text, function) or ast.unparse(function))
    for answer in propose(writer(), source, function.name, samples=SAMPLES):
        if verify(sandbox, answer, function.name, known):
            return Translation(answer, len(known.results), "the model")
    return None


def merged(translations: Iterable[Translation]) -> str:
    """All functions as one file, in which each helper stands once."""
    parts = dict.fromkeys(part for one in translations for part in one.javascript.rstrip().split("\n\n"))
    return "\n\n".join(parts) + "\n"


# examples


def make_examples(texts: Iterable[PackageText]) -> list[Example]:
    """Functions of the texts that stand alone and that rules and node agree on, and mutants of them."""
    found: list[Example] = []
    seen: set[str] = set()
    of_package: Counter[str] = Counter()
    with Sandbox(LIMITS) as sandbox:
        for text in texts:
            for function, whole in _alone(text.text):
                if of_package[text.package] >= FUNCTIONS_OF_PACKAGE or function in seen:
                    continue
                seen.add(function)
                pairs = _pairs(sandbox, function, text.text if whole else function)
                of_package[text.package] += bool(pairs)
                found += [_example(text, *pair) for pair in pairs]
    return capped(found, rule=MAX_OF_RULE, package=MAX_OF_PACKAGE)


def _example(text: PackageText, function: str, javascript: str, rule: str) -> Example:
    return Example(
        task=TASK, prompt=prompt_of(function), answer=javascript + "\n", package=text.package, origin=text.name, rule=rule,
        licence=text.licence,
    )  # fmt: skip


def _pairs(sandbox: Sandbox, function: str, text: str) -> list[tuple[str, str, str]]:
    """A function and mutants of it with their translations, where node agrees; nothing where it does not for the function."""
    source = SourceText(function)
    node = next(one for one in source.tree.body if isinstance(one, ast.FunctionDef))
    known = known_calls(sandbox, Module(function), node, [text])
    made = _pair(sandbox, function, node.name, known, PLAIN)
    if made is None:
        return []
    pairs, rng = [made], random.Random(hashlib.sha256(function.encode()).hexdigest())
    edits = edits_of(source)
    for edit in rng.sample(edits, min(MUTANTS, len(edits))):
        mutant = edit.apply(function)
        again = known.of(sandbox, Module(mutant))
        pair = _pair(sandbox, mutant, node.name, again, MUTANT) if again.results != known.results else None
        pairs += [pair] if pair is not None and pair[1] != made[1] else []
    return pairs


def _pair(sandbox: Sandbox, function: str, name: str, known: KnownCalls, rule: str) -> tuple[str, str, str] | None:
    if len(known.results) < MIN_CALLS or len({result.text for result in known.results}) == 1:
        return None
    javascript = by_rules(function, name, known)
    if javascript is None or len(javascript.encode()) >= MAX_ANSWER or not verify(sandbox, javascript, name, known):
        return None
    return function, javascript, rule


def _alone(text: str) -> Iterator[tuple[str, bool]]:
    """Functions at the top of a text that need nothing else of it but imports of known modules, which stand before them; and
    whether the text has calls of them."""
    try:
        source = SourceText(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    imports = {
        alias.asname or alias.name: source.of(node)
        for node in source.tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (node.module if isinstance(node, ast.ImportFrom) else alias.name) in FREE_MODULES and len(node.names) == 1
    }
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef) and _is_simple(node, set(imports)):
            used = [
                line
                for name, line in imports.items()
                if any(isinstance(one, ast.Name) and one.id == name for one in ast.walk(node))
            ]
            function = "\n".join([*dict.fromkeys(used), source.of(node)])
            if MIN_FUNCTION <= len(function.encode()) <= MAX_FUNCTION:
                yield function, text.count(f"{node.name}(") > 1


_OUTSIDE = (
    ast.With, ast.Try, ast.ClassDef, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFunctionDef, ast.Global, ast.NamedExpr,
    ast.Match,
)  # fmt: skip


def _is_simple(node: ast.FunctionDef, imported: set[str]) -> bool:
    given = node.args
    if node.decorator_list or given.kwonlyargs or given.kwarg or given.vararg or not 1 <= len(given.args) <= 4:
        return False
    inner = list(ast.walk(node))
    if any(isinstance(one, _OUTSIDE) for one in inner):
        return False
    annotations = [one.annotation for one in inner if isinstance(one, ast.arg) and one.annotation] + [
        one.returns for one in inner if isinstance(one, ast.FunctionDef) and one.returns
    ]
    in_annotations = {id(name) for one in annotations for name in ast.walk(one)}
    if any(isinstance(name, ast.Name) and name.id not in _BUILTINS for one in annotations for name in ast.walk(one)):
        return False  # which would need an import to run
    own = {one.arg for one in inner if isinstance(one, ast.arg)} | {
        one.name for one in inner if isinstance(one, ast.FunctionDef)
    }
    own |= {one.id for one in inner if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    names = {one.id for one in inner if isinstance(one, ast.Name) and id(one) not in in_annotations}
    return names - own <= _BUILTINS | imported and any(isinstance(one, ast.Return) and one.value for one in inner)


# measuring


def measure(measurement: Measurement) -> Figures:
    """Computational accuracy (Lachaux et al. 2020), all calls give the same: of the model, of the rules, and of both."""
    right: Counter[str] = Counter()
    packages, count = set(), 0
    with Sandbox(LIMITS) as sandbox:
        for example in measurement.examples("test"):
            function = example.prompt.removeprefix("Translate:\n").removesuffix("\nResult:\n")
            node = next(one for one in parsed(function).body if isinstance(one, ast.FunctionDef))
            known = known_calls(sandbox, Module(function), node, [function])
            if len(known.results) < MIN_CALLS:
                continue
            count += 1
            packages.add(example.package)
            answers = propose(measurement.writer, function, node.name, samples=SAMPLES, seed=measurement.seed)
            passed = [verify(sandbox, answer, node.name, known) for answer in answers]
            ruled = by_rules(function, node.name, known)
            rules = ruled is not None and verify(sandbox, ruled, node.name, known)
            right["greedy"] += bool(passed[:1] == [True])
            right["verified"] += any(passed)
            right["rules"] += rules
            right["together"] += rules or any(passed)
    share = {name: right[name] / max(1, count) for name in ("greedy", "verified", "rules", "together")}
    figures = {
        "right at once": share["greedy"],
        f"one of {SAMPLES} verifies": share["verified"],
        "with the rules": share["together"],
    }
    return Figures(
        skill=TASK,
        examples=count,
        packages=len(packages),
        figures=figures,
        rivals={"copy": {"right at once": 0.0}, RULES: {"right at once": share["rules"]}},
        teachers=(RULES,),
        notes=("right: the same results as Python on all calls, in node",),
    )


SKILL = Skill(TASK, make_examples, measure)

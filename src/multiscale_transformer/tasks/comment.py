"""The skill comment: a function in, the same function with comment lines out.

Where comments stand was learnt without a net (`tasks.comment_place`). What they say the model writes, as hunks
(`tasks.edit_format`) that name a line of the input and put a comment before it, and a grammar permits nothing else; one trained
on plain code fills the gap there. That every token of the code is as it was is checked; whether the comment helps, a person
decides.
"""

from __future__ import annotations

import ast
import hashlib
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from multiscale_transformer.engine.structured_output import GrammarConstraint, lark_string
from multiscale_transformer.tasks.comment_lines import (
    MAX_ROW,
    Block,
    blocks_of,
    context_of,
    cut_comments,
    hunks_of,
    is_prose,
    places,
    put,
    statement_places,
    verified,
)
from multiscale_transformer.tasks.comment_place import likely_places
from multiscale_transformer.tasks.docstrings import Function, opened
from multiscale_transformer.tasks.edit_format import NO_CHANGE, read_hunks, written
from multiscale_transformer.tasks.examples import Example, Split, capped, read_examples
from multiscale_transformer.tasks.nearest import Nearest
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.skill import Figures, Measurement, Skill
from multiscale_transformer.tasks.source_text import SourceText
from multiscale_transformer.tasks.writer import LENGTH_POWER, Writer

TASK = "comment"
MAX_FUNCTION = 1000  # bytes with the comments
MAX_OF_PACKAGE = 1500
MAX_ROWS, MAX_ROWS_OF_BLOCK = 4, 3
MAX_ANSWER = 500  # bytes
CLEAN, CLEAN_SHARE = "clean", 0.1
SAMPLES, TEMPERATURE = 4, 0.6
ROW = rf"/[^\x00-\x20\\\x7f][^\x00-\x1f\\\x7f]{{0,{MAX_ROW - 1}}}/"
PROSE = rf"{ROW} & /[^ ]+( [^ ]+){{2,}}/"
BEHIND = 48  # bytes of lines that are compared where an alike one is looked for


def prompt_of(code: str) -> str:
    """The published prompt: the function between `Code:` and `Commented:`."""
    return f"Code:\n{code.rstrip()}\nCommented:\n"


def code_of(prompt: str) -> str:
    """The function in a prompt."""
    return prompt.removeprefix("Code:\n").removesuffix("\nCommented:\n")


def make_examples(texts: Iterable[PackageText]) -> list[Example]:
    """Functions of all texts without their comments, and these, capped by package; with some that have none, of the same."""
    found, clean = list[Example](), list[Example]()
    for text in texts:
        for function in _functions_of(text.text):
            example = _example(text, function)
            if example is not None:
                (clean if example.rule == CLEAN else found).append(example)
    kept = capped(found, rule=len(found), package=MAX_OF_PACKAGE)
    packages, wanted = {example.package for example in kept}, round(len(kept) * CLEAN_SHARE / (1 - CLEAN_SHARE))
    clean = [example for example in clean if example.package in packages]
    share = wanted / max(1, len(clean))
    drawn = [example for example in clean if _at(example.digest) < 2 * share]
    return kept + capped(drawn, rule=wanted, package=MAX_OF_PACKAGE // 10)[:wanted]


def _at(digest: str) -> float:
    """A number from 0 to 1 that a digest decides."""
    return int(hashlib.sha256(digest.encode()).hexdigest()[:8], 16) / 2**32


def _functions_of(text: str) -> Iterator[str]:
    try:
        source = SourceText(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in source.functions():
        begin, end = source.whole_lines(node)
        if end - begin <= MAX_FUNCTION and len(node.body) > 1 and "\r" not in text[begin:end]:
            yield text[begin:end]


def _example(text: PackageText, function: str) -> Example | None:
    """An example of a function: its comments, or none where it has none at all."""
    if len(function.encode()) > MAX_FUNCTION:
        return None
    try:
        code, blocks = cut_comments(function)
        if "#" not in function and len(places(function)) > 2:
            return _filled(text, code, [], CLEAN)
        rows = sum(len(block.rows) for block in blocks)
        if not 1 <= rows <= MAX_ROWS or any(len(block.rows) > MAX_ROWS_OF_BLOCK for block in blocks):
            return None
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return None
    example = _filled(text, code, blocks, f"{len(blocks)} comment{'s' * (len(blocks) > 1)}")
    fits = len(example.answer.encode()) <= MAX_ANSWER and blocks_of(code, read_hunks(example.answer) or []) == blocks
    return example if fits and verified(code, put(code, blocks)) else None


def _filled(text: PackageText, code: str, blocks: Sequence[Block], rule: str) -> Example:
    answer = written(hunks_of(code, blocks))
    return Example(
        task=TASK,
        prompt=prompt_of(code),
        answer=answer,
        package=text.package,
        origin=text.name,
        rule=rule,
        licence=text.licence,
    )


def constraint_for(code: str, chosen: Sequence[int] | None = None) -> GrammarConstraint:
    """Answers for a function: no change, or hunks in the order of its lines that put comments before them.

    With lines that are `chosen`, of those that comments may stand before, a comment before each and no other.
    """
    lines, usable = code.split("\n"), places(code)
    rules = [f"start: {lark_string(NO_CHANGE + chr(10))}{' | after0' if usable else ''}"]
    if chosen:
        usable = {line: usable[line] for line in chosen}
        rules = ["start: " + ' "\\n" '.join(f"hunk{number}" for number in range(len(usable)))]
    for number, (line, indent) in enumerate(usable.items()):
        start = context_of(lines, line)
        head = "".join(f"-{one}\n" for one in lines[start : line + 1]) + "".join(f"+{one}\n" for one in lines[start:line])
        row = f'{lark_string(f"+{indent}# ")} ROW "\\n"'
        rules.append(f"hunk{number}: {lark_string(head)} {row} ({row} ({row})?)? {lark_string(f'+{lines[line]}{chr(10)}')}")
        if chosen:
            continue
        more = f' | hunk{number} "\\n" after{number + 1} | after{number + 1}' if number + 1 < len(usable) else ""
        rules.append(f"after{number}: hunk{number}{more}")
    return GrammarConstraint.lark("\n".join([*rules, f"ROW: {ROW}"]) + "\n")


def read_answer(code: str, answer: str) -> list[Block]:
    """The comments of an answer, the first few; none where it is in another form."""
    hunks = read_hunks(answer)
    blocks = blocks_of(code, hunks) if hunks else None
    return (blocks or [])[:MAX_ROWS]


def propose(
    writer: Writer, code: str, chosen: Sequence[int] | None = None, *, samples: int = SAMPLES, seed: int = 0
) -> list[list[Block]]:
    """Comments that a model of this skill would write, the likeliest first; nothing where its first answer is "no change".

    They stand before the lines that are `chosen`, or else where the model puts them.
    """
    if chosen is not None and not chosen:
        return []
    prompt, constraint = prompt_of(code), constraint_for(code, chosen)
    answers = writer.write(prompt, [seed], most=MAX_ANSWER, temperature=0.0, constraint=constraint)
    if answers[0].strip() == NO_CHANGE:
        return []
    if samples > 1:
        seeds = range(seed + 1, seed + samples)
        answers += writer.write(prompt, seeds, most=MAX_ANSWER, temperature=TEMPERATURE, constraint=constraint)
    found = {answer: blocks for answer in answers if (blocks := read_answer(code, answer))}
    scores = writer.log_probabilities(prompt, list(found)) if found else []
    ranked = sorted(zip(scores, found, strict=True), key=lambda one: -one[0] / (len(one[1].encode()) ** LENGTH_POWER))
    return [found[answer] for _, answer in ranked]


def propose_in_code(
    writer: Writer, source: SourceText, node: Function, chosen: Sequence[int], *, samples: int = SAMPLES, seed: int = 0
) -> list[list[Block]]:
    """Comments before lines that are `chosen`, as a model of plain code would write them: what fits in the gap there."""
    begin, end = source.whole_lines(node)
    lines, usable = source.text[begin:end].split("\n"), statement_places(source.text[begin:end])
    blocks: list[Block] = []
    for line in chosen:
        at = begin + sum(len(one) + 1 for one in lines[:line])
        before, behind = (text.replace("\r\n", "\n") for text in (source.text[:at], source.text[at:]))
        row = _fill(writer, f"{before}{usable[line]}# ", behind, samples, seed)
        if row and row not in {block.text for block in blocks} and f"# {row}\n" not in source.text:
            blocks.append(Block(line, (row,)))
    return [blocks] if blocks else []


def _fill(writer: Writer, before: str, after: str, samples: int, seed: int) -> str | None:
    """The likeliest sentence between two texts."""
    constraint = GrammarConstraint.lark(f"start: PROSE\nPROSE: {PROSE}\n")
    behind = f"\n{after}"
    rows = writer.candidates(before, samples, seed, after=behind, most=MAX_ROW, temperature=TEMPERATURE, constraint=constraint)
    fit = [row for row in dict.fromkeys(one.strip() for one in rows) if len(row) < MAX_ROW and is_prose([row])]
    scores = writer.log_probabilities(before, fit, after=behind) if fit else []
    return max(zip(scores, fit, strict=True), key=lambda one: one[0] / len(one[1]) ** LENGTH_POWER)[1] if fit else None


def baselines(train: Sequence[Example], test: Sequence[Example]) -> dict[str, list[list[Block]]]:
    """What the rivals place in each test function: a comment before every loop and `if`, behind every empty line, before the
    first statement, and that of the most alike commented line."""
    known = [
        (block, code) for example in train for code in [code_of(example.prompt)] for block in read_answer(code, example.answer)
    ]
    nearest = Nearest([_around(code, block.line) for block, code in known])
    rivals: dict[str, list[list[Block]]] = defaultdict(list)
    for example in test:
        code = code_of(example.prompt)
        usable, lines = statement_places(code), code.split("\n")
        rivals["loops and ifs"].append([Block(line, ()) for line in _branches(code) if line in usable])
        rivals["behind empty lines"].append([Block(line, ()) for line in usable if not lines[line - 1].strip()])
        rivals["first statement"].append([Block(line, ()) for line in list(usable)[:1]])
        scores = {line: nearest.scores(_around(code, line)) for line in usable} if known else {}
        best = max(((float(row.max()), int(row.argmax()), line) for line, row in scores.items()), default=None)
        rivals["retrieval"].append([Block(best[2], known[best[1]][0].rows)] if best else [])
    return dict(rivals)


def _around(code: str, line: int) -> str:
    return "\n".join(code.split("\n")[line : line + 3])[: 2 * BEHIND]


def _branches(code: str) -> list[int]:
    source, node = opened(code)
    shift = source.text.count("\n") - code.count("\n") + 1
    kinds = ast.For | ast.AsyncFor | ast.While | ast.If
    return [one.lineno - shift for one in ast.walk(node) if isinstance(one, kinds) and source.of(one)[:2] != "el"]


def score(test: Sequence[Example], proposed: Sequence[Sequence[Block]]) -> dict[str, float]:
    """F1 of the lines that get a comment; how alike the words are where the line is right; the share of commented functions
    that verify, and of functions whose authors saw no need that get one all the same."""
    from rapidfuzz.distance import Levenshtein

    ours = theirs = shared = passed = edited = clean = 0
    alike = list[float]()
    for example, blocks in zip(test, proposed, strict=True):
        code = code_of(example.prompt)
        right = {block.line: block.text for block in read_answer(code, example.answer)}
        mine = {block.line: block.text for block in blocks}
        both = right.keys() & mine.keys()
        ours, theirs, shared = ours + len(mine), theirs + len(right), shared + len(both)
        alike += [Levenshtein.normalized_similarity(right[line], mine[line]) for line in both if mine[line]]
        passed += bool(blocks) and verified(code, put(code, blocks))
        clean += not right
        edited += bool(mine) and not right
    commented = max(1, sum(bool(blocks) for blocks in proposed))
    figures = {"placement F1": 2 * shared / max(1, ours + theirs), "precision": shared / max(1, ours)}
    figures |= {"recall": shared / max(1, theirs), "clean functions commented": edited / max(1, clean)}
    if alike:
        figures |= {"similarity at right lines": sum(alike) / len(alike), "verified": passed / commented}
    return figures


def measure(measurement: Measurement) -> Figures:
    """Which lines get a comment, and how like the original's it is: at the places that were learnt, and at the model's own."""
    train, test = measurement.examples("train"), measurement.examples("test")
    codes = [code_of(example.prompt) for example in test]
    learnt = [likely_places(code) for code in codes]
    seed = measurement.seed
    found = [propose(measurement.writer, code, chosen, seed=seed) for code, chosen in zip(codes, learnt, strict=True)]
    alone = [propose(measurement.writer, code, seed=seed) for code in codes]
    figures, without = (score(test, [each[0] if each else [] for each in proposed]) for proposed in (found, alone))
    rivals = {name: score(test, blocks) for name, blocks in baselines(train, test).items()}
    best = max(rival["placement F1"] for rival in rivals.values())
    rivals["places learnt, without the model"] = score(test, [[Block(line, ()) for line in lines] for lines in learnt])
    return Figures(
        skill=TASK,
        examples=len(test),
        packages=len({example.package for example in test}),
        figures={**figures, **{f"{name}, model alone": value for name, value in without.items()}},
        rivals=rivals,
        notes=(f"goal: a placement F1 above {best:.2f}, that of the best rule",),
    )


def commented_functions(folder: Path, split: Split) -> Iterator[tuple[str, list[Block]]]:
    """The functions of the examples, with the comments that stand in them."""
    for example in read_examples(folder, split):
        code = code_of(example.prompt)
        yield code, read_answer(code, example.answer)


SKILL = Skill(TASK, make_examples, measure)

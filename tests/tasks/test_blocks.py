"""The block around an edit parses as the whole text does, at the same lines."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from multiscale_transformer.tasks import blocks as module
from multiscale_transformer.tasks import operators, restoring
from multiscale_transformer.tasks.blocks import Blocks, statements_of
from multiscale_transformer.tasks.source_text import Edit, SourceText, parses

NESTED = '''\
import os

LIMIT = 3


class Counter:
    """Counts.

  Text that is indented less."""

    @property
    def total(self):
        def inner(x):
            if x > LIMIT:
                return x - 1
            return """
not indented""" + str(x)

        return inner(self.n)

\tdef broken(): pass
'''.replace("\tdef broken(): pass\n", "    async def wait(self): return await self.n\n")
TEXTS = [NESTED, *(Path(one.__file__).read_text(encoding="utf-8") for one in (module, restoring))]


def raw_edits(source: SourceText) -> list[Edit]:
    """Edits before those are dropped that give no text that parses, and some that hardly ever do."""
    found = [*operators._all_edits(source), *restoring._all_edits(source)]
    broken = [Edit(edit.start, edit.end, text, "broken", edit.line) for edit in found[:40] for text in ("", ")", "\n", "x y")]
    return found + broken


@pytest.mark.parametrize("text", TEXTS)
def test_an_edit_parses_in_its_block_where_it_parses_in_the_text(text: str) -> None:
    source = SourceText(text)
    edits = raw_edits(source)
    chosen = random.Random(0).sample(edits, min(len(edits), 400))
    blocks = Blocks(source)
    told = [blocks.parses(edit) for edit in chosen]
    assert told == [parses(edit.apply(text)) for edit in chosen]
    assert {True, False} == set(told)


@pytest.mark.parametrize("text", TEXTS)
def test_a_block_is_the_smallest_function_at_its_own_lines(text: str) -> None:
    source = SourceText(text)
    blocks = Blocks(source)
    for function in source.functions():
        for statement in (one for one in function.body if not isinstance(one, ast.FunctionDef)):
            begin, end = source.span(statement)
            block = blocks.around(Edit(begin, end, "pass", "test", statement.lineno))
            dumps = {ast.dump(node): node.lineno + block.lines_before for node in statements_of(block.tree)}
            assert statement.lineno in dumps.values()
            assert ast.dump(statement) in dumps
            assert block.after(Edit(begin, begin, "", "test", 1)).endswith(source.of(function))
    whole = blocks.around(Edit(0, 0, "", "test", 1))
    assert (whole.lines_before, ast.dump(whole.tree)) == (0, ast.dump(source.tree))

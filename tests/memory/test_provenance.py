"""A completion is traced to the files that it stands in, and a long one is called a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiscale_transformer.memory.index import build_index, remove_documents
from multiscale_transformer.memory.lookup import open_memory
from multiscale_transformer.memory.provenance import COPY, MIN_MATCH, provenance

LICENSED = b"# SPDX-License-Identifier: MIT\n" + b"".join(b"first_%d = something(%d)\n" % (n, n * 7) for n in range(30))
PLAIN = b"def other_function(argument):\n    return argument * 1234567 + argument\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build_index(tmp_path / "index", [("licensed.py", LICENSED), ("plain.py", PLAIN)]).folder


def test_each_part_is_named_with_its_file_and_line(folder: Path) -> None:
    completion = b"xx return argument * 1234567 yy first_12 = something(84)\n zz"
    first, second = provenance(open_memory([folder]), b"nothing of this stands anywhere: ", completion)
    assert (first.name, first.line, first.copied) == ("plain.py", 2, False)
    assert completion[first.begin : first.end] == b" return argument * 1234567 "[:-1] + b" "
    assert (second.name, second.line) == ("licensed.py", 14)
    assert completion[second.begin : second.end].strip() == b"first_12 = something(84)"


def test_a_match_that_begins_in_the_prompt_counts_with_what_is_before(folder: Path) -> None:
    prompt, completion = PLAIN[:40], PLAIN[40:70]
    (source,) = provenance(open_memory([folder]), prompt, completion)
    assert (source.begin, source.end, source.length) == (0, 30, 70)
    assert source.line == 2


def test_a_long_exact_match_is_a_copy_with_its_licence(folder: Path) -> None:
    begin = LICENSED.index(b"first_3 ")
    for length, copied in ((COPY - 1, False), (COPY, True)):
        (source,) = provenance(open_memory([folder]), b"", LICENSED[begin : begin + length])
        assert source.copied is copied
        assert source.licence == ("SPDX-License-Identifier: MIT" if copied else "")


def test_what_stands_nowhere_or_is_short_has_no_source(folder: Path) -> None:
    memory = open_memory([folder])
    assert provenance(memory, b"", b"completely unheard of 987") == []
    assert provenance(memory, b"", b"!" + PLAIN[: MIN_MATCH - 1] + b"!") == []
    assert provenance(memory, b"anything", b"") == []


def test_a_removed_file_is_not_named(folder: Path) -> None:
    from multiscale_transformer.memory.index import load_index

    remove_documents(load_index(folder), ["plain.py"])
    assert provenance(open_memory([folder]), b"", PLAIN) == []

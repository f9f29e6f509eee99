"""Prompts with answers: what is marked as an answer, beside what, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.data.fim import MIDDLE
from multiscale_transformer.data.prompted import Prompted, prompted_documents
from multiscale_transformer.data.stream import WindowStream
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.tasks.examples import Example, split_examples, write_examples


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    examples = [
        Example(task="t", prompt=f"what is {n}? ", answer=f"number {n}", package=f"p{n}", origin="a.py", licence="MIT")
        for n in range(60)
    ]
    write_examples(tmp_path / "skill", split_examples(examples), {})
    return tmp_path / "skill"


def test_documents_say_where_answers_begin() -> None:
    pairs = [
        Prompted(task="t", prompt="é:\n", answer="one", package="p"),
        Prompted(task="t", prompt="", answer="2", package="p", origin="a.py:area"),
    ]
    documents = prompted_documents(pairs)
    assert documents.answers is not None
    assert [documents[k][at:] for k, at in enumerate(documents.answers.tolist())] == [b"one", b"2"]
    assert documents.suffixes() == [("", 7), (".py", 1)]


def test_only_answers_are_marked_beside_plain_text_and_they_are_never_rearranged(skill: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for n in range(30):
        (plain / f"{n}.py").write_text("".join(f"def function_{n}_{k}(a):\n    return a * {n} + {k}\n\n" for k in range(5)))
    corpus = load_corpus([str(plain), f"task:{skill}"])
    assert {"", "t"} >= {name.partition("/")[0] for name in corpus.train.names if not name.endswith(".py")}
    stream = WindowStream(corpus.train, 64, 16, seed=1, fim_rate=1.0)
    text = {document.decode() for _, document in corpus.train}
    seen = 0
    for step in range(20):
        for ids, parts in zip(*stream.windows_at(step), strict=True):
            if bytes(ids[ids < 256].astype(np.uint8)).find(b"what is") >= 0 and (parts == MIDDLE).any():
                begins = np.flatnonzero(ids == BOS)
                for begin in begins:
                    ends = np.flatnonzero(ids[begin:] == EOS)
                    document = bytes(ids[begin + 1 : begin + ends[0]].astype(np.uint8)).decode() if len(ends) else ""
                    if document.startswith("what is"):
                        assert document in text
                        marked = parts[begin + 1 : begin + ends[0]] == MIDDLE
                        assert document[marked.argmax() :].startswith("number")
                        seen += 1
    assert seen


def test_a_memory_is_made_of_plain_text_where_there_is_some(skill: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for n in range(30):
        (plain / f"{n}.py").write_text(f"def f_{n}(a):\n    return a * {n}\n")
    both, alone = load_corpus([str(plain), f"task:{skill}"]).train, load_corpus([f"task:{skill}"]).train
    assert {document.name[-3:] for document in both.to_index()} == {".py"}
    assert all("what is" not in document.content.decode() for document in both.to_index())
    assert 0 < len(list(both.to_index())) < len(both)
    assert len(list(alone.to_index())) == len(alone)


def test_its_own_split_is_kept(skill: Path) -> None:
    corpus = load_corpus([f"task:{skill}"])
    counts = [sum(1 for _ in (skill / f"{split}.jsonl").open()) for split in ("train", "validation")]
    assert [len(corpus.train), len(corpus.held_out)] == counts
    assert corpus.sources == (f"task:{skill}",)


def test_missing_data_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="axl data make fix"):
        load_corpus([f"task:{tmp_path / 'fix'}"])

"""Indexes from the command line: built, used, exchanged, kept up to date, and refused when they are wrong."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import CONFIG, QUICK, Trained, call, code

OPTIONS = ("--seed", "1", "--max-tokens", "20", "--threads", "1")


@pytest.fixture
def repo(work: Path) -> Path:
    folder = work / "repo"
    folder.mkdir()
    for number in range(20, 23):
        (folder / f"f{number}.py").write_text(code(number))
    return folder


def bits(trained: Trained, *options: str | Path) -> float:
    answer = call("eval", "bpb", "--model", trained.folder, "--threads", "1", "--json", *options)
    return float(json.loads(answer.out)["bits_per_byte"])


def test_an_index_is_built_and_makes_its_own_text_cheaper(trained: Trained, repo: Path) -> None:
    answer = call("index", repo, "--out", "made")
    assert answer.status == 0, answer
    assert re.search(r"^Index +made: 3 documents, \d+ KB in 1 shard, \d+ KB on disk, \d+\.\d s$", answer.out, re.MULTILINE)
    assert "--memory made" in answer.out
    alone, own = bits(trained, "--data", repo, "--memory", "none"), bits(trained, "--data", repo)
    made = bits(trained, "--data", repo, "--memory", "made")
    both = bits(trained, "--data", repo, "--memory", "made", "--memory", trained.folder / "memory")
    assert made < own
    assert made < alone
    assert both < own


def test_an_index_is_kept_up_to_date(repo: Path) -> None:
    call("index", repo, "--out", "made")
    (repo / "f20.py").write_text(code(30))
    (repo / "f21.py").unlink()
    (repo / "new.py").write_text(code(31))
    answer = call("index", repo, "--out", "made", "--update", "--prune")
    assert "1 added, 1 replaced, 1 removed, 1 unchanged" in answer.out
    assert "3 documents" in answer.out
    assert "in 2 shards" in answer.out
    assert "in 1 shard" in call("index", "--out", "made", "--merge", "--check").out


def test_explain_names_the_files(trained: Trained, repo: Path) -> None:
    call("index", repo, "--out", "made")
    prompt = code(20)[:200]
    words = ("complete", prompt, "--model", trained.folder, "--memory", "made", "--temperature", "0", *OPTIONS, "--explain")
    answer = call(*words)
    assert answer.status == 0, answer
    assert answer.err
    assert all(line.startswith("note: ") for line in answer.err.splitlines())
    assert re.search(r"the memory saved -?[0-9.]+ bits in \d+ bytes", answer.err)


def test_the_model_goes_on_without_a_damaged_memory(trained: Trained, work: Path) -> None:
    import shutil

    shutil.copytree(trained.folder, work / "copy")
    (work / "copy" / "memory" / "manifest.json").write_text("{")
    answer = call("complete", "def f", "--model", "copy", *OPTIONS)
    assert answer.status == 0
    assert re.match(r"note: .*manifest.json is damaged.*; the model goes on without its memory\n$", answer.err)
    alone = call("complete", "def f", "--model", trained.folder, "--memory", "none", *OPTIONS)
    assert alone.out == answer.out


def test_a_model_without_a_memory_is_trained_and_used(project: Path, work: Path, refused: Callable[..., str]) -> None:
    (work / "tiny.yaml").write_text(CONFIG)
    answer = call("train", "--config", "tiny.yaml", "--data", project, "--out", "bare", "--no-memory", *QUICK)
    assert answer.status == 0, answer
    assert not (work / "bare" / "memory").exists()
    assert call("complete", "def f", "--model", "bare", *OPTIONS).status == 0
    call("index", project, "--out", "made")
    for words in (("complete", "x"), ("eval", "bpb")):
        assert "trained without a memory" in refused(*words, "--model", "bare", "--memory", "made")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("index",), "say what to index"),
        (("index", "repo", "--prune"), "--prune goes with --update"),
        (("index", "--update", "--merge"), "--update, --include and --exclude go with a PATH"),
        (("index", "--include", "*.dat", "--check"), "--update, --include and --exclude go with a PATH"),
        (("index", "--exclude", "*.dat", "--remove", "a.py"), "--update, --include and --exclude go with a PATH"),
        (("index", "nowhere"), "nowhere"),
        (("index", "repo", "--out", "repo"), "already exists"),
        (("index", "repo", "--out", "nothing", "--update"), "there is no index in nothing"),
        (("index", "--out", "nothing", "--merge"), "there is no index in nothing"),
        (("index", " "), "the path is empty"),
    ],
)
def test_what_cannot_be_done_is_said(words: tuple[str, ...], line: str, repo: Path, refused: Callable[..., str]) -> None:
    assert line in refused(*words)


def test_a_missing_index_is_said(trained: Trained, refused: Callable[..., str]) -> None:
    for words in (("complete", "x"), ("eval", "bpb")):
        assert "there is no index in nothing" in refused(*words, "--model", trained.folder, "--memory", "nothing")

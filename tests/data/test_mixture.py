"""Mixtures: parts, their sizes and licences, and text that is read with another indentation than it has."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.data.corpus import load_corpus, load_documents
from multiscale_transformer.data.download import MANIFEST, Downloaded
from multiscale_transformer.data.dropped import BEYOND_PART, Dropped
from multiscale_transformer.data.mixture import PREFIX, indented, part_licences, read_mixture
from multiscale_transformer.data.sources import list_sources, source_of
from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.model_card import data_record, write_model_card
from multiscale_transformer.zoo.training_record import TrainingRecord

BODY = "def area(r):\n    if r:\n        return r * number\n    return 0\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder, suffix in (("code", ".py"), ("headers", ".h")):
        (tmp_path / folder).mkdir()
        for number in range(40):
            text = BODY.replace("number", f"{folder}_{number}") * (number + 1)
            (tmp_path / folder / f"f{number}{suffix}").write_text(text)
    (tmp_path / "headers" / "note.md").write_text("# A note\n")
    return tmp_path


def mixture(tree: Path, text: str) -> str:
    (tree / "mix.yaml").write_text(text)
    return f"{PREFIX}{tree / 'mix.yaml'}"


def test_parts_are_read_by_suffix_and_up_to_their_size(tree: Path) -> None:
    path = mixture(tree, "parts:\n - {data: code, most_mb: 0.02}\n - {data: headers, suffixes: [.h], licence: MIT}\n")
    dropped = Dropped()
    files = list_sources([path], dropped=dropped)
    code = [file for file in files if file.name.endswith(".py")]
    assert 0 < sum(Path(file.path).stat().st_size for file in code) <= 20_000
    assert dropped.counts[BEYOND_PART] == 40 - len(code) > 0
    assert {file.name for file in files} - {file.name for file in code} == {f"f{number}.h" for number in range(40)}
    assert [file.name for file in list_sources([path], dropped=Dropped())] == [file.name for file in files]
    assert source_of(path) == path


def test_licences_and_kinds_are_known(tree: Path) -> None:
    path = mixture(tree, "parts:\n - {data: code, suffixes: [.py]}\n - {data: headers, licence: MIT}\n - {data: code}\n")
    assert part_licences([path, "stdlib"]) == {str(tree / "code"): "", str(tree / "headers"): "MIT"}
    documents = load_documents([path])
    kinds = dict(documents.suffixes())
    assert list(kinds) == [".h", ".py", ".md"]
    assert sum(kinds.values()) == documents.nbytes


def test_the_card_of_what_read_a_mixture_names_kinds_and_licences(tree: Path) -> None:
    corpus = load_corpus([mixture(tree, "parts:\n - {data: code, licence: ISC}\n - {data: headers}\n")])
    record = data_record(corpus)
    write_model_card(tree, TrainingRecord(name="AXL-Tiny", seconds=60, data=record, versions={"python": "3"}))
    card = (tree / "README.md").read_text()
    assert "Kinds: .py 5" in card
    assert "Licences of its parts: `code` ISC, `headers` not stated." in card


def test_the_packages_of_a_download_are_named(tree: Path) -> None:
    kept = Downloaded(name="web", source="pypi", version="1.2", licence="MIT", sha256="0", files=1, bytes=9)
    (tree / "code" / "web").mkdir()
    (tree / "code" / "web" / "a.py").write_text(BODY * 20)
    absent = kept.model_copy(update={"name": "left_out"})
    (tree / "code" / MANIFEST).write_text(f"{kept.model_dump_json()}\n{absent.model_dump_json()}\n")
    record = data_record(load_corpus([mixture(tree, "parts:\n - {data: code}\n - {data: headers}\n")]))
    assert record.packages == {"web": "1.2, MIT"}


def test_shares_of_files_are_indented_otherwise(tree: Path) -> None:
    path = mixture(tree, "parts:\n - {data: code}\n - {data: headers}\ntabs: 0.3\ntwo_spaces: 0.3\n")
    documents = load_documents([path])
    deepest = (b"\n\t\treturn", b"\n    return r", b"\n        return")
    counts = [sum(marks in text for _, text in documents) for marks in deepest]
    assert sum(counts) == len(documents) - 1  # the note has no line that is indented
    assert min(counts) >= 10
    assert load_corpus([path]).sha256 == load_corpus([path]).sha256


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from(["x", "", "y = 1", "* star"])), max_size=12))
def test_other_indentation_changes_blanks_at_line_starts_alone(lines: list[tuple[int, int, str]]) -> None:
    text = "\n".join(" " * (4 * steps + more) + rest for steps, more, rest in lines).encode()
    for step in (b"\t", b"  "):
        changed = indented(text, step)
        assert [line.lstrip() for line in changed.split(b"\n")] == [line.lstrip() for line in text.split(b"\n")]
        if changed != text:
            widths = [line.expandtabs(4) if step == b"\t" else line for line in changed.decode().split("\n")]
            wanted = text.decode().split("\n") if step == b"\t" else None
            assert wanted is None or widths == wanted


@pytest.mark.parametrize("text", [b"if x:\n\ty = 1\n", b"if x:\n  y = 1\n  z = 2\n", b"x = 1\n", b""])
def test_a_text_that_is_not_indented_by_four_stays(text: bytes) -> None:
    assert indented(text, b"\t") == indented(text, b"  ") == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("parts: []\n", "parts"),
        ("parts:\n - {data: code, size: 3}\n", "size"),
        ("parts:\n - {data: code}\ntabs: 0.7\ntwo_spaces: 0.7\n", "at most 1"),
        ("parts:\n - {data: nowhere}\n", "does not exist"),
        ("- code\n", "named fields"),
    ],
)
def test_what_is_no_mixture_is_refused_in_one_line(tree: Path, text: str, says: str) -> None:
    with pytest.raises(AxlError, match=says) as raised:
        list_sources([mixture(tree, text)], dropped=Dropped())
    assert "\n" not in str(raised.value)


def test_relative_paths_are_from_the_file_and_words_stay_words(tree: Path) -> None:
    mixture(tree, "parts:\n - {data: code}\n - {data: stdlib}\n")
    assert [part.data for part in read_mixture(str(tree / "mix.yaml")).parts] == [str(tree / "code"), "stdlib"]

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.data.documents import Documents

ITEMS = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=20)), max_size=8)


@given(ITEMS)
def test_holds_what_it_was_given(items: list[tuple[str, bytes]]) -> None:
    documents = Documents.from_items(items)
    assert list(documents) == items
    assert [documents[index] for index in range(len(documents))] == [content for _, content in items]
    assert documents.nbytes == sum(len(content) for _, content in items)
    assert documents.data.dtype == np.uint8
    assert documents.offsets.dtype == np.int64


@given(ITEMS, st.randoms())
def test_digest_ignores_order_and_sees_every_change(items: list[tuple[str, bytes]], random: object) -> None:
    items.append(("name", b"content"))
    digest = Documents.from_items(items).sha256()
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Documents.from_items(shuffled).sha256() == digest
    assert Documents.from_items([*items[:-1], ("name", b"Content")]).sha256() != digest
    assert Documents.from_items([*items[:-1], ("nam", b"econtent")]).sha256() != digest
    assert Documents.from_items(items[:-1]).sha256() != digest


@pytest.mark.parametrize(("max_bytes", "names"), [(100, "abcdefgh"), (80, "abcdefgh"), (79, "aceg"), (27, "adg"), (1, "a")])
def test_a_sample_is_of_whole_documents_from_everywhere(max_bytes: int, names: str) -> None:
    documents = Documents.from_items((name, b"0123456789") for name in "abcdefgh")
    sample = documents.sample(max_bytes)
    assert "".join(sample.names) == names
    assert sample.nbytes == 10 * len(names)


def test_subset_keeps_the_order_asked_for() -> None:
    documents = Documents.from_items([("a", b"1"), ("b", b""), ("c", b"333")])
    assert list(documents.subset([2, 0])) == [("c", b"333"), ("a", b"1")]
    assert documents[-1] == b"333"


def test_cannot_be_changed_or_read_past_the_end() -> None:
    documents = Documents.from_items([("a", b"1")])
    with pytest.raises(IndexError):
        documents[1]
    with pytest.raises(ValueError, match="read-only"):
        documents.data[0] = 0
    with pytest.raises(ValueError, match="offsets"):
        Documents(np.zeros(3, np.uint8), np.array([0, 2]), ["a"])

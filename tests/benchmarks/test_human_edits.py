"""Edits that people made: found between two wheels, and a proposal that is theirs told from one that is not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks.human_edits import HumanEdit, as_the_person, human_edits, pairs_of, read
from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.lint import MAX_FUNCTION

OLD = """
class Store:
    def put(self, key, items=None):
        items = dict()
        for k in items.keys():
            self.log("%s" % k)
        return items

    def same(self):
        return dict()

    def rewritten(self):
        return dict()
"""
NEW = """
class Store:
    def put(self, key, items=None):
        items = {}
        for k in items.keys():
            self.log("%s" % k, key)
        return items

    def same(self):
        return dict()  # as it was

    def rewritten(self):
        a = 1
        b = 2
        c = 3
        d = 4
        e = 5
        f = 6
        return [a, b, c, d, e, f]
"""


def wheel(folder: Path, version: str, text: str) -> Path:
    path = folder / f"store_lib-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("store.py", text)
        archive.writestr("broken.py", "def f(:\n")
        archive.writestr("notes.txt", "def f(): pass")
    return path


def found(tmp_path: Path) -> list[HumanEdit]:
    return human_edits("store-lib", read(wheel(tmp_path, "1.0", OLD)), read(wheel(tmp_path, "2.0", NEW)))


def test_a_finding_that_a_small_edit_took_away_is_found(tmp_path: Path) -> None:
    (edit,) = found(tmp_path)
    assert (edit.finding.rule, edit.finding.line) == ("C408", 2)
    assert edit.before.startswith("    def put")


@pytest.mark.parametrize(
    ("now", "alike"),
    [
        ("items = {}", True),  # of two changes that the person made one is enough
        ("items = dict()", False),  # nothing was changed
        ("items = {}  # empty", True),
        ("items = []", False),
        ("del items", False),
    ],
)
def test_as_the_person_is_what_changes_nothing_else(now: str, alike: bool, tmp_path: Path) -> None:
    (edit,) = found(tmp_path)
    assert as_the_person(edit, edit.before.replace("items = dict()", now)) == alike
    assert as_the_person(edit, edit.after)


def test_wheels_are_paired_by_package_the_oldest_with_the_newest(tmp_path: Path) -> None:
    for version in ("1.10", "1.9", "2.0rc1"):
        wheel(tmp_path, version, OLD)
    (tmp_path / "alone-1.0-py3-none-any.whl").write_bytes(b"")
    ((name, (old, new)),) = pairs_of(tmp_path).items()
    assert (name, str(old[0]), str(new[0])) == ("store-lib", "1.9", "2.0rc1")
    (tmp_path / "none.whl").write_bytes(b"")
    with pytest.raises(AxlError, match="is no wheel"):
        pairs_of(tmp_path)


def test_long_functions_are_left_out(tmp_path: Path) -> None:
    long = "def f():\n" + "    return 1\n" * (MAX_FUNCTION // 10)
    assert list(read(wheel(tmp_path, "3.0", long + "def g():\n    return 2\n"))) == [("store.py", "g")]

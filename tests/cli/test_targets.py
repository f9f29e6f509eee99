"""FILE[:FUNCTION]: which functions it names, and what is said where it names none."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiscale_transformer.cli.targets import open_target, split_target, target_text, words_of
from multiscale_transformer.errors import AxlError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_text("class A:\n    @property\n    def f(self):\n        pass\n\ndef g():\n    def h(): pass\n")
    return path


def test_functions_go_by_their_qualified_names(source: Path) -> None:
    assert list(open_target(str(source)).functions) == ["A.f", "g", "g.h"]
    for wanted, found in (("A.f", "A.f"), ("f", "A.f"), ("h", "g.h"), ("g", "g")):
        assert list(open_target(f"{source}:{wanted}").functions) == [found]


def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a:b.py"
    path.write_text("def f(): pass\n")
    assert split_target(str(path)) == (path, "")
    assert split_target(f"{path}:f") == (path, "f")


def test_what_names_nothing_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="unknown function"):
        open_target(f"{source}:x")
    with pytest.raises(AxlError, match="cannot be read"):
        open_target(str(tmp_path / "none.py"))
    for text, message in (("x = 1\n", "has no function"), ("def f(:", "cannot be read as Python"), ("\0", "cannot be read")):
        source.write_text(text)
        with pytest.raises(AxlError, match=message):
            open_target(str(source))


def test_a_file_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert target_text(tmp_path / "none.py") == ""
    (tmp_path / "a.py").write_bytes("é\r\n".encode())
    assert target_text(tmp_path / "a.py") == "é\r\n"
    with pytest.raises(AxlError, match="cannot be read as text"):
        target_text(tmp_path)


def test_a_command_is_taken_apart_as_a_shell_does() -> None:
    assert words_of('pytest -k "a b"') == ("pytest", "-k", "a b")
    with pytest.raises(AxlError, match="No closing quotation"):
        words_of('pytest -k "a')

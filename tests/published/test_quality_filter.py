import json
from pathlib import Path

import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.published.data.quality_filter import DataFilter, FilterReport

GOOD = "def f(x):\n    return x"
OTHER = "class A:\n\n    b = 1"
SHORT = "x = 1"
BROKEN = "def f(:\n    return"
LONGEST = "x = 1\n" * 499 + "y = 2"
LONG = "x = 1\n" * 500 + "y = 2"


def test_txt_snippets_are_cut_at_two_blank_lines(tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out" / "out.txt"
    source.write_text("\n\n\n".join([GOOD, SHORT, BROKEN, LONG, LONGEST, OTHER]) + "\n")
    report = DataFilter(min_lines=2, max_lines=500, require_syntax_valid=True).filter_file(source, target)
    assert report == FilterReport(3, {"too short": 1, "invalid syntax": 1, "too long": 1})
    assert target.read_text() == f"{GOOD}\n\n\n{LONGEST}\n\n\n{OTHER}\n"


def test_jsonl_records_are_kept_as_they_are(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    records = [{"text": GOOD, "id": 7}, {"content": SHORT}, {"code": BROKEN}, {"text": ""}, {"text": GOOD + "\x00"}]
    lines = [json.dumps(record) for record in records]
    source.write_text("\n".join(lines) + "\n")
    report = DataFilter().filter_file(str(source), str(target))
    assert report == FilterReport(1, {"too short": 1, "invalid syntax": 1, "empty": 1, "binary": 1})
    assert target.read_text() == lines[0] + "\n"


def test_syntax_is_judged_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(BROKEN)
    assert DataFilter(require_syntax_valid=False).filter_file(path, path) == FilterReport(1, {})
    assert path.read_text() == BROKEN + "\n"
    assert DataFilter().filter_file(path, path).kept == 0
    assert path.read_bytes() == b""


@pytest.mark.parametrize("snippet", ["print('\\d')\nx = 1", "-" * 100_000 + "1\n2"])
def test_hard_snippets_are_judged_in_silence(snippet: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "a.txt"
    path.write_text(snippet)
    DataFilter().filter_file(path, tmp_path / "b.txt")
    assert not list(recwarn)


def test_errors_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match=r"cannot read .*none\.txt"):
        DataFilter().filter_file(tmp_path / "none.txt", tmp_path / "out.txt")
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": ')
    with pytest.raises(AxlError, match="line 2 is not JSON"):
        DataFilter().filter_file(tmp_path / "a.jsonl", tmp_path / "out.jsonl")
    (tmp_path / "a.csv").touch()
    with pytest.raises(AxlError, match=r"only \.txt and \.jsonl"):
        DataFilter().filter_file(tmp_path / "a.csv", tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl"]

"""What commands refuse before a model is opened or anything runs, and brackets that are shown as they are."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import Trained, call
from rich.console import Console

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.proposals import Shown, write_change
from multiscale_transformer.errors import AxlError

Refused = Callable[..., str]
UNOPENED = ("--model", "nowhere")  # which would be the complaint, were it looked at


@pytest.fixture
def area(work: Path) -> Path:
    path = work / "area.py"
    path.write_text("def double(n):\n    return 2 * n\n")
    return path


@pytest.mark.parametrize(("name", "out"), [("area.js", ()), ("other.js", ("--out", "other.js"))])
def test_a_translation_replaces_no_file(refused: Refused, area: Path, name: str, out: tuple[str, ...]) -> None:
    area.with_name(name).write_text("// by hand\n")
    said = refused("translate", "area.py", "--apply", *out, *UNOPENED)
    assert f"{name} exists and would be replaced; give another --out, or delete it" in said


@pytest.mark.parametrize("words", [("test", "area.py", "--into"), ("translate", "area.py", "--out")])
def test_a_target_that_is_no_text_is_refused(refused: Refused, area: Path, words: tuple[str, ...]) -> None:
    area.with_name("made").mkdir()
    area.with_name("latin").write_bytes(b"# caf\xe9\n")
    for name in ("made", "latin"):
        assert f"{name} cannot be read as text" in refused(*words, name, *UNOPENED)


def test_tests_that_do_not_parse_are_refused(refused: Refused, area: Path) -> None:
    area.with_name("test_area.py").write_text("def test_double(:\n")
    assert "test_area.py cannot be read as Python" in refused("test", "area.py", *UNOPENED)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("refactor area.py --project ..", "--project goes with --test"),
        ("see shot.png --library other", "--library and --libraries go with --html and --compare"),
        ("see shot.png --libraries .", "--library and --libraries go with --html and --compare"),
        ("complete x --candidates 2", "--candidates goes with --suffix"),
    ],
)
def test_options_that_would_do_nothing_are_refused(refused: Refused, area: Path, words: str, said: str) -> None:
    assert said in refused(*words.split())


def test_explain_says_that_there_is_no_memory(trained: Trained) -> None:
    words = ("complete", "def f", "--model", trained.folder, "--memory", "none", "--max-tokens", "5", "--threads", "1")
    said = "note: there is no memory in which --explain could look"
    assert said not in call(*words).err
    explained = call(*words, "--explain")
    assert explained.status == 0, explained
    assert said in explained.err


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("a = 1\n")
    real.chmod(0o640)
    link.symlink_to(real.name)
    write_change(Shown(link, "a = 1\n", "a = 2\n", "", ""))
    assert link.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("a = 2\n", 0o640)
    with pytest.raises(AxlError, match="was changed while the proposal was made"):
        write_change(Shown(link, "a = 1\n", "a = 3\n", "", ""))


def test_tables_show_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = ui.new_table("f([x, y], '[/b]')", ["[v1]"])
    table.add_row("out/[v2]/[/b]/model.gguf")
    ui.show_table(table)
    shown = capsys.readouterr().out
    for text in ("f([x, y], '[/b]')", "[v1]", "out/[v2]/[/b]/model.gguf"):
        assert text in shown


def test_progress_shows_brackets_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "errors", Console(file=io.StringIO(), force_terminal=True, force_interactive=True))
    with ui.bar() as bar:
        bar.add_task("line 3: f([x, y]) [/b]", total=1)
        bar.refresh()
        assert bar.columns[0].render(bar.tasks[0]).plain == "line 3: f([x, y]) [/b]"
    with ui.busy("measuring a[/b]"):
        pass

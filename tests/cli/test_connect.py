"""`axl connect` and `axl service`: settings that clients read, put into their files with a way back."""

from __future__ import annotations

import json
import plistlib
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from calling import call
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.cli import connect as connecting
from multiscale_transformer.cli.client_settings import CLIENTS, Server, into_json, into_script, into_yaml, shown
from multiscale_transformer.cli.service import launchd_agent, systemd_unit
from multiscale_transformer.errors import AxlError

SERVER = Server("http://127.0.0.1:9", "mine", 2048)
READ = {
    "continue": yaml.safe_load,
    "llama.vscode": json.loads,
    "zed": json.loads,
    "vscode": json.loads,
    "codex": tomllib.loads,
    "claude-code": json.loads,
    "aider": yaml.safe_load,
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, place in (("HOME", ""), ("XDG_CONFIG_HOME", ".config"), ("XDG_DATA_HOME", ".data")):
        monkeypatch.setenv(name, str(tmp_path / place))
    monkeypatch.setattr(connecting, "_server", lambda url, key: SERVER)
    return tmp_path


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_shown_is_what_the_client_reads_and_names_the_server(name: str) -> None:
    text = shown(CLIENTS[name], SERVER)
    assert SERVER.url in text
    if name in READ:
        assert READ[name](text)


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_written_can_be_undone_to_the_byte(home: Path, name: str) -> None:
    path = CLIENTS[name].path()
    assert path.is_relative_to(home)
    assert call("connect", name, "--write").status == 0
    assert SERVER.url in path.read_text()
    assert call("connect", name, "--write").status == 0
    assert call("connect", name, "--undo").status == 0
    assert not path.exists()
    old = b"# mine\nkey: 1\n" if name in ("continue", "aider") else b"[]\n" if name == "vscode" else b'{"key":   1}\n'
    path.write_bytes(old)
    assert call("connect", name, "--write").status == 0
    assert call("connect", name, "--undo").status == 0
    assert path.read_bytes() == old
    assert call("connect", name, "--undo").status == 2


def test_a_file_that_was_changed_since_is_left_alone(home: Path) -> None:
    path = CLIENTS["zed"].path()
    call("connect", "zed", "--write")
    path.write_text('{"theme": "mine"}')
    answer = call("connect", "zed", "--undo")
    assert answer.status == 2
    assert "changed since" in answer.err
    assert path.read_text() == '{"theme": "mine"}'


def test_comments_of_an_editors_json_are_not_lost(home: Path) -> None:
    path = CLIENTS["llama.vscode"].path()
    path.parent.mkdir(parents=True)
    path.write_text('// my settings\n{"a": 1}\n')
    answer = call("connect", "llama.vscode", "--write")
    assert answer.status == 2
    assert "by hand" in answer.err
    assert path.read_text() == '// my settings\n{"a": 1}\n'


def test_a_server_that_does_not_answer_is_one_line() -> None:
    answer = call("connect", "continue", "--url", "http://127.0.0.1:9")
    assert answer.status == 2
    assert "axl serve" in answer.err
    assert call("connect", "continue", "--url", "file:///etc/passwd").status == 2
    assert call("connect", "emacs").status == 2
    assert "claude-code" in call("connect").out


words = st.text("ab:#-'\"é \n{[&*")
values = st.recursive(st.none() | st.booleans() | st.integers() | words, lambda inner: st.dictionaries(words, inner))


@given(st.dictionaries(words, values), st.dictionaries(st.sampled_from("ab"), st.dictionaries(words, st.integers())))
def test_keys_are_added_and_all_others_stay(old: dict[str, object], new: dict[str, dict[str, int]]) -> None:
    try:
        merged = json.loads(into_json("f", json.dumps(old), new))
    except AxlError:
        assert any(key in old and not isinstance(old[key], dict) for key in new)
        return
    assert {key: value for key, value in merged.items() if key not in new} == {k: v for k, v in old.items() if k not in new}
    for key, settings in new.items():
        assert settings.items() <= merged[key].items()
    assert json.loads(into_json("f", json.dumps(merged), new)) == merged
    assert yaml.safe_load(into_yaml("f", json.dumps(merged), new)) == merged


def test_a_named_entry_of_a_list_is_replaced() -> None:
    old = {"models": [{"name": "other"}, {"name": "axl", "model": "old"}]}
    merged = yaml.safe_load(into_yaml("f", yaml.safe_dump(old), {"models": [{"name": "axl", "model": "new"}]}))
    assert merged["models"] == [{"name": "other"}, {"name": "axl", "model": "new"}]
    with pytest.raises(AxlError, match="by hand"):
        into_yaml("f", "models: 3\n", {"models": [{"name": "axl"}]})


def test_a_block_is_replaced_where_it_stands() -> None:
    merge = into_script("#")
    once = merge("f", "a\nb", "x\n")
    assert merge("f", once, "y\n") == once.replace("x\n", "y\n")
    assert once.startswith("a\nb\n")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1))
def test_a_unit_starts_the_words_as_they_are(words: list[str]) -> None:
    (line,) = [line for line in systemd_unit(words).split("\n") if line.startswith("ExecStart=")]
    text = line.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$")
    assert shlex.split(text) == words
    assert plistlib.loads(launchd_agent(words).encode())["ProgramArguments"] == words


def test_a_service_is_shown_before_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    answer = call("service", "install", "--show", str(tmp_path), "--port", "0")
    assert answer.status == 0, answer.err
    assert f'"serve" "{tmp_path}" "--port" "0"' in answer.out
    assert not list(tmp_path.rglob("*.service"))
    assert call("service", "uninstall").status == 2


def test_learning_at_night_needs_a_project() -> None:
    answer = call("serve", "--learn", "02:00")
    assert answer.status == 2
    assert "PROJECT" in answer.err

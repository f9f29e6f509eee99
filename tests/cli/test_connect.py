"""`axl connect` and `axl service`: settings that clients read, put into their files with a way back."""

from __future__ import annotations

import json
import plistlib
import shlex
import socket
import stat
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from calling import call
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.cli import connect as connecting
from multiscale_transformer.cli import service
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
    monkeypatch.setattr(connecting, "_server", lambda url, key: replace(SERVER, key=key))
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


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_others_may_not_read_stays_so(home: Path) -> None:
    path, journal = CLIENTS["aider"].path(), connecting._journal("aider")
    assert call("connect", "aider", "--write", "--key", "secret").status == 0
    assert (mode_of(path), mode_of(journal)) == (0o600, 0o600)
    assert call("connect", "aider", "--undo").status == 0
    path.write_text("dark-mode: true\n")
    path.chmod(0o640)
    for _ in range(2):
        assert call("connect", "aider", "--write").status == 0
        assert (mode_of(path), mode_of(journal)) == (0o640, 0o600)
        path.chmod(0o644)
        assert call("connect", "aider", "--undo").status == 0
        assert mode_of(path) == 0o640


def test_a_journal_of_before_rights_were_kept_can_be_undone(home: Path) -> None:
    path, journal = CLIENTS["aider"].path(), connecting._journal("aider")
    path.write_text("dark-mode: true\n")
    call("connect", "aider", "--write")
    kept = json.loads(journal.read_text())
    del kept["mode"]
    journal.write_text(json.dumps(kept))
    assert call("connect", "aider", "--write").status == 0
    assert call("connect", "aider", "--undo").status == 0
    assert path.read_text() == "dark-mode: true\n"


def test_a_link_stays_and_what_it_leads_to_is_written(home: Path) -> None:
    path, real = CLIENTS["zed"].path(), home / "dotfiles" / "zed.json"
    for folder in (path.parent, real.parent):
        folder.mkdir(parents=True)
    real.write_text('{"theme": "mine"}')
    path.symlink_to(real)
    assert call("connect", "zed", "--write").status == 0
    assert path.is_symlink()
    assert SERVER.url in real.read_text()
    assert call("connect", "zed", "--undo").status == 0
    assert path.is_symlink()
    assert real.read_text() == '{"theme": "mine"}'


def test_a_script_that_is_no_utf_8_is_left_alone(home: Path, refused: Callable[..., str]) -> None:
    path = CLIENTS["llama.vim"].path()
    path.write_bytes(b'" caf\xe9\n')
    assert "no UTF-8" in refused("connect", "llama.vim", "--write")
    assert path.read_bytes() == b'" caf\xe9\n'


@pytest.mark.parametrize("name", CLIENTS)
def test_a_key_is_written_or_said_to_come_from_elsewhere(home: Path, name: str) -> None:
    client = CLIENTS[name]
    answer = call("connect", name, "--write", "--key", "secret")
    assert answer.status == 0, answer.err
    assert ("secret" in client.path().read_text()) == (not client.variables)
    assert all(variable in answer.err for variable in client.variables)
    answer = call("connect", name, "--write")
    assert answer.status == 0, answer.err
    assert "secret" not in client.path().read_text()
    assert "environment" not in answer.err


def test_a_key_is_written_as_the_client_reads_it() -> None:
    server = replace(SERVER, key="it's")
    assert "'api_key': 'it''s'" in shown(CLIENTS["llama.vim"], server)
    (provider,) = tomllib.loads(shown(CLIENTS["codex"], server))["model_providers"].values()
    assert provider["env_key"] == "AXL_API_KEY"
    assert "env_key" not in shown(CLIENTS["codex"], SERVER)  # Codex refuses to start where the variable is not set


@pytest.mark.parametrize("flag", ["--write", "--undo"])
def test_writing_and_undoing_need_a_client(flag: str, refused: Callable[..., str]) -> None:
    assert "CLIENT" in refused("connect", flag)


@pytest.mark.parametrize("url", ["localhost", "http://127.0.0.1:88x0", "http://", "http://a b"])
def test_what_is_no_address_is_one_line(url: str, refused: Callable[..., str]) -> None:
    assert "server" in refused("connect", "continue", "--url", url)


def test_something_else_at_the_address_is_one_line(refused: Callable[..., str]) -> None:
    def greet() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        greeting = threading.Thread(target=greet, daemon=True)
        greeting.start()
        line = refused("connect", "continue", "--url", f"http://127.0.0.1:{listening.getsockname()[1]}")
        greeting.join()
    assert "no server of ours answers" in line


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


def test_only_paths_of_a_service_become_absolute(work: Path) -> None:
    (work / "mine").mkdir()
    mine, certificate = str(work.resolve() / "mine"), str(work.resolve() / "c.pem")
    names = ["--model", "shipped", "--memory", "stdlib", "--served-model-name", "mine", "--keep-alive", "-1"]
    given = ["--quiet", "mine", "--model=mine", "--memory", "mine", "--tls-cert", "c.pem", *names, "later"]
    made = ["--quiet", mine, f"--model={mine}", "--memory", mine, "--tls-cert", certificate, *names]
    assert service._checked(given) == [*made, str(work.resolve() / "later")]


@pytest.mark.parametrize("words", [("--prot", "1"), ("--port", "many"), ("--port",), ("--fim-timeout-ms", "0")])
def test_a_service_is_not_installed_with_what_axl_serve_refuses(
    words: tuple[str, ...], work: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(work))  # where `refused` sees to it that no file appears
    assert words[0] in refused("service", "install", *words)


def test_a_service_that_cannot_be_ended_starts_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "units" / "axl.service"
    manager = service.Manager(path, systemd_unit, [], [[sys.executable, "-c", "raise SystemExit('no bus')"]])
    monkeypatch.setattr(service, "_manager", lambda: manager)
    assert call("service", "install", "--api-key", "secret").status == 0
    assert mode_of(path) == 0o600
    answer = call("service", "uninstall")
    assert answer.status == 2
    assert "no bus" in answer.err
    assert not path.exists()


def test_learning_at_night_needs_a_project() -> None:
    answer = call("serve", "--learn", "02:00")
    assert answer.status == 2
    assert "PROJECT" in answer.err

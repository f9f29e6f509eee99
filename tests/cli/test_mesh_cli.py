"""What `axl mesh` and `axl serve --join` refuse, in a line, and what `axl mesh status` shows of a mesh."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from calling import call

from mesh.mesh_fakes import Fake, Heart, new_registry, running_mesh
from multiscale_transformer.mesh.adopted import Adopted
from multiscale_transformer.mesh.member import Membership
from multiscale_transformer.mesh.runner import Charge
from multiscale_transformer.mesh.store import Store


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mesh registry --tls-cert x.pem", "--tls-cert and --tls-key go together"),
        ("mesh registry --tls-cert x.pem --tls-key y.pem", "--tls-cert x.pem"),
        ("mesh registry --tls-ca nowhere.pem", "--tls-ca nowhere.pem holds no certificate"),
        ("mesh registry --peer nonsense", "--peer: 'nonsense' is no address"),
        ("mesh registry --state /proc/x/y", "--state"),
        ("mesh registry --hedge-ms 0", "'--hedge-ms'"),
        ("mesh registry --api-key ", "--api-key"),
        ("mesh gateway --registry ftp://h", "the registry: 'ftp://h' is no address"),
        ("mesh join http://127.0.0.1:9 --upstream nowhere", "--upstream: 'nowhere' is no address"),
        ("mesh join http://127.0.0.1:9 --upstream http://h --key k", "--token"),
        ("mesh join http://127.0.0.1:9 --upstream http://h --skill Review", "--skill: String should match pattern"),
        ("mesh status --registry http://127.0.0.1:9", "no registry answers at http://127.0.0.1:9"),
        ("mesh drain one --registry http://127.0.0.1:9", "no registry answers"),
        ("serve --skill code", "go with --join"),
        ("serve --join http://127.0.0.1:9 --api-key k", "--mesh-token"),
    ],
)
def test_refusals(words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    answer = call(*words.split(" "))
    assert answer.status == 2
    assert said in " ".join(answer.err.split())


def test_a_state_that_is_in_use_and_a_port_that_is_taken(tmp_path: Path) -> None:
    another = Charge(Store(tmp_path / "s"))
    another.take(standby=False, say=pytest.fail)
    another.keep(lambda: pytest.fail("it was taken away"))
    answer = call("mesh", "registry", "--state", tmp_path / "s")
    another.give_up()
    assert answer.status == 2
    assert "--standby" in answer.err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = call("mesh", "registry", "--state", tmp_path / "other", "--port", str(taken.getsockname()[1]))
        assert answer.status == 2
        assert "cannot listen" in answer.err
    assert Store(tmp_path / "other").take_charge("next"), "the charge was given up"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of something that answers so, whoever asks."""

    def answer_all() -> None:
        with suppress(OSError):
            while True:
                connection, _ = other.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=answer_all, daemon=True).start()
        yield f"http://127.0.0.1:{other.getsockname()[1]}"
        other.shutdown(socket.SHUT_RDWR)


NO_HTTP = b"SSH-2.0-OpenSSH_9.6\r\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NO_HTTP, "speaks no HTTP: BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "what answers there is no registry of a mesh"),
    ],
)
def test_an_address_that_is_no_registry_is_refused_in_a_line(answer: bytes, said: str) -> None:
    with answering(answer) as url:
        shown = call("mesh", "status", "--registry", url)
    assert (shown.status, shown.err.count("\n")) == (2, 1)
    assert said in shown.err


def test_heartbeats_and_looks_outlive_an_answer_that_is_no_http() -> None:
    with answering(NO_HTTP) as url:
        adopted = Adopted("one", url, (), None, None, looked_at=url)
        assert "ill" in adopted.look()
        assert "not in the mesh" in Membership([url], adopted.describe, None, None, pytest.fail)._beat(url)


def test_status_drain_and_forget(tmp_path: Path) -> None:
    fake = Fake("one", models=("a-model",), skills=("code",)).start()
    with running_mesh(new_registry(tmp_path)) as mesh:
        assert "nobody has joined" in call("mesh", "status", "--registry", mesh.url).err
        with Heart(mesh, fake):
            shown = call("mesh", "status", "--registry", mesh.url).out
            assert all(text in shown for text in ("one", "up", "a-model", "code", fake.url))
            told = call("mesh", "status", "--registry", mesh.url, "--json").out
            assert (told.count("\n"), json.loads(told)["members"][0]["name"]) == (1, "one")
            assert call("mesh", "drain", "one", "--registry", mesh.url).status == 0
            assert "draining" in call("mesh", "status", "--registry", mesh.url).out
            assert call("mesh", "drain", "one", "--undo", "--registry", mesh.url).status == 0
            refused = call("mesh", "drain", "two", "--registry", mesh.url)
            assert refused.status == 2
            assert "there is no member two" in refused.err
            assert "alive" in call("mesh", "forget", "one", "--registry", mesh.url).err
        mesh.registry.leave("one")
        assert call("mesh", "forget", "one", "--registry", mesh.url).status == 0
        assert mesh.registry.members() == []
    fake.kill()

"""Gateways that follow registries elsewhere: two of them, one dead, both dead; and members that report to both."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from mesh.mesh_fakes import Fake, Heart, new_registry, running_mesh, wait_until
from multiscale_transformer.mesh.adopted import Adopted, adopt, default_name
from multiscale_transformer.mesh.app import MeshSettings
from multiscale_transformer.mesh.follow import Followed
from multiscale_transformer.mesh.member import Membership
from multiscale_transformer.mesh.metrics import merged
from multiscale_transformer.mesh.registry import Registry
from multiscale_transformer.mesh.store import Store
from multiscale_transformer.mesh.upstreams import trust
from multiscale_transformer.server.runner import Tls

BODY = {"model": "m", "prompt": "x"}


def names(client: httpx.Client) -> dict[str, str]:
    return {one["name"]: one["status"] for one in client.get("/mesh/status").json()["members"]}


def test_a_gateway_goes_on_with_the_registry_that_still_knows_a_member(tmp_path: Path) -> None:
    fake = Fake("one").start()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running_mesh(new_registry(tmp_path / "a")) as first, running_mesh(new_registry(tmp_path / "b")) as second:
        followed = Followed([first.url, second.url])
        with running_mesh(followed) as gateway, httpx.Client(base_url=gateway.url, timeout=30) as http, Heart(second, fake):
            wait_until(lambda: names(http) == {"one": "up"})
            assert http.post("/v1/completions", json=BODY).json()["by"] == "one"
            with Heart(first, fake):
                wait_until(lambda: "one" in followed._answers[first.url])
            first.registry.leave("one")
            wait_until(lambda: followed._answers[first.url]["one"].status != "up")
            assert names(http) == {"one": "up"}
            assert http.post("/v1/completions", json=BODY).status_code == 200
    fake.kill()


def test_a_gateway_without_registries_knows_nobody_and_is_no_registry() -> None:
    followed, said = Followed(["http://127.0.0.1:9"]), {"name": "one", "url": "http://h:1"}
    with running_mesh(followed, MeshSettings(patience=0.5)) as alone, httpx.Client(base_url=alone.url, timeout=30) as http:
        assert http.post("/v1/completions", json=BODY).status_code == 404
        assert http.get("/mesh/status").json()["registries"] == {"http://127.0.0.1:9": False}
        assert http.post("/mesh/members", json=said).status_code == 404


def test_what_was_known_stays_known(tmp_path: Path) -> None:
    fake = Fake("one").start()
    followed = None
    with running_mesh(new_registry(tmp_path)) as registry, Heart(registry, fake):
        followed = Followed([registry.url])
        gateway = running_mesh(followed)
        up = gateway.__enter__()
        with httpx.Client(base_url=up.url, timeout=30) as http:
            wait_until(lambda: names(http) == {"one": "up"})
    with httpx.Client(base_url=up.url, timeout=30) as http:
        wait_until(lambda: not any(followed.registries.values()))
        assert http.post("/v1/completions", json=BODY).json()["by"] == "one", "the registry is dead, the member is not"
    gateway.__exit__(None, None, None)
    fake.kill()


def test_members_report_to_all_registries_and_follow_a_drain(tmp_path: Path) -> None:
    fake, said = Fake("one").start(), []
    (tmp_path / "b").mkdir()
    with (
        running_mesh(new_registry(tmp_path / "b")) as second,
        running_mesh(Registry(Store(tmp_path / "a"), peers=[second.url])) as first,
    ):
        membership = Membership([first.url], fake.said, None, None, said.append)
        membership.start()
        wait_until(lambda: [one.status for one in second.registry.members()] == ["up"])
        first.registry.drain("one", drained=True)
        wait_until(lambda: [one.status for one in second.registry.members()] == ["draining"])
        first.registry.drain("one", drained=False)
        wait_until(lambda: [one.status for one in second.registry.members()] == ["up"])
        membership.leave()
        assert [one.status for one in second.registry.members()] == ["gone"]
    assert any("in the mesh as one" in line for line in said)
    assert any("drained" in line for line in said)
    fake.kill()


def test_a_server_that_knows_nothing_of_meshes_is_looked_after(tmp_path: Path) -> None:
    """Its models are its own, it is ill when it does not answer, and comes back with a closed breaker."""
    fake, said, end = Fake("llama", models=("qwen", "phi")).start(), list[str](), threading.Event()
    with running_mesh(new_registry(tmp_path)) as mesh, httpx.Client(base_url=mesh.url, timeout=30) as http:
        adopted = Adopted(default_name(fake.url), fake.url, ("chat",), None, None, looked_at=fake.url)
        words = (adopted, [mesh.url], None, None, said.append, end)
        looking = threading.Thread(target=adopt, args=words)
        looking.start()
        name = f"127.0.0.1:{fake.port}"
        wait_until(lambda: names(http) == {name: "up"})
        first = mesh.registry.members()[0].said.incarnation
        assert http.post("/v1/completions", json={"model": "phi"}).json() == {"by": "llama", "model": "phi"}
        assert http.post("/v1/completions", json={"model": "skill:chat"}).json()["model"] == "qwen"
        fake.kill()
        wait_until(lambda: names(http) == {name: "ill"})
        fake.start()
        wait_until(lambda: names(http) == {name: "up"})
        assert mesh.registry.members()[0].said.incarnation != first
        end.set()
        looking.join(20)
        assert names(http) == {name: "gone"}
    assert any("qwen, phi" in line for line in said)
    assert any("ill" in line for line in said)
    fake.kill()


def test_pages_of_metrics_that_cannot_be_read_spoil_nothing() -> None:
    own = "# TYPE axl_requests counter\naxl_requests_total 1.0\n"
    pages = {
        "fine": '# TYPE x gauge\nx{member="other"} 2.0\n',
        "none": None,
        "rubbish": "<html>",
        "labels": 'x{a="b} 1\n',
        "huge": "x 1\n" * 30_000,
        "binary": "\x00\x01",
    }
    text = merged(own, pages).decode()
    assert 'axl_requests_total{member="gateway"} 1.0' in text
    assert 'x{exported_member="other",member="fine"} 2.0' in text
    for name in ("none", "rubbish", "labels", "huge", "binary"):
        assert f'axl_mesh_member_scraped{{member="{name}"}} 0.0' in text
        assert f'x{{member="{name}"}}' not in text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_tls_by_certificates_that_are_given(tmp_path: Path) -> None:
    """A registry in TLS, a gateway that trusts its certificate, one that does not, and heartbeats through it."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mesh", "-addext"]
    files = ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*words, *files], check=True, capture_output=True)
    tls, fake, said = Tls(certificate, key), Fake("one").start(), list[str]()
    with running_mesh(new_registry(tmp_path), tls=tls) as registry:
        membership = Membership([registry.url], fake.said, None, trust(certificate), said.append)
        membership.start()
        wait_until(lambda: [one.status for one in registry.registry.members()] == ["up"])
        trusting, wary = Followed([registry.url], tls=trust(certificate)), Followed([registry.url])
        with running_mesh(trusting) as gateway, httpx.Client(base_url=gateway.url, timeout=30) as http:
            wait_until(lambda: names(http) == {"one": "up"})
            assert http.post("/v1/completions", json=BODY).json()["by"] == "one"
        asyncio.run(wary.ask(registry.url))
        assert wary.registries == {registry.url: False}
        assert "certificate" in wary.events.latest[-1][2].lower()
        membership.leave()
    fake.kill()

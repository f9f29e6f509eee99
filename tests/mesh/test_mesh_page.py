"""The page of a mesh in a real browser: it shows who is there and what happened, in both themes, and asks no other host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from mesh.mesh_fakes import Fake, Heart, RunningMesh, new_registry, running_mesh
from multiscale_transformer.mesh.app import MeshSettings

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")]
TIMEOUT = 60_000  # ms


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[RunningMesh]:
    fakes = [Fake("coder", models=("<b>bold</b>",), skills=("code",)).start(), Fake("debugger", skills=("debug",)).start()]
    with running_mesh(new_registry(tmp_path)) as up, Heart(up, *fakes):
        yield up
    for fake in fakes:
        fake.kill()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_shows_members_and_asks_nobody_else(browser: Browser, mesh: RunningMesh, scheme: str, width: int) -> None:
    errors: list[str] = []
    hosts: set[str] = set()
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if request.url.startswith("http") else None)
    page.goto(mesh.url, timeout=TIMEOUT)
    expect(page.locator("#members li")).to_have_count(2, timeout=TIMEOUT)
    expect(page.locator("#members")).to_contain_text("<b>bold</b>")
    expect(page.locator("#address")).to_have_text(f"{mesh.url}/v1")
    assert httpx.post(f"{mesh.url}/v1/completions", json={"model": "m"}, timeout=30).status_code == 200
    expect(page.locator("#members li").nth(1)).to_contain_text("1 answered", timeout=TIMEOUT)
    mesh.registry.drain("debugger", drained=True)
    expect(page.locator("#members li.draining")).to_have_count(1, timeout=TIMEOUT)
    expect(page.locator("#events")).to_contain_text("debugger draining", timeout=TIMEOUT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not errors
    assert hosts == {mesh.url.removeprefix("http://")}
    page.close()


def test_it_asks_for_the_token(browser: Browser, tmp_path: Path) -> None:
    with running_mesh(new_registry(tmp_path), MeshSettings(token="secret")) as mesh:
        page = browser.new_page()
        page.goto(mesh.url, timeout=TIMEOUT)
        expect(page.locator("#notice")).to_contain_text("token", timeout=TIMEOUT)
        page.fill("#token", "secret")
        expect(page.locator("#nobody")).to_be_visible(timeout=TIMEOUT)
        expect(page.locator("#notice")).to_be_hidden(timeout=TIMEOUT)
        page.close()

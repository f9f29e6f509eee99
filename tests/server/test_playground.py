"""The playground in a real browser: it completes, streams, stops, converses, names sources, and asks no other host."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from server.client_folders import node_modules
from server.running import Running, running, settings_for

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")]


@pytest.fixture(scope="module")
def up(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(settings_for(model, tmp_path_factory.mktemp("playground"))) as server:
        yield server


def test_it_says_when_a_project_is_indexed(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "geo"
    root.mkdir()
    with running(settings_for(model, tmp_path, projects={"geo": root})) as server, sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"]).new_page()
        page.goto(server.url)
        expect(page.locator("#loaded li")).to_contain_text(["geo"])
        expect(page.locator("#loaded li")).to_contain_text(["being indexed"])
        (root / "shapes.py").write_text("def area(side):\n    return side * side\n")
        expect(page.locator("#loaded li")).to_contain_text(["follows every save"], timeout=30_000)


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, up: Running) -> Iterator[Page]:
    """The page, in both colour schemes; at its end no error and no request to another host."""
    errors: list[str] = []
    hosts: set[str] = set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=request.param)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if request.url.startswith("http") else None)
        page.goto(up.url)
        yield page
        browser.close()
    assert not errors
    assert hosts == {f"127.0.0.1:{up.port}"}


def test_it_completes_and_takes_over(page: Page) -> None:
    expect(page.locator("#model")).to_have_value("tiny")
    page.fill("#prompt", "def area(")
    page.fill("#max_tokens", "40")
    page.fill("#seed", "1")
    page.click("#run")
    expect(page.locator("#accept")).to_be_enabled(timeout=20_000)
    expect(page.locator("#speed")).to_contain_text(re.compile(r"\d+ bytes, first byte after"))
    shown = page.locator("#output").text_content() or ""
    assert shown.startswith("def area(")
    assert len(shown) > len("def area(")
    page.click("#accept")
    assert (page.input_value("#prompt")).startswith("def area(")
    assert len(page.input_value("#prompt")) > len("def area(")
    expect(page.locator("#loaded li")).to_contain_text("tiny")


def test_it_is_usable_by_keyboard(page: Page) -> None:
    page.route("**/v1/completions", lambda route: None)  # an answer that never comes
    page.focus("#prompt")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#stop")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("#stop")).to_be_disabled()
    page.focus("#tab-complete")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chat")).to_be_visible()
    expect(page.locator("#complete")).to_be_hidden()


def test_it_converses(page: Page) -> None:
    page.click("#tab-chat")
    page.fill("#max_tokens", "20")
    page.fill("#seed", "1")
    page.fill("#say", "Hello")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#messages li.user")).to_have_text("Hello")
    expect(page.locator("#send")).to_be_enabled(timeout=20_000)
    assert page.locator("#messages li.assistant").text_content()
    page.click("#clear")
    expect(page.locator("#messages li")).to_have_count(0)


def test_it_proposes_and_takes_over_what_was_verified(page: Page) -> None:
    page.click("#tab-improve")
    expect(page.locator("#proposes")).to_contain_text("docstrings")
    page.select_option("#skill", "refactor")
    expect(page.locator("#proposes")).to_contain_text("linter")
    page.fill("#code", "def known(word, words):\n    return not word in words\n")
    page.click("#propose")
    expect(page.locator("#accept-change")).to_be_enabled(timeout=60_000)
    expect(page.locator("#verified")).to_contain_text("Verified: 1 finding gone")
    expect(page.locator("#diff .added")).to_have_text("+    return word not in words")
    page.click("#accept-change")
    assert "word not in words" in page.input_value("#code")
    expect(page.locator("#accept-change")).to_be_disabled()


def test_a_proposal_can_be_stopped(page: Page) -> None:
    page.route("**/v1/skills/*", lambda route: None)  # an answer that never comes
    page.click("#tab-improve")
    page.focus("#code")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#stop-proposal")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("#propose")).to_be_enabled()


def test_sources_are_marked_and_named(page: Page) -> None:
    page.route(
        "**/v1/completions",
        lambda route: route.fulfill(
            content_type="text/event-stream",
            body='data: {"choices": [{"text": "é = copied text", "sources": [{"begin": 5, "end": 16, "file": "<b>.py",'
            ' "line": 7, "matched": 120, "copied": true, "licence": "MIT"}]}]}\n\ndata: [DONE]\n\n',
        ),
    )
    page.fill("#prompt", "x")
    page.click("#run")
    expect(page.locator("#output mark")).to_have_text("copied text")
    expect(page.locator("#sources li")).to_have_count(1)
    expect(page.locator("#sources li")).to_contain_text("<b>.py:7")
    expect(page.locator("#sources li")).to_contain_text("a copy (MIT)")
    page.focus("#sources button")
    expect(page.locator("#output mark")).to_have_class("copied chosen")


def test_errors_are_shown(page: Page) -> None:
    page.fill("#min_p", "7")
    page.click("#run")
    expect(page.locator("#notice")).to_contain_text("min_p")


def test_the_list_of_routes(page: Page) -> None:
    page.goto(page.url + "docs")
    expect(page.locator("table")).to_contain_text("/v1/chat/completions")


@pytest.mark.skipif(shutil.which("npm") is None, reason="axe-core comes from npm")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_to_object_to(up: Running, scheme: str, width: int) -> None:
    script = node_modules("axe", ["axe-core@4.14.1"]) / "axe-core" / "axe.min.js"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)  # type: ignore[arg-type]
        page.goto(up.url)
        expect(page.locator("#model")).to_have_value("tiny")
        page.add_script_tag(path=script)
        for tab in ("complete", "chat", "improve"):
            page.click(f"#tab-{tab}")
            found = page.evaluate("axe.run().then((result) => result.violations.map((one) => [one.id, one.nodes[0].html]))")
            assert found == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

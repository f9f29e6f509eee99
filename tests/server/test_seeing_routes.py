"""Pictures in requests of every dialect: what sees answers, what does not says so, and hostile pictures get one line."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from multiscale_transformer.model.vision import build_vision, save_vision
from server.running import running, settings_for
from vision import small


@pytest.fixture(scope="module")
def client(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server whose `eyes` see, and whose other models do not."""
    folder = tmp_path_factory.mktemp("eyes")
    net = build_vision(small.PAGE, seed=0)
    net.convs["heads"].bias.data[:16] = 0.5  # so that an untrained net sees something
    save_vision(net, folder, name="eyes")
    with (
        running(settings_for(model, tmp_path_factory.mktemp("seeing"), seers={"eyes": folder})) as up,
        httpx.Client(base_url=up.url, timeout=60) as http,
    ):
        yield http


def png(width: int = 400, height: int = 300) -> str:
    raw = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(raw, "PNG")
    return base64.b64encode(raw.getvalue()).decode()


def chat(model: str, url: str, **more: object) -> dict[str, object]:
    content = [{"type": "text", "text": "What is here?"}, {"type": "image_url", "image_url": {"url": url}}]
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


def message(model: str, source: dict[str, str], **more: object) -> dict[str, object]:
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is here?"}]
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}], **more}


def base64_source() -> dict[str, str]:
    return {"type": "base64", "media_type": "image/png", "data": png()}


def test_openai_in_text_json_and_a_stream(client: httpx.Client) -> None:
    url = f"data:image/png;base64,{png()}"
    answer = client.post("/v1/chat/completions", json=chat("eyes", url)).json()
    assert "on 400 x 300 pixels" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["prompt_tokens"] == len(base64.b64decode(png()))
    answer = client.post("/v1/chat/completions", json=chat("eyes", url, response_format={"type": "json_object"})).json()
    seen = json.loads(answer["choices"][0]["message"]["content"])
    assert (seen["width"], seen["height"]) == (400, 300)
    assert all(0 <= element["box"][0] < element["box"][2] <= 400 for element in seen["elements"])
    lines = client.post("/v1/chat/completions", json=chat("eyes", url, stream=True)).text.split("\n\n")
    assert lines[-2] == "data: [DONE]"
    assert "on 400 x 300 pixels" in json.loads(lines[0].removeprefix("data: "))["choices"][0]["delta"]["content"]


def test_ollama_generates_and_chats_about_a_picture(client: httpx.Client) -> None:
    answer = client.post("/api/generate", json={"model": "eyes:latest", "images": [png()], "stream": False}).json()
    assert "on 400 x 300 pixels" in answer["response"]
    assert answer["done"]
    turn = {"role": "user", "content": "?", "images": [png()]}
    lines = client.post("/api/chat", json={"model": "eyes", "messages": [turn], "format": "json"}).text.splitlines()
    assert json.loads(json.loads(lines[0])["message"]["content"])["width"] == 400
    assert json.loads(lines[-1])["done"]


def test_anthropic_whole_and_streamed(client: httpx.Client) -> None:
    answer = client.post("/v1/messages", json=message("eyes", base64_source())).json()
    assert "on 400 x 300 pixels" in answer["content"][0]["text"]
    assert answer["stop_reason"] == "end_turn"
    text = client.post("/v1/messages", json=message("eyes", base64_source(), stream=True)).text
    assert "event: content_block_delta" in text
    assert "event: message_stop" in text


def test_models_that_see_are_listed_as_such(client: httpx.Client) -> None:
    listed = {one["id"]: one for one in client.get("/v1/models").json()["data"]}
    assert listed["eyes"]["capabilities"] == ["vision"]
    assert [name for name, one in listed.items() if "capabilities" in one] == ["eyes"]
    assert client.get("/v1/models/eyes").json()["id"] == "eyes"
    assert "eyes:latest" in [one["name"] for one in client.get("/api/tags").json()["models"]]
    assert client.post("/api/show", json={"model": "eyes"}).json()["capabilities"] == ["vision"]


def test_models_that_do_not_see_say_so_in_the_shape_of_the_dialect(client: httpx.Client) -> None:
    other = client.get("/v1/models").json()["data"][0]["id"]
    answer = client.post("/v1/chat/completions", json=chat(other, f"data:image/png;base64,{png()}"))
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "messages: this model reads text, not 'image_url'"
    answer = client.post("/v1/messages", json=message(other, base64_source()))
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "messages: this model reads text, not 'image'"
    answer = client.post("/api/generate", json={"model": other, "prompt": "a", "images": [png()]})
    assert answer.status_code == 400
    assert answer.json() == {"error": "this model reads text, not images"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://example.com/cat.png", "pictures are not fetched"),
        ("file:///etc/passwd", "pictures are not fetched"),
        ("data:image/png;base64,%%%", "no base64"),
        ("data:image/png;base64,", "empty"),
        (f"data:image/png;base64,{base64.b64encode(b'no picture').decode()}", "the picture"),
        (f"data:image/png;base64,{png()[:400]}", "the picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_line(client: httpx.Client, url: str, words: str) -> None:
    answer = client.post("/v1/chat/completions", json=chat("eyes", url))
    assert answer.status_code == 400
    error = answer.json()["error"]["message"]
    assert words in error
    assert "\n" not in error


def test_a_picture_is_needed_and_one_is_enough(client: httpx.Client) -> None:
    url = f"data:image/png;base64,{png()}"
    two = chat("eyes", url)
    two["messages"] *= 2  # type: ignore[operator]
    for body in ({"model": "eyes", "messages": [{"role": "user", "content": "hello"}]}, two):
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 400
        assert "one picture a request" in answer.json()["error"]["message"]
    answer = client.post("/v1/messages", json=message("eyes", {"type": "url", "url": "https://example.com/cat.png"}))
    assert answer.status_code == 400
    assert "not fetched" in answer.json()["error"]["message"]

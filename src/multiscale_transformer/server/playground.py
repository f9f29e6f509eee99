"""`GET /`: the playground, three files without a build step; the line that Ollama's clients look for; and a list of routes.

None of it asks another host for anything, which the framework's own pages of documentation do.
"""

from __future__ import annotations

import html
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

FOLDER = Path(__file__).resolve().parent / "static"
_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def page(http: Request) -> Response:
    """A page for browsers, a line for the rest."""
    if "text/html" not in http.headers.get("accept", ""):
        return PlainTextResponse("Ollama is running")  # the words that its clients compare
    return FileResponse(FOLDER / "playground.html", headers=_HEADERS)


@router.get("/playground.css")
async def style() -> Response:
    """The style sheet."""
    return FileResponse(FOLDER / "playground.css", media_type="text/css", headers=_HEADERS)


@router.get("/playground.js")
async def script() -> Response:
    """The script."""
    return FileResponse(FOLDER / "playground.js", media_type="text/javascript", headers=_HEADERS)


@router.get("/docs")
async def routes(http: Request) -> Response:
    """All routes with a line each; /openapi.json has their fields."""
    rows = [
        f"<tr><td>{', '.join(methods).upper()}<td><code>{html.escape(path)}</code>"
        f"<td>{html.escape(str(next(iter(methods.values())).get('summary', '')))}"
        for path, methods in http.app.openapi()["paths"].items()
    ]
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>AXL</title><link rel="stylesheet" href="playground.css">'
    )
    text = 'A token is a byte: limits and usage count them. Fields, as OpenAPI: <a href="openapi.json">openapi.json</a>.'
    page = f'{head}<main class="routes"><h1>AXL</h1><p>{text}</p><table>{"".join(rows)}</table></main>'
    return HTMLResponse(page, headers=_HEADERS)

"""`GET /`: the playground, three files without a build step; and the line that Ollama's clients look for."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

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
    """How it looks."""
    return FileResponse(FOLDER / "playground.css", media_type="text/css", headers=_HEADERS)


@router.get("/playground.js")
async def script() -> Response:
    """What it does."""
    return FileResponse(FOLDER / "playground.js", media_type="text/javascript", headers=_HEADERS)

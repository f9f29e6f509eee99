"""Says which indexed files the text of an answer stands in."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.provenance import provenance
from multiscale_transformer.server.core.requests import GenerationRequest

log = structlog.get_logger("axl.server")


async def find_sources(request: GenerationRequest, memory: CorpusMemory | None, text: str) -> list[dict[str, Any]]:
    """The documents that `text` stands in, as JSON; positions count bytes of its UTF-8.

    Returns none where the search fails: an answer that is finished does not fail for that.
    """
    if memory is None or not request.sources or not text:
        return []
    try:
        found = await asyncio.to_thread(provenance, memory, request.prompt.before, text.encode())
    except (AxlError, OSError, ValueError, IndexError) as error:
        log.warning("sources", note=f"they could not be found: {error}")
        return []
    return [
        {
            "begin": source.begin,
            "end": source.end,
            "file": source.name,
            "line": source.line,
            "matched": source.length,
            "copied": source.copied,
            "licence": source.licence,
        }
        for source in found
    ]

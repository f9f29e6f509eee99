"""The models of a server that see: loaded when first asked, and asked one picture after the other in a thread of their own.

They are small, and stand beside the registry of models that write: a request that names one of them is about a picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.runtime.registry import LATEST
from multiscale_transformer.vision.picture import open_picture
from multiscale_transformer.vision.seer import Seen, Seer, open_seer


class Seers:
    """Checkpoints that see, by name; at most `max_queue` pictures wait."""

    def __init__(self, folders: Mapping[str, Path] = MappingProxyType({}), max_queue: int = 1) -> None:
        self.folders, self._max_queue = folders, max_queue
        self._loaded: dict[str, Seer] = {}
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, "axl-see")  # one picture is unpacked at a time, which bounds RAM

    def named(self, name: str | None) -> str | None:
        """The name of the model that sees which a request means; None where it means another."""
        wanted = (name or "").removesuffix(LATEST)
        return wanted if wanted in self.folders else None

    async def see(self, name: str, content: bytes) -> Seen:
        """What the model sees on a picture. Raises ApiError (429) when too many wait, AxlError for a picture that is none."""
        if self._waiting >= self._max_queue:
            raise ApiError(429, "too many pictures are waiting; try again", retry_after=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._see, name, content)
        finally:
            self._waiting -= 1

    def _see(self, name: str, content: bytes) -> Seen:
        picture_HWC = open_picture(content)
        if name not in self._loaded:
            self._loaded[name] = open_seer(self.folders[name])
        return self._loaded[name].see(picture_HWC)

    def close(self) -> None:
        """Finish the picture that is being looked at, and forget those that wait."""
        self._thread.shutdown(cancel_futures=True)

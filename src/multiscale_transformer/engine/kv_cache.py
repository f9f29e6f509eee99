"""Pages of decoding state: a fixed number of bytes of RAM, shared between sequences that begin alike.

A page that is full never changes, so every sequence that begins with the same ids can use it: an editor sends almost the same
file again and again. Full pages stay when their sequence ends and are found again by what they hold and what comes before it;
when room is needed the one that was used longest ago goes first.
"""

# Shape suffixes: P pages.

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from multiscale_transformer.engine.compiled_model import Pages
from multiscale_transformer.engine.weights import page_bytes, page_elements
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig

Key = tuple[object, tuple[int, ...]]


class PagedKVCache:
    """All pages of an engine. A page in use counts its users; an unused one that is full can be found by its key."""

    def __init__(self, config: ModelConfig, cache_bytes: int) -> None:
        self.page = page_bytes(config)
        elements = page_elements(config)
        count = max(cache_bytes // (2 * elements), -(-config.max_seq_len // self.page) + 1)
        # The system hands out memory when it is first written, so a large pool costs nothing until it is used.
        self.arrays = Pages(np.zeros((count, elements), np.uint16), np.zeros((count, self.page, 4), np.int16))
        self._free = list(range(count))[::-1]
        self._users = np.zeros(count, np.int64)
        self._by_key: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._after: dict[int, list[int]] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # full, findable and unused, the oldest first

    @property
    def available(self) -> int:
        """Pages that can be had at once."""
        return len(self._free) + len(self._idle)

    def take(self) -> int:
        """An empty page for one user. Raises AxlError when all are in use."""
        if self._free:
            page = self._free.pop()
        elif self._idle:
            page, _ = self._idle.popitem(last=False)
            self._forget(page)
        else:
            raise AxlError("the engine's cache is full; send fewer requests at once or give it more memory")
        self._users[page] = 1
        return page

    def name(self, page: int, root: object, before: int | None, ids: Sequence[int]) -> None:
        """Make a full page findable: it holds `ids`, after the page `before` or, as the first one, after `root`.

        When another page is known for the same, that one stays the one that is found. `root` must not be a number.
        """
        key: Key = (root if before is None else before, tuple(ids))
        if page in self._keys or key in self._by_key or (before is not None and before not in self._keys):
            return
        self._by_key[key], self._keys[page] = page, key
        if before is not None:
            self._after.setdefault(before, []).append(page)

    def find(self, root: object, ids: Sequence[int]) -> list[int]:
        """The longest run of full pages that hold the beginning of `ids`; each has one user more from now on."""
        found: list[int] = []
        for begin in range(0, len(ids) - self.page + 1, self.page):
            key: Key = (found[-1] if found else root, tuple(ids[begin : begin + self.page]))
            page = self._by_key.get(key)
            if page is None:
                break
            self._users[page] += 1
            self._idle.pop(page, None)
            found.append(page)
        return found

    def copy(self, page: int) -> int:
        """A page of one's own that holds the same; one user less of the old one. Raises AxlError when none is free."""
        own = self.take()
        self.arrays.keyed[own], self.arrays.tokens[own] = self.arrays.keyed[page], self.arrays.tokens[page]
        self.release(page)
        return own

    def release(self, page: int) -> None:
        """One user less; an unused page stays findable for as long as there is room."""
        self._users[page] -= 1
        if self._users[page]:
            return
        if page in self._keys:
            self._idle[page] = None
        else:
            self._free.append(page)

    def _forget(self, page: int) -> None:
        """Pages that come after a forgotten one could no longer be found, so they are forgotten with it."""
        forgotten = [page]
        while forgotten:
            page = forgotten.pop()
            key = self._keys.pop(page, None)
            if key is not None:
                del self._by_key[key]
            if page in self._idle:
                del self._idle[page]
                self._free.append(page)
            forgotten += self._after.pop(page, ())

"""Paged KV cache with prefix sharing (a prefix cache): a fixed number of bytes of RAM for the state of all sequences.

A page that is full never changes, so every sequence that begins with the same ids can use it: an editor sends almost the same
file again and again. Full pages stay when their sequence ends and are found again by what they hold and what comes before it;
when room is needed the least recently used one is evicted (LRU).
"""

# Shape suffixes: P pages.

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from multiscale_transformer.engine.weights import page_bytes, page_elements
from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.network import TOKEN, Pages
from multiscale_transformer.model.config import ModelConfig

Key = tuple[object, tuple[int, ...]]  # the page before, or the root of a text; and the ids in the page


class PagedKVCache:
    """All pages of an engine. A page in use counts its users; an unused one that is full is found by its key until evicted."""

    def __init__(self, config: ModelConfig, cache_bytes: int) -> None:
        self.page = page_bytes(config)
        elements = page_elements(config)
        count = max(cache_bytes // (2 * elements), -(-config.max_seq_len // self.page) + 1)
        # The system hands out memory when it is first written, so a large cache costs nothing until it is used.
        self.pages = Pages(np.zeros((count, elements), np.uint16), np.zeros((count, self.page), TOKEN))
        self._free = list(range(count))[::-1]
        self._users = np.zeros(count, np.int64)
        self._page_of_key: dict[Key, int] = {}
        self._key_of_page: dict[int, Key] = {}
        self._children: dict[int, list[int]] = {}  # the pages that come after a page
        self._unused: OrderedDict[int, None] = OrderedDict()  # full and in the prefix cache, least recently used first

    @property
    def available(self) -> int:
        """Pages that can be had at once."""
        return len(self._free) + len(self._unused)

    def allocate(self) -> int:
        """An empty page for one user; evicts one where none is free. Raises AxlError when all are in use."""
        if self._free:
            page = self._free.pop()
        elif self._unused:
            page, _ = self._unused.popitem(last=False)
            self._evict(page)
        else:
            raise AxlError("the engine's cache is full; send fewer requests at once or give it more memory")
        self._users[page] = 1
        return page

    def insert(self, page: int, root: object, before: int | None, ids: Sequence[int]) -> None:
        """Put a full page into the prefix cache: it holds `ids`, after the page `before` or, as the first one, after `root`.

        Where another page is there for the same, that one stays the one that is found. `root` must not be a number.
        """
        key: Key = (root if before is None else before, tuple(ids))
        if page in self._key_of_page or key in self._page_of_key or (before is not None and before not in self._key_of_page):
            return
        self._page_of_key[key], self._key_of_page[page] = page, key
        if before is not None:
            self._children.setdefault(before, []).append(page)

    def lookup(self, root: object, ids: Sequence[int]) -> list[int]:
        """The longest prefix of `ids` in full pages of the prefix cache; each has one user more from now on."""
        prefix: list[int] = []
        for begin in range(0, len(ids) - self.page + 1, self.page):
            page = self._page_of_key.get((prefix[-1] if prefix else root, tuple(ids[begin : begin + self.page])))
            if page is None:
                break
            self._users[page] += 1
            self._unused.pop(page, None)
            prefix.append(page)
        return prefix

    def copy(self, page: int) -> int:
        """A page of one's own that holds the same; one user less of the old one. Raises AxlError when none is free."""
        own = self.allocate()
        for array in self.pages:
            array[own] = array[page]
        self.release(page)
        return own

    def release(self, page: int) -> None:
        """One user less; an unused page stays in the prefix cache for as long as there is room."""
        self._users[page] -= 1
        if self._users[page]:
            return
        if page in self._key_of_page:
            self._unused[page] = None
        else:
            self._free.append(page)

    def _evict(self, page: int) -> None:
        """Take a page out of the prefix cache, and those that come after it, which could no longer be found."""
        evicted = [page]
        while evicted:
            page = evicted.pop()
            key = self._key_of_page.pop(page, None)
            if key is not None:
                del self._page_of_key[key]
            if page in self._unused:
                del self._unused[page]
                self._free.append(page)
            evicted += self._children.pop(page, ())

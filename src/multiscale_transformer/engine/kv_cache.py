"""Paged KV cache with prefix sharing (a prefix cache): a fixed number of bytes of RAM for the state of all sequences.

A page that is full never changes, so every sequence that begins with the same ids can use it: an editor sends almost the same
file again and again. Full pages stay when their sequence ends; when room is needed the least recently used one is evicted.

A page is found in two ways. By its ids, under a root that stands for the memory: nothing has to be looked up for that. And by
the tokens that it holds, which are the ids with what the memory said to the net: so a page outlives a memory that has changed
elsewhere, as that of a project does with every save.
"""

# Shape suffixes: P pages.

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from multiscale_transformer.engine.weights import page_bytes, page_elements
from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.network import TOKEN, Pages
from multiscale_transformer.kernels.records import Records
from multiscale_transformer.model.config import ModelConfig

Key = tuple[object, int | None, tuple[int, ...]]  # the root of a text, the page before, and the ids in the page
Content = tuple[int | None, bytes]  # the page before, and the tokens in the page
READ = ("id", "symbol", "corpus_length", "context_length")  # of TOKEN: what the state of a page depends on


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
        self._key_of_page: dict[int, Key] = {}  # the newest one, so that no memory of long ago is held on to
        self._page_of_content: dict[Content, int] = {}
        self._content_of_page: dict[int, Content] = {}
        self._children: dict[int, set[int]] = {}  # the pages that come after a page
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

    def insert(self, page: int, root: object, before: int | None, ids: Sequence[int]) -> int:
        """Put a full page into the prefix cache: it holds `ids`, after the page `before` or, as the first one, after `root`.

        Returns the page to go on with: where another one is there for the same, its user has that one from now on. It is found
        under this root from now on, whatever it was inserted under before.
        """
        if before is not None and before not in self._content_of_page:
            return page
        content: Content = (before, _bytes(self.pages.tokens[page]))
        known = self._page_of_content.setdefault(content, page)
        if known != page:
            self._used(known)
            self.release(page)
        elif page not in self._content_of_page:
            self._content_of_page[page] = content
            if before is not None:
                self._children.setdefault(before, set()).add(page)
        key: Key = (root, before, tuple(ids))
        self._page_of_key.pop(self._key_of_page.pop(known, key), None)
        self._page_of_key[key], self._key_of_page[known] = known, key
        return known

    def lookup(self, root: object, ids: Sequence[int]) -> list[int]:
        """The longest prefix of `ids` in full pages of the prefix cache; each has one user more from now on."""
        prefix: list[int] = []
        for begin in range(0, len(ids) - self.page + 1, self.page):
            page = self._page_of_key.get((root, prefix[-1] if prefix else None, tuple(ids[begin : begin + self.page])))
            if page is None:
                break
            prefix.append(self._used(page))
        return prefix

    def find(self, before: int | None, tokens: Records) -> int | None:
        """The page that holds these tokens (page,) after the page `before`, with one user more from now on; or None."""
        page = self._page_of_content.get((before, _bytes(tokens)))
        return None if page is None else self._used(page)

    def _used(self, page: int) -> int:
        self._users[page] += 1
        self._unused.pop(page, None)
        return page

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
        if page in self._content_of_page:
            self._unused[page] = None
        else:
            self._free.append(page)

    def _evict(self, page: int) -> None:
        """Take a page out of the prefix cache, and those that come after it, which could no longer be found."""
        evicted = [page]
        while evicted:
            page = evicted.pop()
            content = self._content_of_page.pop(page, None)
            if content is not None:
                del self._page_of_content[content]
                if content[0] in self._children:
                    self._children[content[0]].discard(page)
            if page in self._key_of_page:
                del self._page_of_key[self._key_of_page.pop(page)]
            if page in self._unused:
                del self._unused[page]
                self._free.append(page)
            evicted += self._children.pop(page, ())


def _bytes(tokens: Records) -> bytes:
    """What the state of a page with these tokens depends on."""
    return np.stack([tokens[name] for name in READ]).tobytes()

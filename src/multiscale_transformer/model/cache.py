"""Decoding state as plain tensors: append, and roll back by forgetting rows.

Nothing here is recurrent, so "draft and roll back" is `truncate`, and a prefix of one request can serve another. The model
never stores a cache on itself; it gets one passed in.
"""

# Shape suffixes: B batch, H heads, N rows (of one scale), D head width, E model width, T bytes.

from __future__ import annotations

from torch import Tensor

from multiscale_transformer.model.config import ModelConfig


class Rows:
    """A tensor that grows along one dimension, in a buffer that doubles, so that appending one row is cheap."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.length = 0
        self._buffer: Tensor | None = None

    def append(self, new: Tensor) -> Tensor:
        """Add rows and return a view of all of them."""
        added = new.shape[self.dim]
        needed = self.length + added
        if self._buffer is None or self._buffer.shape[self.dim] < needed:
            shape = list(new.shape)
            shape[self.dim] = max(64, needed * 2 if self.length else needed)
            grown = new.new_empty(shape)
            if self._buffer is not None:
                grown.narrow(self.dim, 0, self.length).copy_(self.view())
            self._buffer = grown
        self._buffer.narrow(self.dim, self.length, added).copy_(new)
        self.length = needed
        return self.view()

    def view(self) -> Tensor:
        """All rows so far. Raises RuntimeError when nothing was ever appended."""
        if self._buffer is None:
            raise RuntimeError("the cache is empty")
        return self._buffer.narrow(self.dim, 0, self.length)

    def truncate(self, length: int) -> None:
        """Forget the rows after the first `length`."""
        self.length = min(self.length, length)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows in use."""
        return 0 if self._buffer is None else self.view().numel() * self._buffer.element_size()


class KeyValues:
    """Keys and values, each (B, H, N, D), of one attention layer."""

    def __init__(self) -> None:
        self.keys, self.values = Rows(2), Rows(2)

    def append(self, k_BHND: Tensor, v_BHND: Tensor) -> tuple[Tensor, Tensor]:
        """Add rows and return all keys and values."""
        return self.keys.append(k_BHND), self.values.append(v_BHND)

    def truncate(self, length: int) -> None:
        """Forget the rows after the first `length`."""
        self.keys.truncate(length)
        self.values.truncate(length)


class WordRows:
    """The word stack of one sequence: keys and values of its layers, what its rows give to the bytes, and their stamps."""

    def __init__(self, layers: int) -> None:
        self.layers = [KeyValues() for _ in range(layers)]
        self._up_BNE, self._stamps_N = Rows(1), Rows(0)

    def __len__(self) -> int:
        return self._stamps_N.length

    def append(self, up_BNE: Tensor, stamps_N: Tensor) -> None:
        """Add rows whose keys and values the layers have."""
        self._up_BNE.append(up_BNE)
        self._stamps_N.append(stamps_N)

    def newest(self) -> Tensor:
        """What the last row gives, (1, 1, E). Raises RuntimeError when there was never one."""
        return self._up_BNE.view()[:, -1:]

    @property
    def last_stamp(self) -> int:
        """The byte that ended the last word. Raises RuntimeError when there was never one."""
        return int(self._stamps_N.view()[-1])

    def truncate(self, length: int) -> None:
        """Forget the rows that are stamped later than the first `length` bytes."""
        if len(self):
            kept = int((self._stamps_N.view() < length).sum())
            for rows in self.rows():
                rows.truncate(kept)

    def rows(self) -> list[Rows]:
        """All that is kept."""
        return [self._up_BNE, self._stamps_N, *(part for layer in self.layers for part in (layer.keys, layer.values))]


class Cache:
    """All decoding state of a batch of sequences of equal length under one model.

    `length` is the number of bytes (ids, BOS included) read so far. `truncate(n)` is the exact state after n of them. Only
    `stacks` count in a model of one scale; coarser scales also need the bytes of unfinished rows and the last finished ones.
    A word stack has rows of its own for each sequence (`words`), since their words end at different bytes.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.length = 0
        self.ids_BT, self.inputs_BT3 = Rows(1), Rows(1)
        self.stacks = [[KeyValues() for _ in range(count)] for count in config.layers]
        self.pairs = [[KeyValues() for _ in config.pairs] for _ in range(config.n_cross_attn_layers)]
        self.finals_BNE = [Rows(1) for _ in config.downsample_factors[1:]]
        self.words: list[WordRows] = []

    def word_rows(self, batch: int) -> list[WordRows]:
        """The rows of the word stack, of each of `batch` sequences."""
        self.words = self.words or [WordRows(self.config.word_layers) for _ in range(batch)]
        return self.words

    def truncate(self, length: int) -> None:
        """Roll back to the first `length` bytes. Raises ValueError when that many were never read."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot roll back to {length}: the cache holds {self.length} bytes")
        scales = self.config.downsample_factors
        self.length = length
        self.ids_BT.truncate(length)
        self.inputs_BT3.truncate(length)
        for scale, layers in zip(scales, self.stacks, strict=True):
            for layer in layers:
                layer.truncate(length // scale)
        for cross in self.pairs:
            for (_, read), pair in zip(self.config.pairs, cross, strict=True):
                pair.truncate(length // read)
        for scale, final in zip(scales[1:], self.finals_BNE, strict=True):
            final.truncate(length // scale)
        for words in self.words:
            words.truncate(length)

    @property
    def nbytes(self) -> int:
        """Bytes in use, comparable with `ModelConfig.cache_bytes`."""
        layers = [layer for layers in (*self.stacks, *self.pairs) for layer in layers]
        keys_and_values = [rows for layer in layers for rows in (layer.keys, layer.values)]
        words = [rows for sequence in self.words for rows in sequence.rows()]
        return sum(rows.nbytes for rows in (*keys_and_values, *self.finals_BNE, *words, self.ids_BT, self.inputs_BT3))

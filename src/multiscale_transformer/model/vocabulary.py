"""The alphabet: 256 bytes, BOS and EOS, and three control bytes that mark fill-in-the-middle.

Everything AXL reads is bytes, so there is no tokenizer to train, ship or mismatch. The marks are ASCII device-control
bytes, which do not stand in source text (the data filters drop files that hold them), so the vocabulary stays at the
published 258.
"""

from __future__ import annotations

from collections.abc import Iterable

BOS = 256
EOS = 257
VOCAB_SIZE = 258

FIM_PREFIX = 0x11
FIM_SUFFIX = 0x12
FIM_MIDDLE = 0x13


class ByteTokenizer:
    """Text to byte ids and back; the published class of the same name.

    `decode(encode(text)) == text` for every string. BOS and EOS have no text and are skipped by `decode`.
    """

    vocab_size = VOCAB_SIZE
    bos_token_id = BOS
    eos_token_id = EOS

    def encode(self, text: str | bytes, *, add_bos: bool = False, add_eos: bool = False) -> list[int]:
        """UTF-8 bytes of `text` as ids 0-255, with BOS before and EOS after when asked for."""
        raw = text.encode("utf-8") if isinstance(text, str) else text
        return [BOS] * add_bos + list(raw) + [EOS] * add_eos

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes behind `ids`; BOS and EOS vanish. Raises ValueError for an id outside the vocabulary."""
        ids = [int(i) for i in ids]
        if any(i < 0 or i >= VOCAB_SIZE for i in ids):
            raise ValueError(f"ids must be in 0..{VOCAB_SIZE - 1}")
        return bytes(i for i in ids if i < BOS)

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """The text behind `ids`; bytes that are not UTF-8 become U+FFFD unless `errors` says otherwise."""
        return self.decode_bytes(ids).decode("utf-8", errors=errors)

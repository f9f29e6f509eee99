"""The published tokenizer: text to bytes and back."""

from multiscale_transformer.model.vocabulary import ByteTokenizer

__all__ = ["ByteTokenizer"]

"""GGUF export, under the published name of that part; the names in it are not known."""

from multiscale_transformer.export.gguf import export_gguf

__all__ = ["export_gguf"]

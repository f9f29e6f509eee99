"""Export for Hugging Face's transformers, under the published name of that part; the names in it are not known."""

from multiscale_transformer.export.hf import export_hf

__all__ = ["export_hf"]

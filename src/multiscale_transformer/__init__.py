"""AXL: a lab for byte-level, multi-scale code models on ordinary CPUs."""

__version__ = "0.1.0"

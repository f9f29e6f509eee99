"""Weights in 8 and 4 bits: packing them, and choosing the bits of each linear map."""

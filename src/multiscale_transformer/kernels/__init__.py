"""Compiled loops over NumPy arrays: products, attention, memory search, and how they are compiled and kept."""

"""Corpus and context memory: what the net can look up instead of having to know it."""

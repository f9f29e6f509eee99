"""Honest measurement: bits per byte, lines, compression baselines, statistics."""

"""Honest measurement: bits per byte, lines, CodeBLEU, compression baselines, statistics."""

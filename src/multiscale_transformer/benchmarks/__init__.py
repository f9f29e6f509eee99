"""Honest measurement: bits per byte, peers, comparisons at equal wall-clock, reports."""

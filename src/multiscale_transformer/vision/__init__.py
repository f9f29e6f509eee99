"""Seeing: rendered pages with labels to learn from, what a screenshot consists of, and how well that was seen."""

"""From files to training windows: sources, filters, near-copies, split, streaming."""

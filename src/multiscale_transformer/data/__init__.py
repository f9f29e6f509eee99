"""From files to training windows: sources, filters, near-duplicates, split, streaming."""

"""Contests against the strongest peers: what maintainers run. Each writes `runs/*.json`; nothing here is installed."""

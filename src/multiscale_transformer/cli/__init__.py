"""The `axl` command: parse, build a config, call. No logic lives here."""

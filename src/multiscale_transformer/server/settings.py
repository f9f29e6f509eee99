"""What a server is started with. Every default and limit stands here; the flags of `axl serve` take theirs from it.

This module imports nothing of the engine, so `axl serve --help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time as Clock
from pathlib import Path

from multiscale_transformer.model.sampling import FIM_CANDIDATES

NEVER = float("inf")


@dataclass(frozen=True)
class Limits:
    """What models may take.

    `kv_cache_bytes` is for each model's KV cache, `ram_bytes` for all models and indexes together, `max_queue` the requests
    that may wait for each model, `keep_alive` the seconds that an unused model stays loaded (below 0: for ever).
    """

    threads: int = 1
    kv_cache_bytes: int = 512 << 20
    ram_bytes: int = 4 << 30
    max_queue: int = 64
    keep_alive: float = -1


@dataclass(frozen=True)
class Learning:
    """When to learn (local time), for how many minutes, and below which folder the weights are kept."""

    at: Clock
    minutes: float
    folder: Path


@dataclass(frozen=True)
class Settings:
    """A server's models by name, its indexes, who may use it, and its limits.

    `variants` is the folder of the variants that Ollama's `create` makes. `indexes` are what requests look up in; without
    them each model uses its own. `projects` are folders that are indexed and followed, by name, and learnt from as `learning`
    says. `shipped` is the model that looks up in the library's index; `seers` are models that see, by name. `fim_timeout` is
    the limit in seconds of requests that fill in the middle, which choose among `fim_candidates` unless they say otherwise,
    `max_seconds` that of every request.
    """

    models: dict[str, Path]
    variants: Path
    indexes: dict[str, Path] | None = None
    projects: dict[str, Path] = field(default_factory=dict)
    learning: Learning | None = None
    shipped: Path | None = None
    seers: dict[str, Path] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    max_body_bytes: int = 8 << 20
    fim_timeout: float | None = None
    fim_candidates: int = FIM_CANDIDATES
    max_seconds: float | None = None
    limits: Limits = field(default_factory=Limits)

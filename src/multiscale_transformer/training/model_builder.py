"""Models by name or by size: the published `ModelBuilder` and `suggest_models`.

`suggest_models` answers what fits into memory; `suggest.suggest_size` answers what a budget of minutes can really train.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig, load_config, load_recipe, recipe_names
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.memory_plan import activation_bytes

STATE_TENSORS = {"lion": 1, "muon": 1, "sgd": 1, "galore": 1, "adamw": 2}


class ModelBuilder:
    """Builds a model from a name, a YAML file or a `ModelConfig`."""

    def __init__(self, source: str | Path | ModelConfig) -> None:
        self.config = source if isinstance(source, ModelConfig) else load_config(source)

    def build(self) -> MultiScaleTransformer:
        """A freshly initialised model (weights follow `torch.manual_seed`)."""
        return MultiScaleTransformer(self.config)

    @property
    def parameters(self) -> int:
        """Number of parameters, without building."""
        return self.config.parameters()


def training_memory(config: ModelConfig, optimizer: str = "lion") -> float:
    """Bytes that training one row of the full context takes: fp32 weights, gradients, optimizer state, activations."""
    copies = 2 + STATE_TENSORS[optimizer]
    activations = activation_bytes(config, config.max_seq_len, 2, checkpoint=True)
    return 4 * copies * config.parameters() + 2 * config.parameters() + activations


def suggest_models(available_ram_gb: float = 16.0) -> list[dict[str, Any]]:
    """The shipped models that train within `available_ram_gb`, largest first; the published call.

    Each is a dict with `name`, `actual_params` and `estimated_ram_gb`. Raises AxlError for memory that is not positive.
    """
    if not available_ram_gb > 0:
        raise AxlError(f"memory must be positive, got {available_ram_gb} GB")
    rows = []
    for recipe in map(load_recipe, recipe_names()):
        needed = training_memory(recipe.model, recipe.training.optimizer) / 1e9
        if needed <= available_ram_gb:
            rows.append({"name": recipe.name, "actual_params": recipe.model.parameters(), "estimated_ram_gb": round(needed, 2)})
    return sorted(rows, key=lambda row: (-row["actual_params"], row["name"]))

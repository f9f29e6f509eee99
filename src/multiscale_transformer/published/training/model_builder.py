"""Models by name or by size: the published `ModelBuilder` and `suggest_models`.

`suggest_models` answers what fits into memory; `suggest.suggest_size` answers what a budget of minutes can really train.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.micro_batching import training_ram
from multiscale_transformer.zoo.recipes import load_recipe, recipe_names


class ModelBuilder:
    """Builds a model from a name, a YAML file or a `ModelConfig`."""

    def __init__(self, source: str | Path | ModelConfig) -> None:
        self.config = source if isinstance(source, ModelConfig) else load_recipe(source).model

    def build(self) -> MultiScaleTransformer:
        """A freshly initialised model (weights follow `torch.manual_seed`)."""
        return MultiScaleTransformer(self.config)

    @property
    def parameters(self) -> int:
        """Number of parameters, without building."""
        return self.config.parameters()


def suggest_models(available_ram_gb: float = 16.0) -> list[dict[str, Any]]:
    """The shipped models that train within `available_ram_gb`, largest first; the published call.

    Each is a dict with `name`, `actual_params` and `estimated_ram_gb`. Raises AxlError for memory that is not positive.
    """
    if not available_ram_gb > 0:
        raise AxlError(f"memory must be positive, got {available_ram_gb} GB")
    rows = []
    for recipe in map(load_recipe, recipe_names()):
        needed = training_ram(recipe.model, recipe.training.optimizer) / 1e9
        if needed <= available_ram_gb:
            rows.append({"name": recipe.name, "actual_params": recipe.model.parameters(), "estimated_ram_gb": round(needed, 2)})
    return sorted(rows, key=lambda row: (-row["actual_params"], row["name"]))

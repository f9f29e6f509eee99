"""The named models that see: one YAML file each in `configs/vision/`, beside those of text (`zoo.recipes`)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from multiscale_transformer.model.vision_config import VisionConfig
from multiscale_transformer.validation import read_yaml, validated
from multiscale_transformer.zoo.recipes import RecipeTraining, config_folder, folded


class PublishedVision(BaseModel):
    """What the original authors stated of a model that sees; none of it is a measurement of ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int = Field(gt=0)
    accuracy: float | None = Field(None, ge=0, le=1)
    notes: str = ""


class VisionRecipe(BaseModel):
    """One YAML file of `configs/vision/`: a model by name, its shape and its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    model: VisionConfig = Field(discriminator="kind")
    training: RecipeTraining = RecipeTraining(minutes=10.0)
    published: PublishedVision | None = None


@cache
def vision_recipes() -> tuple[VisionRecipe, ...]:
    """All of them."""
    return tuple(map(_read, sorted((config_folder() / "vision").glob("*.yaml"))))


def find_vision_recipe(name: str | Path) -> VisionRecipe | None:
    """The model that sees of this name or in this YAML file; None where it is none."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        fields = read_yaml(path)
        model = fields.get("model") if isinstance(fields, dict) else None
        return _read(path) if isinstance(model, dict) and "kind" in model else None
    wanted = folded(str(name))
    return next((one for one in vision_recipes() if wanted in map(folded, (one.name, *one.aliases))), None)


def _read(path: Path) -> VisionRecipe:
    return validated(VisionRecipe, read_yaml(path), str(path))

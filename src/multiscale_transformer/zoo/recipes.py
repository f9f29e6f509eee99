"""Named models: one YAML file each in `configs/`, with the shape, the training and what was published of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from multiscale_transformer.errors import unknown_name
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.validation import read_yaml, validated

OptimizerName = Literal["adamw", "galore", "lion", "muon", "sgd"]
FormatName = Literal[
    "code", "chat", "refactor", "comment", "document", "translate", "fix"
]  # zoo.prompt_formats says what they look like


class RecipeTraining(BaseModel):
    """How a named model is trained unless the command line says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    optimizer: OptimizerName = "muon"
    minutes: float = Field(3.0, gt=0)
    batch_bytes: int | None = Field(None, ge=16)  # of a step; None is the default of the size (training.settings.batch_for)


class Published(BaseModel):
    """What the original authors stated of a model, as they stated it: none of it is a measurement of ours.

    `parameters` may be rounded, as it was published; `extra_parameters` of them belong to agentic modules that the text model
    does not have. `perplexity` is the README's, of a design that as documented sees the bytes it predicts: it is no target.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int = Field(gt=0)
    extra_parameters: int = Field(0, ge=0)
    optimizer: OptimizerName
    minutes: float | None = Field(None, gt=0)
    perplexity: float = Field(ge=1.0)
    notes: str = ""

    @property
    def text_parameters(self) -> int:
        """Parameters of the text model alone."""
        return self.parameters - self.extra_parameters


class Recipe(BaseModel):
    """One YAML file of `configs/`: a model by name, its shape and its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    format: FormatName = "code"
    skill: str = ""  # of `tasks.skill`: whose examples it learns where no other data is named; none for plain code
    model: ModelConfig
    training: RecipeTraining = RecipeTraining()
    published: Published | None = None


def config_folder() -> Path:
    """Where the YAML files are: package data; `configs/` at the root of a checkout is a link to it."""
    return Path(__file__).resolve().parent.parent / "configs"


@cache
def _recipes() -> dict[str, Recipe]:
    return {recipe.name: recipe for recipe in map(_read_recipe, sorted(config_folder().glob("*.yaml")))}


def recipe_names() -> list[str]:
    """Names of all shipped models."""
    return list(_recipes())


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A shipped model by name or alias (case and -/_ do not matter), or any YAML file.

    Raises AxlError for an unknown name (with the near ones), an unreadable file or an invalid config.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return _read_recipe(path)
    wanted = folded(str(name_or_path))
    for recipe in _recipes().values():
        if wanted in {folded(known) for known in (recipe.name, *recipe.aliases)}:
            return recipe
    raise unknown_name("model", str(name_or_path), recipe_names())


def folded(name: str) -> str:
    """A name of a model as names are compared: case and -/_ do not matter, nor does the family's."""
    return name.lower().replace("-", "_").removeprefix("axl_")


def _read_recipe(path: Path) -> Recipe:
    fields = read_yaml(path)
    if isinstance(fields, dict) and "model" not in fields:  # a bare ModelConfig, as published
        fields = {"name": path.stem, "model": fields}
    return validated(Recipe, fields, str(path))

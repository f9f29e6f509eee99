"""Where the weights of a run begin: at random, or as those of a model that knows the language already.

A model begins as another one where growth preserves the function (`training.widen`): its first loss is that of the base. What
such a run does differently is its fine-tuning recipe (`training.settings.FINE_TUNING`, measured in docs/log.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import WEIGHTS_FILE, read_config
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.grow import depth_at, with_depth
from multiscale_transformer.training.widen import expand, why_not
from multiscale_transformer.zoo.recipes import Recipe, RecipeTraining
from multiscale_transformer.zoo.shipped import shipped_model
from multiscale_transformer.zoo.training_record import InitRecord, known_training


def initial_model(config: ModelConfig, init: Path | None, *, seed: int, grow: bool = False) -> MultiScaleTransformer:
    """A model of the shape `config`: of random weights by `seed`, or saying what the checkpoint in `init` says.

    With `grow` it has the depth that a growing run begins with. Raises AxlError where `init` is no checkpoint or its function
    cannot be preserved in this shape.
    """
    torch.manual_seed(seed)
    if init is not None:
        check_init(config, init)
        return expand(load_model(init), config).train()
    return MultiScaleTransformer(with_depth(config, depth_at(0.0, config)) if grow else config)


def check_init(config: ModelConfig, init: Path) -> None:
    """Raises AxlError where a model of the shape `config` cannot begin as the checkpoint in `init`."""
    reason = why_not(read_config(init), config)
    if reason is not None:
        raise AxlError(f"this shape cannot begin as {init.name}: {reason}; leave out --init, or the model's name for its shape")


def init_record(init: Path) -> InitRecord:
    """What `training.json` says of the base: which weights they were, and what those were trained on."""
    known = known_training(init)
    digest = hashlib.sha256((init / WEIGHTS_FILE).read_bytes()).hexdigest()
    if known is None:
        return InitRecord(name=init.name, sha256=digest)
    return InitRecord(name=known.name or init.name, sha256=digest, parameters=known.parameters, data=known.data)


def interpolate(model: MultiScaleTransformer, first: Mapping[str, Tensor], share: float) -> None:
    """Go back to `share` of the way from the weights `first` to those that `model` has now.

    Between the weights of a model and those after fine-tuning lie ones that are better on the new data than either, and that
    forget less of the old (Wortsman et al. 2022, arXiv 2109.01903).
    """
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            weight.lerp_(first[name].to(weight.device), 1.0 - share)


def tuned(init: Path, minutes: float) -> Recipe:
    """The checkpoint in `init` as a recipe, to be trained on for `minutes`."""
    known = known_training(init)
    name = f"{(known.name if known else '') or init.name}-tuned"
    return Recipe(name=name, model=read_config(init), training=RecipeTraining(optimizer="muon", minutes=minutes))


def sized(recipe: Recipe) -> Recipe:
    """A named model in the shape of the one in the package, which it can begin as, with the optimizer that suits it."""
    training = RecipeTraining(optimizer="muon", minutes=recipe.training.minutes)
    shape = read_config(shipped_model())
    return recipe.model_copy(update={"name": f"{recipe.name}-auto", "model": shape, "training": training})

"""What the published scripts share: their arguments, and `axl` behind them.

The scripts keep the command lines that were published; what they do is what `axl` does. A model's folder is called as published
(`checkpoints/axl_micro_lion`) and holds, beside the checkpoint, the same weights as `axl_micro_lion.pt`, which the published
snippets load.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from multiscale_transformer.cli.main import main as axl
from multiscale_transformer.model.folder import TRAINING_FILE
from multiscale_transformer.zoo.recipes import load_recipe, recipe_names

CHECKPOINTS = Path("checkpoints")


def folder_name(name: str) -> str:
    """`AXL-Micro-Lion` as a folder: `axl_micro_lion`."""
    return name.lower().replace("-", "_")


def recipe_called(short: str, ending: str = "") -> str:
    """The model behind a published short name: `micro` with the ending `-lion` is AXL-Micro-Lion, where there is one."""
    names = recipe_names()
    wanted = f"{short}{ending}".replace("_", "-").lower().removeprefix("axl-")
    exact = [name for name in names if name.lower().removeprefix("axl-") == wanted]
    return exact[0] if exact else load_recipe(short).name


def train(name: str, data: str | None = None, seconds: float | None = None) -> int:
    """Train a model by name, or go on with it, and write its .pt; an exit status."""
    from multiscale_transformer.training.resume import has_resume

    recipe = load_recipe(name)
    place = CHECKPOINTS / folder_name(recipe.name)
    words = ["train", recipe.name, "--out", str(place)]
    words += ["--data", data] if data else []
    words += ["--minutes", str(seconds / 60)] if seconds else []
    if (place / TRAINING_FILE).exists():
        print(f"{place} is trained already; delete it to train it anew", file=sys.stderr)
    elif status := axl(["train", "--resume", "--out", str(place)] if has_resume(place) else words):
        return status
    weights = place / f"{place.name}.pt"
    return 0 if weights.exists() else axl(["export", "pt", "--model", str(place), "--out", str(weights)])


def train_script(name: str, arguments: Sequence[str] | None = None) -> int:
    """A published script that trains one model: `--data_path FILE --max_time SECONDS`."""
    parser = argparse.ArgumentParser(description=f"Train {name}, as axl train {name} does.")
    parser.add_argument("--data_path", help="text, JSON lines or a folder to train on (default: the data of the model)")
    parser.add_argument("--max_time", type=float, help="seconds to train for (default: the model's own time)")
    given = parser.parse_args(arguments)
    return train(name, given.data_path, given.max_time)

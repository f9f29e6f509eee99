"""Train the Lion models: `python scripts/retrain_all_lion.py --models micro code_1b`, or all of them, one after the other.

What is finished is left alone, and what was interrupted goes on.
"""

import argparse

from multiscale_transformer.zoo.recipes import load_recipe, recipe_names
from published import recipe_called, train


def main() -> int:
    """The first exit status that is not 0, or 0."""
    parser = argparse.ArgumentParser(description="Train the published Lion models.")
    parser.add_argument("--models", nargs="+", help="short names, such as micro or code_1b (default: all Lion models)")
    parser.add_argument("--max_time", type=float, help="seconds for each (default: each model's own time)")
    given = parser.parse_args()
    lions = [name for name in recipe_names() if load_recipe(name).training.optimizer == "lion"]
    names = [recipe_called(short, "-lion") for short in given.models] if given.models else lions
    return next((status for name in names if (status := train(name, seconds=given.max_time))), 0)


if __name__ == "__main__":
    raise SystemExit(main())

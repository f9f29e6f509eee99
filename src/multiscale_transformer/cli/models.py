"""`axl models`: the shipped models by name."""

from __future__ import annotations

from multiscale_transformer.cli import ui


def models() -> None:
    """List the shipped models."""
    from multiscale_transformer.zoo.recipes import Recipe, load_recipe, recipe_names
    from multiscale_transformer.zoo.vision_recipes import VisionRecipe, vision_recipes

    table = ui.new_table("Shipped models: axl train NAME", ("name", "parameters >", "optimizer", "minutes >"))
    table.expand = ui.out.is_terminal
    table.add_column("for", no_wrap=True, ratio=1)
    recipes: list[Recipe | VisionRecipe] = [*map(load_recipe, recipe_names()), *vision_recipes()]
    for recipe in sorted(recipes, key=lambda recipe: recipe.model.parameters()):
        size, training = ui.millions(recipe.model.parameters()), recipe.training
        table.add_row(recipe.name, size, training.optimizer, f"{training.minutes:g}", recipe.description)
    ui.show_table(table)

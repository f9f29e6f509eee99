"""The shipped YAML files, finding them by name, and what a wrong config says."""

import re

import pytest
import torch

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig, load_config, parse_config
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.zoo.recipes import Recipe, config_folder, load_recipe, recipe_names

FILES = sorted(config_folder().glob("*.yaml"))
RECIPES = [load_recipe(path) for path in FILES]
PUBLISHED = [recipe for recipe in RECIPES if recipe.published]
SHAPES = {recipe.model: recipe for recipe in RECIPES}
# fmt: off
PUBLISHED_TEXT_MODELS = [
    "AXL-Code-1B-Lion", "AXL-Reasoning-Lion", "AXL-Refactor-Lion", "AXL-TestGen-Lion", "AXL-Chat-Lion",
    "AXL-Micro-Lion", "AXL-Secure-Lion", "AXL-Docs-Lion", "AXL-Comment-Lion", "AXL-Micro-600K",
    "AXL-Micro-8M", "AXL-Coder-15M", "AXL-Debugger-8M", "AXL-Fixer-12M", "AXL-Reasoning-70M",
    "AXL-300M", "AXL-Chat-10M", "AXL-TestGen-15M", "AXL-Refactor-20M", "AXL-Docs-8M",
    "AXL-Comment-5M", "AXL-Secure-10M", "AXL-Code-1B", "AXL-Chat-Pro", "AXL-Translate",
]
# fmt: on


def each(recipes):
    return pytest.mark.parametrize("recipe", recipes, ids=lambda recipe: recipe.name)


def test_there_is_one_file_for_each_published_text_model():
    assert (
        sorted(recipe_names()) == sorted(recipe.name for recipe in RECIPES) == sorted([*PUBLISHED_TEXT_MODELS, "AXL-Shipped"])
    )


def test_the_published_file_names_exist():
    assert load_config(config_folder() / "axl_micro.yaml").parameters() == pytest.approx(12.8e6, rel=0.03)
    assert load_config(config_folder() / "axl_code_1b.yaml").parameters() == pytest.approx(317_590_528, rel=0.03)


@each(PUBLISHED)
def test_parameters_are_within_three_percent_of_the_published_count(recipe):
    assert recipe.model.parameters() == pytest.approx(recipe.published.text_parameters, rel=0.03)


@each(SHAPES.values())
def test_parameters_are_those_of_a_built_model(recipe):
    with torch.device("meta"):  # shapes without memory, so that even the 318 M model costs nothing
        model = MultiScaleTransformer(recipe.model)
    assert recipe.model.parameters() == sum(weight.numel() for weight in model.parameters())


@each(PUBLISHED)
def test_training_follows_what_was_published(recipe):
    published = recipe.published
    assert recipe.training.optimizer == published.optimizer
    assert recipe.training.minutes == (published.minutes or recipe.training.minutes)
    assert recipe.training.optimizer == "lion" or not recipe.name.endswith("-Lion")
    assert recipe.model.max_seq_len == 2048


def test_only_agentic_models_have_parameters_that_are_not_built():
    extra = {recipe.name for recipe in PUBLISHED if recipe.published.extra_parameters}
    assert extra == {"AXL-Coder-15M", "AXL-Debugger-8M", "AXL-Fixer-12M"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_name_alias_and_file_name_finds_its_recipe_however_it_is_written(path):
    recipe = load_recipe(path)
    for name in (recipe.name, *recipe.aliases, path.stem):
        for written in (name, name.lower(), name.upper(), name.replace("-", "_"), re.sub("^axl[-_]", "", name.lower())):
            assert load_recipe(written) == recipe


def test_names_and_aliases_are_unique():
    names = [name.lower() for recipe in RECIPES for name in (recipe.name, *recipe.aliases)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("wrong", "near"), [("axl-micro-lyon", "AXL-Micro-Lion"), ("Refacter", "AXL-Refactor-Lion")])
def test_an_unknown_name_lists_the_near_ones(wrong, near):
    with pytest.raises(AxlError, match=near) as error:
        load_recipe(wrong)
    assert len(str(error.value)) < 150


def test_a_bare_model_config_is_a_recipe_named_after_its_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("d_model: 64\nn_heads: 2\nrope_theta: 1e5\n", encoding="utf-8")
    assert load_recipe(path) == Recipe(name="mine", model=ModelConfig(d_model=64, n_heads=2, rope_theta=1e5))


WRONG_FIELDS = [
    ({"d_model": 250, "n_heads": 4}, "d_model 250 is not divisible by n_heads 4.*choose n_heads from 1, 5, 25$"),
    ({"d_model": 9, "n_heads": 4}, "choose an even d_model$"),
    ({"d_model": 12, "n_heads": 4}, "heads of an even width; choose n_heads from 1, 2, 3, 6$"),
    ({"d_modle": 256}, "unknown field 'd_modle'.*d_model"),
    ({"d_model": "wide"}, "d_model: .*valid integer"),
    ({"d_ff": 0}, "d_ff: .*greater than or equal to 8"),
    ({"cross_d_ff": -1}, "cross_d_ff: .*greater than or equal to 0"),
    ({"downsample_factors": [1, 2, 3]}, "each downsample factor must be a multiple of the one before"),
    ({"downsample_factors": [1, 2, 2]}, "each downsample factor must be a multiple of the one before"),
    ({"downsample_factors": [2, 4]}, "must begin with 1"),
    ({"downsample_factors": []}, "must begin with 1"),
    ({"n_layers_per_scale": 0}, "one positive number, or one for each"),
    ({"n_layers_per_scale": [3, 3]}, "one positive number, or one for each"),
    ({"n_layers_per_scale": [3, 0, 3]}, "one positive number, or one for each"),
    ({"n_cross_attn_layers": -1}, "n_cross_attn_layers: .*greater than or equal to 0"),
    ({"max_seq_len": 8}, "max_seq_len: .*greater than or equal to 16"),
    ({"dropout": 1.0}, "dropout: .*less than 1"),
    ({"vocab_size": 50_257}, "vocab_size: .*258"),
    ({"rope_theta": float("inf")}, "rope_theta: .*finite"),
    ([256, 4], "must hold named fields"),
    (None, "must hold named fields"),
]


@pytest.mark.parametrize(("fields", "line"), WRONG_FIELDS, ids=str)
def test_a_wrong_config_is_one_clear_line_that_names_its_source(fields, line):
    with pytest.raises(AxlError, match=line) as error:
        parse_config(fields, "some.yaml")
    assert str(error.value).startswith("some.yaml is not a valid config: ")
    assert "\n" not in str(error.value)


WRONG_FILES = [
    ("", "must hold named fields"),
    ("- 1\n- 2\n", "must hold named fields"),
    ("d_model: [1", "must be a YAML file"),
    ("name: x\nmodel: {d_modl: 64}", "unknown field 'd_modl'.*d_model"),
    ("name: x\nmodel: {}\ntraning: {}", "unknown field 'traning'.*training"),
    ("name: x\nmodel: {}\ntraining: {optimiser: lion}", "unknown field 'optimiser'.*optimizer"),
    ("name: x\nmodel: {}\ntraining: {optimizer: adam}", "training.optimizer: .*'lion'"),
    ("name: x\nmodel: {}\ntraining: {minutes: 0}", "training.minutes: .*greater than 0"),
    ("model: {}", "name: .*required"),
    ("name: 2024-13-45\nmodel: {}", "must be a YAML file"),
]


@pytest.mark.parametrize(("text", "line"), WRONG_FILES, ids=[repr(text) for text, _ in WRONG_FILES])
def test_a_wrong_file_is_one_clear_line_that_names_it(tmp_path, text, line):
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AxlError, match=line) as error:
        load_recipe(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there_or_not_text_are_one_clear_line(tmp_path):
    with pytest.raises(AxlError, match="there is no config file"):
        load_recipe(tmp_path / "absent.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(AxlError, match="must be a YAML file"):
        load_recipe(binary)

"""What fits into this machine, and what a budget of minutes can really train on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from multiscale_transformer.errors import AxlError
from multiscale_transformer.machine import available_cores, available_ram, installed_ram
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.published.training.model_builder import ModelBuilder, suggest_models
from multiscale_transformer.training import machine, suggest
from multiscale_transformer.training.machine import compute_dtype, describe_machine, matmul_rate
from multiscale_transformer.training.micro_batching import (
    FASTEST_BYTES,
    STATE_TENSORS,
    MicroBatchPlan,
    activation_bytes,
    plan_micro_batches,
    training_ram,
)
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.zoo.recipes import load_recipe, recipe_names
from tiny import TINY, Clock, model_of

GIB = 1 << 30


def one_line(act: Callable[[], object]) -> str:
    with pytest.raises(AxlError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The machine


@pytest.fixture
def fresh_rates() -> None:
    matmul_rate.cache_clear()


@pytest.mark.usefixtures("fresh_rates")
def test_the_rate_is_of_the_fastest_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of 1 GFLOP and a bit that takes 0.02 s twice and 0.01 s once runs at 107 GFLOP/s."""
    clock, took = Clock(), iter([0.02, 0.01] + [0.02] * 99)
    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(torch, "mm", lambda a, b: setattr(clock, "now", clock.now + next(took)))
    assert matmul_rate(torch.float32, 1) == pytest.approx(2 * 4 * 512**3 / 0.01)
    assert matmul_rate(torch.float32, 1) == pytest.approx(2 * 4 * 512**3 / 0.01), "once per process"
    assert clock.now == pytest.approx(0.02 * 11 + 0.01)
    matmul_rate.cache_clear()


@pytest.mark.usefixtures("fresh_rates")
def test_an_emulated_dtype_is_not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(torch, "mm", lambda a, b: setattr(clock, "now", clock.now + 5.0))
    matmul_rate(torch.bfloat16, 1)
    assert clock.now == 5.0
    matmul_rate.cache_clear()


@pytest.mark.usefixtures("fresh_rates")
def test_measuring_leaves_the_threads_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    told, before = [], torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    assert matmul_rate(torch.float32, before + 6) > 1e8
    assert told == [before + 6, before]
    matmul_rate.cache_clear()


@pytest.mark.parametrize(("gain", "chosen"), [(0.1, "float32"), (1.29, "float32"), (1.3, "bfloat16"), (9.0, "bfloat16")])
def test_bf16_is_used_where_it_pays(gain: float, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "matmul_rate", lambda dtype, threads: 1e9 * (gain if dtype == torch.bfloat16 else 1.0))
    assert compute_dtype(1) is getattr(torch, chosen)
    facts = describe_machine(3).model_dump()
    assert (facts["threads"], facts["compute_dtype"]) == (3, chosen)
    assert facts["matmul_gflops"] == pytest.approx(gain if chosen == "bfloat16" else 1.0)
    assert facts["processor"]
    places = {"device", "accelerator", "processor", "system"}
    assert facts.keys() == places | {"threads", "ram_gb", "compute_dtype", "matmul_gflops"}
    assert (facts["device"], facts["accelerator"]) == ("cpu", "")


def test_memory_and_threads_are_those_of_this_machine() -> None:
    assert 0 < available_ram() <= installed_ram()
    assert available_cores() >= 1


@pytest.mark.parametrize("content", [None, "", "MemTotal: 100 kB\n", "MemAvailable: many kB\n", "\n\n"])
def test_where_the_system_does_not_say_half_of_the_memory_is_assumed(
    content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_text(path: Path, **_: object) -> str:
        if content is None:
            raise FileNotFoundError(path)
        return content

    monkeypatch.setattr(Path, "read_text", read_text)
    assert available_ram() == installed_ram() // 2


def test_what_the_system_says_is_available_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path, **_: "MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n")
    assert available_ram() == 2048 * 1024


# The memory plan


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    heads, width = draw(st.integers(1, 8)), draw(st.sampled_from([8, 16, 64]))
    factors = draw(st.sampled_from([(1,), (1, 2, 4), (1, 3, 12)]))
    return ModelConfig(
        d_model=heads * width,
        n_heads=heads,
        d_ff=draw(st.integers(8, 2048)),
        n_layers_per_scale=draw(st.integers(1, 12)),
        n_cross_attn_layers=draw(st.integers(0, 2)),
        downsample_factors=factors,
    )


def needed(config: ModelConfig, window: int, dtype_bytes: int, optimizer: str, plan: MicroBatchPlan) -> float:
    """Weights, gradients, two states, in fp32, and a copy of the weights to compute with unless that is fp32 too; no gradients
    and only the states that there are where weights are updated in the backward pass; no copies where blocks recompute."""
    of_each = 4 + 4 * {"adamw": 2}.get(optimizer, 1) if plan.in_backward else 16
    if not plan.checkpoint:
        of_each += {4: 0, 2: 2}[dtype_bytes]
    return of_each * config.parameters() + plan.rows * activation_bytes(config, window, dtype_bytes, checkpoint=plan.checkpoint)


@given(
    config=configs(),
    window=st.integers(1, 8192),
    rows=st.integers(1, 64),
    dtype_bytes=st.sampled_from([2, 4]),
    available=st.floats(5, 11).map(lambda exponent: int(10**exponent)),
    optimizer=st.sampled_from(sorted(STATE_TENSORS)),
)
@settings(max_examples=300)
def test_a_plan_fits_and_is_the_fastest_that_does(
    config: ModelConfig, window: int, rows: int, dtype_bytes: int, available: int, optimizer: str
) -> None:
    need = partial(needed, config, window, dtype_bytes, optimizer)
    kept, recomputed = MicroBatchPlan(1, False), MicroBatchPlan(1, True)
    updated_kept, updated = (MicroBatchPlan(rows, again, in_backward=True) for again in (False, True))
    fits = {plan: need(plan) <= available for plan in (kept, recomputed)}
    fits |= {plan: optimizer != "muon" and need(plan) <= available for plan in (updated_kept, updated)}
    act = partial(plan_micro_batches, config, window, rows, dtype_bytes, available, optimizer=optimizer)
    if not any(fits.values()):
        least = min(need(recomputed), need(updated) if optimizer != "muon" else math.inf)
        assert f"{least / 1e9:.1f} GB of RAM but {available / 1e9:.1f} GB are free" in one_line(act)
        return
    plan = act()
    assert need(plan) <= available
    assert plan.checkpoint == (not fits[kept] and not fits[updated_kept]), "it costs a third: only where it must be"
    if plan.in_backward:
        assert plan.rows == rows
        assert need(kept) > available / 2, "with plenty of RAM all weights are updated at once"
    else:
        most = max(1, min(rows, FASTEST_BYTES // window))
        assert 1 <= plan.rows <= most
        assert plan.rows == most or need(replace(plan, rows=plan.rows + 1)) > available
        assert need(kept) <= available / 2 or not fits[updated if plan.checkpoint else updated_kept]


def test_the_example_of_words_is_the_shape_that_is_suggested_for_them() -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "examples" / "words.yaml")
    assert recipe.model.depths == (2, 4)
    assert recipe.model.parameters() == suggest.shape_with_words(128, 4).parameters()
    assert recipe.model.cache_bytes() == suggest.shape_with_words(128, 4).cache_bytes()


def test_a_model_of_a_billion_parameters_trains_in_fourteen_gigabytes() -> None:
    """The shape of examples/axl_1b.yaml, on the machine that its figures are from: 21 GB free, two threads, bf16."""
    recipe = load_recipe(Path(__file__).parents[2] / "examples" / "axl_1b.yaml")
    assert recipe.model.parameters() >= 10**9
    batch = recipe.training.batch_bytes
    assert batch is not None
    for available in (14 * 10**9, 21 * 10**9):
        for _, window in stages_for(recipe.model, 10**6):
            rows = max(1, batch // window)
            plan = plan_micro_batches(recipe.model, window, rows, 2, available, 2, recipe.training.optimizer)
            assert plan.in_backward
            assert needed(recipe.model, window, 2, recipe.training.optimizer, plan) <= 12e9


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(d_model=64, n_heads=1, d_ff=176, n_layers_per_scale=3, downsample_factors=(1,)),
        ModelConfig(d_model=64, n_heads=1, d_ff=176, n_layers_per_scale=2, downsample_factors=(1,), word_layers=6),
        ModelConfig(d_model=64, n_heads=2, d_ff=176, n_layers_per_scale=1),
        ModelConfig(d_model=64, n_heads=2, d_ff=64, n_layers_per_scale=(2, 1, 1), cross_d_ff=0),
    ],
)
@pytest.mark.parametrize("window", [128, 512])
def test_the_estimate_of_activations_is_near_what_the_backward_pass_keeps(config: ModelConfig, window: int) -> None:
    model = model_of(config).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    ids_BT = torch.randint(0, 256, (1, window + 1))

    def kept(recompute: bool) -> int:
        model.recompute = recompute
        storages = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                storages[storage.data_ptr()] = storage
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            fused_BTE, exit_BTE = model.states(ids_BT[:, :-1])
            heads = [fused_BTE] if model.gate is None else [fused_BTE, exit_BTE]
            losses = [F.cross_entropy(model.head(h_BTE)[0], ids_BT[0, 1:]) for h_BTE in heads]
        assert losses
        return sum(storage.nbytes() for storage in storages.values())

    assert kept(False) <= activation_bytes(config, window, 4) <= 2.0 * kept(False)
    assert kept(True) <= activation_bytes(config, window, 4, checkpoint=True) < activation_bytes(config, window, 4)


# Sizes for a budget


@pytest.fixture(autouse=True)
def _a_machine_of_50_gflops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggest, "training_rate", lambda threads, device: 5e10 * threads)


def suggested(minutes: float, threads: int = 1, ram_gb: float = math.inf, *, memory: bool = True) -> suggest.Suggestion:
    (best,) = (row for row in suggest.suggest(minutes, threads, ram_gb, memory=memory) if row.best)
    return best


SMALLEST_GB = max(
    training_ram(config, "muon") / 1e9
    for config in (suggest.shape(*suggest.SIZES[0]), suggest.shape(*suggest.SIZES_WITH_MEMORY[0], memory=True))
)


@given(minutes=st.floats(0.01, 1e5), threads=st.integers(1, 64), ram_gb=st.floats(SMALLEST_GB, 1e4), memory=st.booleans())
def test_suggestions_fit_and_one_is_the_best(minutes: float, threads: int, ram_gb: float, memory: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suggest, "training_rate", lambda threads, device: 5e10 * threads)
        rows = suggest.suggest(minutes, threads, ram_gb, memory=memory)
    assert all(row.config.memory == memory for row in rows)
    assert sum(row.best for row in rows) == 1
    assert all(row.ram_gb <= ram_gb for row in rows)
    for row in rows:
        assert row.megabytes == pytest.approx(row.bytes_per_second * minutes * 60 / 1e6)
        assert row.ram_gb == pytest.approx(training_ram(row.config, "muon") / 1e9)
    assert all(a.bytes_per_second > b.bytes_per_second for a, b in pairwise(rows))
    assert len({row.name for row in rows}) == len(rows)


@pytest.mark.parametrize("memory", [True, False])
def test_more_minutes_threads_or_ram_never_propose_a_smaller_model(memory: bool) -> None:
    minutes = [0.1 * 1.5**step for step in range(40)]
    for sizes in (
        [suggested(m, memory=memory).config.parameters() for m in minutes],
        [suggested(m, ram_gb=0.5, memory=memory).config.parameters() for m in minutes],
        [suggested(30.0, threads, memory=memory).config.parameters() for threads in range(1, 65)],
        [suggested(1e4, ram_gb=SMALLEST_GB * 1.3**step, memory=memory).config.parameters() for step in range(20)],
    ):
        assert sizes == sorted(sizes)
        assert len(set(sizes)) > 2


def test_sizes_ascend_in_everything() -> None:
    shapes = [suggest.shape(*size) for size in suggest.SIZES]
    beside_memory = [suggest.shape(*size, memory=True) for size in suggest.SIZES_WITH_MEMORY]
    for smaller, larger in (*pairwise(shapes), *pairwise(beside_memory)):
        assert smaller.parameters() < larger.parameters()
        assert training_ram(smaller, "muon") < training_ram(larger, "muon")
        assert smaller.flops_per_byte(512, training=True) < larger.flops_per_byte(512, training=True)


@pytest.mark.parametrize("bad", [(0.0, 1.0), (-3.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (3.0, 0.0), (3.0, math.nan)])
def test_a_budget_that_is_none_is_one_line(bad: tuple[float, float]) -> None:
    assert "must be positive" in one_line(lambda: suggest.suggest(bad[0], 1, bad[1]))


def test_where_nothing_fits_the_smallest_need_is_told() -> None:
    assert "no size trains in 0.001 GB of RAM; the smallest needs" in one_line(lambda: suggest.suggest(3.0, 1, 0.001))


def test_the_size_that_train_takes_fits_into_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggest, "free_memory", lambda device: 64 * GIB)
    assert suggest.suggest_size(1e5, 8).model == suggest.shape(*suggest.SIZES_WITH_MEMORY[-1], memory=True)
    assert suggest.suggest_size(1e5, 8, memory=False).model == suggest.shape(*suggest.SIZES[-1])
    monkeypatch.setattr(suggest, "free_memory", lambda device: GIB // 4)
    recipe = suggest.suggest_size(1e5, 8)
    assert training_ram(recipe.model, "muon") <= GIB // 4
    assert (recipe.training.optimizer, recipe.training.minutes) == ("muon", 1e5)
    assert recipe.name.startswith("AXL-")
    TrainSettings(stages=stages_for(recipe.model, 10**6), batch_bytes=batch_for(recipe.model))


@pytest.mark.parametrize(
    ("count", "said"), [(566_464, "570K"), (994_999, "990K"), (995_000, "1.0M"), (999_999, "1.0M"), (12_716_306, "12.7M")]
)
def test_size_names_are_as_people_say_them(count: int, said: str) -> None:
    assert suggest.size_name(SimpleNamespace(parameters=lambda: count)) == said  # type: ignore[arg-type]


def test_the_training_rate_is_measured_on_real_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(suggest, "compute_dtype", lambda threads, device: torch.float32)
    monkeypatch.setattr(suggest, "MEASURED_SECONDS", 0.0)
    told, before = [], torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    assert 1e8 < suggest.training_rate(before + 6) < 1e14
    assert set(told[:-1]) == {1}, "as in training: whole pieces on threads that compute alone"
    assert told[-1] == before


# The published calls


def test_suggest_models_is_the_published_call() -> None:
    rows = suggest_models(available_ram_gb=16.0)
    assert rows == suggest_models()
    assert all(row.keys() == {"name", "actual_params", "estimated_ram_gb"} for row in rows)
    assert [row["actual_params"] for row in rows] == sorted((row["actual_params"] for row in rows), reverse=True)
    for row in rows:
        assert row["actual_params"] == load_recipe(row["name"]).model.parameters()
        assert 0 < row["estimated_ram_gb"] <= 16.0


@given(st.floats(0.01, 500.0), st.floats(0.01, 500.0))
def test_more_memory_suggests_more_models(some: float, other: float) -> None:
    less, more = ({row["name"] for row in suggest_models(ram)} for ram in sorted((some, other)))
    assert less <= more <= set(recipe_names())


def test_suggest_models_of_all_memory_is_all_models_and_of_none_is_refused() -> None:
    assert {row["name"] for row in suggest_models(1e6)} == set(recipe_names())
    assert suggest_models(1e-6) == []
    for ram in (0.0, -1.0, math.nan):
        assert "memory must be positive" in one_line(lambda ram=ram: suggest_models(ram))


def test_a_model_is_built_from_a_name_a_file_or_a_config(tmp_path: Path) -> None:
    smallest = min(recipe_names(), key=lambda name: load_recipe(name).model.parameters())
    (tmp_path / "mine.yaml").write_text("d_model: 16\nn_heads: 2\nd_ff: 32\nn_layers_per_scale: 1\n")
    for source in (smallest, tmp_path / "mine.yaml", str(tmp_path / "mine.yaml"), TINY):
        builder = ModelBuilder(source)
        model = builder.build()
        assert model.config == builder.config
        assert sum(parameter.numel() for parameter in model.parameters()) == builder.parameters
    assert "unknown model 'AXL-Nicro'; did you mean" in one_line(lambda: ModelBuilder("AXL-Nicro"))
    assert "there is no config file" in one_line(lambda: ModelBuilder(tmp_path / "no.yaml"))


def test_training_memory_counts_what_each_optimizer_keeps() -> None:
    by_name = {name: training_ram(TINY, name) for name in ("adamw", "galore", "lion", "muon", "sgd")}
    assert by_name["adamw"] - by_name["lion"] == pytest.approx(4 * TINY.parameters())
    assert by_name["lion"] == by_name["sgd"]
    assert max(by_name, key=by_name.__getitem__) == "adamw"

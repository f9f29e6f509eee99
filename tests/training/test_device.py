"""Training on any device, tried without one: the choice, and the path of an accelerator forced on the CPU."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.passes import native_passes
from multiscale_transformer.training import device as device_module
from multiscale_transformer.training import gradients, resume, run
from multiscale_transformer.training.device import accelerator_name, choose_device, free_memory
from multiscale_transformer.training.gradients import GradientFunction
from multiscale_transformer.training.grow import with_depth
from multiscale_transformer.training.machine import compute_dtype
from multiscale_transformer.training.model_card import write_model_card
from multiscale_transformer.training.run import resumed_request, train_run
from multiscale_transformer.training.trainer import Trainer
from multiscale_transformer.zoo.training_record import MachineRecord, TrainingRecord
from tiny import TINY, clock_that_ticks_per_step, corpus, documents
from training.test_golden_loss import GOLDEN, MODELS, losses
from training.test_run import interrupt, request_of
from training.test_trainer import trainer_of

CUDA, MPS = torch.device("cuda"), torch.device("mps")
SAMPLE = [("a.py", b"def f(x):\n    return x\n" * 9)]
WITH_MEMORY = TINY.model_copy(update={"memory": True})


def there_are(monkeypatch: pytest.MonkeyPatch, *accelerators: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in accelerators)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in accelerators)


# The choice


@pytest.mark.parametrize(
    ("accelerators", "best"), [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("mps", "cuda"), "cuda")]
)
def test_auto_is_the_first_accelerator_that_is_there(
    accelerators: tuple[str, ...], best: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_are(monkeypatch, *accelerators)
    assert choose_device("auto").type == best
    for name in ("cpu", *accelerators):
        assert choose_device(name).type == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accelerators", "name", "takes"),
    [((), "cuda", "auto, cpu"), ((), "mps", "auto, cpu"), (("mps",), "cuda", "auto, cpu, mps")],
)
def test_a_device_that_is_not_there_is_one_line_that_says_what_is(
    accelerators: tuple[str, ...], name: Any, takes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_are(monkeypatch, *accelerators)
    with pytest.raises(AxlError) as caught:
        choose_device(name)
    assert str(caught.value) == f"no {name} device is here for this PyTorch; --device takes {takes}"


def test_memory_name_and_dtype_are_those_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "available_ram", lambda: 7_000)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5_000, 9_000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A Card")
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 6_000)
    assert [free_memory(device) for device in (torch.device("cpu"), CUDA, MPS)] == [7_000, 5_000, 6_000]
    assert [accelerator_name(device) for device in (torch.device("cpu"), CUDA, MPS)] == ["", "A Card", "Apple GPU"]
    for supported, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=supported: answer)
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor, answer=supported: answer)
        assert compute_dtype(1, CUDA) is compute_dtype(1, MPS) is dtype


# The steps of an accelerator


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_path_of_an_accelerator_learns_what_the_cpu_learns(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, changes = MODELS[name]
    with native_passes():
        found = losses(config, {**changes, "threads": threads}, monkeypatch)
    assert found == pytest.approx(GOLDEN[name], rel=0.01)


@pytest.fixture
def accelerated() -> Iterator[Trainer]:
    memory = CorpusMemory([build_shard(documents())[0]], leave_out="document")
    with native_passes():
        yield trainer_of(WITH_MEMORY, corpus_memory=memory, threads=2, batch_bytes=256)


def test_a_batch_is_one_piece_and_the_next_is_looked_up_meanwhile(
    accelerated: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    plain = accelerated._gradient_function.accumulate

    def noted(inputs: Any, share: float) -> Any:
        pieces.append(len(inputs.ids_BT))
        assert accelerated._next is not None, "the next batch is being looked up before this one is computed"
        return plain(inputs, share)

    monkeypatch.setattr(accelerated._gradient_function, "accumulate", noted)
    asked: list[int] = []
    recall = CorpusMemory.recall
    monkeypatch.setattr(CorpusMemory, "recall", lambda memory, windows: asked.append(id(memory)) or recall(memory, windows))
    with accelerated.at_work():
        accelerated.step()
        accelerated.step()
    assert pieces == [8, 8]
    assert set(asked) == {id(accelerated._memory)}, "one index for all threads"


def test_large_batches_are_not_cut_for_the_caches_of_a_cpu() -> None:
    settings = {"batch_bytes": 16_384, "stages": ((0.0, 32),)}
    assert trainer_of(**settings)._plan(TINY, trainer_of(**settings)._stream(32)).rows == 8192 // 32
    with native_passes():
        trainer = trainer_of(threads=2, **settings)
        plan = trainer._plan(TINY, trainer._stream(32))
    assert (plan.rows, plan.workers) == (16_384 // 32, 1)


def test_a_step_is_one_graph_for_torch_compile() -> None:
    """A break of the graph would leave most of the step to eager PyTorch."""
    memory = CorpusMemory([build_shard(documents())[0]], leave_out="document")
    with native_passes():
        trainer = trainer_of(with_depth(WITH_MEMORY, (1, 1, 1)), corpus_memory=memory)
        inputs = trainer._prepared(32, 0).inputs(slice(0, 4), torch.device("cpu"))
        parameters = list(trainer.model.parameters())
        plain, compiled = (
            torch.autograd.grad(loss_of(inputs)[0], parameters)
            for loss_of in (trainer._loss, torch.compile(trainer._loss, backend="aot_eager", fullgraph=True, dynamic=False))
        )
    for left, right in zip(plain, compiled, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)


def test_all_batches_of_an_accelerator_have_the_same_parts() -> None:
    """Batches without a rearranged window would be compiled anew."""
    with native_passes():
        trainer = trainer_of(fim_rate=0.0)
        targets = trainer._prepared(32, 0).targets
    assert targets.weight_BT is not None
    assert targets.weight_BT.unique().tolist() == [1.0]
    assert not targets.endless_BT.any()  # type: ignore[union-attr]
    assert trainer_of(fim_rate=0.0)._prepared(32, 0).targets.weight_BT is None


# torch.compile


def loss_of(inputs: Any) -> tuple[Tensor, Tensor]:
    loss = inputs.square().sum()
    return loss, loss.detach()


def test_where_compiling_fails_training_goes_on_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no Triton here\nand more")

    monkeypatch.setattr(gradients, "COMPILED_ON", ("cuda", "cpu"))
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: broken)
    function = GradientFunction(loss_of, torch.device("cpu"))
    weight = torch.tensor([3.0], requires_grad=True)
    with pytest.warns(UserWarning, match="torch.compile failed \\(no Triton here\\)"):
        assert function(weight, [weight], 0.5) == (4.5, (torch.tensor([3.0]),))  # type: ignore[arg-type, list-item]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert function(weight, [weight], 1.0)[0] == 9.0  # type: ignore[arg-type, list-item]


def test_a_failing_loss_is_no_failure_of_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> Any:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        GradientFunction(failing, torch.device("cpu"))(None, [], 1.0)  # type: ignore[arg-type]
    monkeypatch.setattr(gradients, "COMPILED_ON", ("cpu",))
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    compiled = GradientFunction(failing, torch.device("cpu"))
    with warnings.catch_warnings(record=True) as said, pytest.raises(torch.OutOfMemoryError):
        compiled(None, [], 1.0)  # type: ignore[arg-type]
    assert not said


# Runs


@pytest.fixture
def _steps_of_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 10.0)
    monkeypatch.setattr(run, "compute_dtype", lambda threads, device: torch.float32)


@pytest.mark.usefixtures("_steps_of_ten_seconds")
def test_a_run_says_its_device_and_refuses_one_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there_are(monkeypatch)
    with pytest.raises(AxlError, match="no cuda device"):
        train_run(replace(request_of(tmp_path / "other"), device="cuda"), corpus())
    assert not (tmp_path / "other" / "config.json").exists()
    train_run(replace(request_of(tmp_path / "run"), device="auto"), corpus())
    machine = json.loads((tmp_path / "run" / "training.json").read_text())["machine"]
    assert (machine["device"], machine["accelerator"]) == ("cpu", "")


@pytest.mark.usefixtures("_steps_of_ten_seconds")
def test_a_run_goes_on_elsewhere_in_the_dtype_of_that_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = replace(request_of(tmp_path / "run"), device="auto")
    interrupt(request, 3)
    assert resumed_request(request.out).device == "auto", "a name is kept, not what it meant"
    (path,) = (request.out / "resume").glob("*/progress.json")
    facts = json.loads(path.read_text())
    assert facts["device"] == "cpu"
    path.write_text(json.dumps({**facts, "device": "cuda", "compute_dtype": "bfloat16"}))
    monkeypatch.setattr(resume, "compute_dtype", lambda threads, device: torch.float32)
    assert resume.load_resume(request.out)[0].compute_dtype is torch.float32
    path.write_text(json.dumps({**facts, "compute_dtype": "bfloat16"}))
    assert resume.load_resume(request.out)[0].compute_dtype is torch.bfloat16
    del facts["device"], facts["request"]["device"]  # as earlier versions wrote it
    path.write_text(json.dumps(facts))
    request = replace(resumed_request(request.out), device="auto")
    train_run(request, corpus(), resume=True)
    assert load_model(request.out).config == request.config


@pytest.mark.parametrize("optimizer", ["adamw", "galore", "lion", "muon", "sgd"])
def test_optimizer_state_is_loaded_to_where_the_weights_are(optimizer: str) -> None:
    trainer = trainer_of(optimizer=optimizer)
    trainer.step()
    state = trainer.optimizer.state_tensors()
    elsewhere = trainer_of(optimizer=optimizer)
    elsewhere.model.to("meta")
    elsewhere.optimizer = elsewhere._new_optimizer()
    elsewhere.optimizer.load_state_tensors(state)
    loaded = elsewhere.optimizer.state_tensors()
    assert loaded.keys() == state.keys()
    for name, tensor in loaded.items():
        counted = name.endswith("/step") and optimizer == "galore" and tensor.device.type == "cpu"
        assert tensor.is_meta or counted, name


def test_scoring_gives_the_same_on_the_path_of_an_accelerator() -> None:
    model = trainer_of().model.eval()
    ours = score_documents(model, SAMPLE)
    with native_passes():
        native = score_documents(model, SAMPLE)
    assert native.bytes == ours.bytes
    assert native.bits == pytest.approx(ours.bits, rel=1e-4)


def test_scoring_follows_the_model_to_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model, memory = trainer_of(WITH_MEMORY).model.eval().to("meta"), CorpusMemory([build_shard(documents())[0]])
    seen: list[torch.device] = []

    def states(ids: Tensor, features: MemoryTensors) -> tuple[Tensor, Tensor]:
        seen.extend(tensor.device for tensor in (ids, *vars(features).values()))
        raise KeyboardInterrupt  # a device without numbers has no figure

    monkeypatch.setattr(model, "states", states)
    with pytest.raises(KeyboardInterrupt):
        score_documents(model, SAMPLE, memory=memory, threads=1)
    assert seen == [torch.device("meta")] * 4


def test_the_card_names_the_accelerator(tmp_path: Path) -> None:
    machine = MachineRecord(device="cuda", accelerator="A Card", processor="A Processor", threads=4)
    write_model_card(tmp_path, TrainingRecord(name="AXL-Tiny", seconds=60, machine=machine))
    assert "trained for 1.0 minutes on A Card." in (tmp_path / "README.md").read_text()

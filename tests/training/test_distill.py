"""Distillation: the student begins as the teacher's exit and comes nearer to the whole teacher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.fine_stack import fine_stack
from multiscale_transformer.memory.lookup import CorpusMemory, Window
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.training.distill import DistillationTrainer, fine_stack_student
from tiny import checkpoint, corpus, words

PLAIN = ModelConfig(d_model=16, n_heads=2, d_ff=32, n_layers_per_scale=(2, 1, 1), cross_d_ff=0, max_seq_len=64)
IDS = torch.tensor([[BOS, *words(4)[:50]]])


def test_the_student_begins_as_the_exit(tmp_path: Path) -> None:
    teacher = checkpoint(PLAIN, tmp_path)
    with torch.inference_mode():
        assert torch.equal(fine_stack_student(teacher).eval()(IDS), teacher.head(teacher.states(IDS)[1]))


def test_the_student_keeps_the_convolution(tmp_path: Path) -> None:
    teacher = checkpoint(PLAIN.model_copy(update={"conv_taps": 3}), tmp_path)
    with torch.inference_mode():
        assert torch.equal(fine_stack_student(teacher).eval()(IDS), teacher.head(teacher.states(IDS)[1]))
    assert fine_stack(tmp_path).architecture == "lfm2"


def test_the_student_of_words_is_a_plain_stack_of_as_many_layers(tmp_path: Path) -> None:
    config = PLAIN.model_copy(update={"n_layers_per_scale": 2, "downsample_factors": (1,), "word_layers": 3})
    teacher = checkpoint(config, tmp_path / "teacher")
    student = fine_stack_student(teacher).eval()
    assert (student.config.layers, student.config.word_layers) == ((5,), 0)
    teacher.words = None  # what is left is the fine layers, as which the student begins
    with torch.inference_mode():
        assert torch.equal(student(IDS), teacher(IDS))
    out = DistillationTrainer(tmp_path / "teacher").train(corpus(), 2, tmp_path / "student", threads=1)
    assert len(fine_stack(out).tensors) == 2 + 1 + 5 * 11, "which GGUF has a place for"


def test_the_student_comes_nearer_to_a_teacher_with_a_memory(tmp_path: Path) -> None:
    teacher = checkpoint(PLAIN.model_copy(update={"memory": True}), tmp_path / "teacher")
    out = DistillationTrainer(tmp_path / "teacher", alpha=1.0).train(corpus(), 3, tmp_path / "student", threads=1)
    before, after = fine_stack_student(teacher).eval(), load_model(out)
    assert not after.config.memory
    facts = json.loads((out / "training.json").read_text())
    assert facts["steps"] > 3
    assert facts["distilled"]["alpha"] == 1.0
    shard, _ = build_shard((name, data) for name, data in corpus().train)
    recall = CorpusMemory([shard]).recall([Window(IDS[0].numpy())])
    with torch.inference_mode():
        theirs = teacher(IDS, features=recall).log_softmax(-1)
        far, near = (
            torch.nn.functional.kl_div(student(IDS).log_softmax(-1), theirs, reduction="batchmean", log_target=True).item()
            for student in (before, after)
        )
    assert near < far


def test_any_student_and_text_from_paths(tmp_path: Path) -> None:
    checkpoint(PLAIN, tmp_path / "teacher")
    for number in range(6):
        (tmp_path / f"f{number}.py").write_bytes(words(60, number))
    config = ModelConfig(d_model=16, n_heads=2, d_ff=16, n_layers_per_scale=1, downsample_factors=(1,), max_seq_len=64)
    out = DistillationTrainer(tmp_path / "teacher", config).train(str(tmp_path / "f*.py"), 2, tmp_path / "student", threads=1)
    assert load_model(out).config == config


def test_wrong_input_is_said(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="alpha"):
        DistillationTrainer(tmp_path, alpha=2.0)
    (tmp_path / "taken").mkdir()
    with pytest.raises(AxlError, match="already exists"):
        DistillationTrainer(tmp_path).train("x", 1, tmp_path / "taken")

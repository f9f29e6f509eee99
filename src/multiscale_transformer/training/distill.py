"""Distillation: a small plain student learns from the whole model and its memory what the memory would have said.

The student reads what the teacher reads; its loss is that of the teacher's softened distribution (Hinton et al. 2015) and that
of the text. With `student_config` None it is the fine stack of the teacher with its auxiliary head, which `axl export gguf`
writes: the files of llama.cpp have no memory, so what can be had of it has to be learnt by heart.
"""

# Shape suffixes: B rows, T bytes of a window, V vocabulary.

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from multiscale_transformer.data.corpus import Corpus, load_corpus
from multiscale_transformer.data.sources import source_of
from multiscale_transformer.errors import AxlError
from multiscale_transformer.locks import writing
from multiscale_transformer.machine import available_cores, available_ram
from multiscale_transformer.memory.index import build_index
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.checkpoint import load_model, save_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.gradients import Inputs
from multiscale_transformer.training.grow import grow
from multiscale_transformer.training.loss import weighted_loss
from multiscale_transformer.training.machine import compute_dtype
from multiscale_transformer.training.model_card import write_model_card
from multiscale_transformer.training.run import training_fields, training_memory
from multiscale_transformer.training.settings import DEFAULT_DISTILLATION, TrainSettings, batch_for, stages_for
from multiscale_transformer.training.trainer import Callback, Trainer
from multiscale_transformer.zoo.prompt_formats import format_name
from multiscale_transformer.zoo.training_record import DistillRecord, TrainingRecord, write_training

DISTILLED_RATE = 0.3  # of the usual learning rate: the student knows much already


def fine_stack_student(teacher: MultiScaleTransformer) -> MultiScaleTransformer:
    """The fine stack and its auxiliary head as a flat model without a memory.

    Where the teacher has a word stack, the student has as many more plain layers, which begin silent: they have to learn what
    those say that run once a word. What the teacher's net is told at its input when no memory speaks has no place in it, so
    with a memory its logits differ a little from those of the teacher's auxiliary head; training closes that.
    """
    config = teacher.config.model_copy(
        update={
            "downsample_factors": (1,),
            "n_layers_per_scale": teacher.config.layers[0],
            "memory": False,
            "word_layers": 0,
        }
    )
    student = MultiScaleTransformer(ModelConfig.model_validate(config.model_dump()))
    known = teacher.state_dict()
    student.load_state_dict({name: known[name].clone() for name in student.state_dict()})
    grow(student, (teacher.config.layers[0] + teacher.config.word_layers,))
    return student


class Distiller(Trainer):
    """The time-boxed loop with a teacher: `alpha` is its share of the loss, `temperature` softens both distributions."""

    teacher: MultiScaleTransformer
    temperature: float
    alpha: float

    def _loss(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            theirs_BTV = self.teacher(inputs.ids_BT, features=inputs.features) / self.temperature
        ours_BTV = self.model(inputs.ids_BT)
        hard, shown = weighted_loss(ours_BTV, inputs.targets)
        soft = F.kl_div(
            (ours_BTV / self.temperature).log_softmax(-1).flatten(0, 1),
            theirs_BTV.log_softmax(-1).flatten(0, 1),
            reduction="batchmean",
            log_target=True,
        )
        return self.alpha * self.temperature**2 * soft + (1 - self.alpha) * hard, shown


class DistillationTrainer:
    """The published interface: `DistillationTrainer(teacher_path, student_config).train(text_data, max_time, output_dir)`.

    `student_config` None begins with the teacher's own fine stack. Raises AxlError when the teacher is no checkpoint.
    """

    def __init__(
        self,
        teacher_path: str | Path,
        student_config: ModelConfig | None = None,
        temperature: float = DEFAULT_DISTILLATION.temperature,
        alpha: float = DEFAULT_DISTILLATION.alpha,
    ) -> None:
        if not (temperature > 0 and 0 <= alpha <= 1):
            raise AxlError(f"temperature must be above 0 and alpha from 0 to 1, got {temperature} and {alpha}")
        self.teacher_path, self.student_config = Path(teacher_path), student_config
        self.temperature, self.alpha = temperature, alpha

    def train(
        self,
        text_data: str | Path | Sequence[str | Path] | Corpus,
        max_time: float = 60 * DEFAULT_DISTILLATION.minutes,
        output_dir: str | Path = "checkpoints/distilled",
        *,
        seed: int = 0,
        threads: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Path:
        """Train the student for `max_time` seconds on `text_data` (paths, or a corpus that is loaded); returns its folder.

        The teacher looks up in an index of the training files, never in the file that it reads. On KeyboardInterrupt the
        student is saved as it is by then, and it is raised again. Raises AxlError when the folder is there already, another
        process writes it, the data are too few or the disk is full.
        """
        out = Path(output_dir)
        with writing(out):
            if out.exists():
                raise AxlError(f"{out} already exists; choose another folder, or delete it")
            return self._train(text_data, max_time, out, seed, threads, callbacks)

    def _train(
        self,
        text_data: str | Path | Sequence[str | Path] | Corpus,
        max_time: float,
        out: Path,
        seed: int,
        threads: int | None,
        callbacks: Sequence[Callback],
    ) -> Path:
        threads = threads or available_cores()
        torch.set_num_threads(threads)
        teacher = load_model(self.teacher_path)
        torch.manual_seed(seed)
        student = fine_stack_student(teacher) if self.student_config is None else MultiScaleTransformer(self.student_config)
        teacher.compute_dtype = student.compute_dtype = compute_dtype(threads)
        corpus = text_data if isinstance(text_data, Corpus) else load_corpus(_paths(text_data))
        with tempfile.TemporaryDirectory() as temporary:
            memory = _memory(teacher.config, corpus, Path(temporary) / "index")
            settings = _settings(student.config, corpus, max_time / 60, seed, threads, fresh=self.student_config is not None)
            trainer = Distiller(student, student.config, corpus.train, settings, available_ram(), memory=memory)
            trainer.teacher, trainer.temperature, trainer.alpha = teacher, self.temperature, self.alpha
            try:
                trainer.run(callbacks)
            except KeyboardInterrupt:
                if trainer.progress.step:
                    self._save(student, out, corpus, trainer)
                raise
        self._save(student, out, corpus, trainer)
        return out

    def _save(self, student: MultiScaleTransformer, out: Path, corpus: Corpus, trainer: Trainer) -> None:
        """Write the student as a checkpoint; its card comes from what `training.json` says."""
        record = TrainingRecord(
            **training_fields(trainer, corpus),
            name=out.name,
            format=format_name(self.teacher_path),
            distilled=DistillRecord(teacher=str(self.teacher_path), temperature=self.temperature, alpha=self.alpha),
        )
        student.compute_dtype = torch.float32
        save_model(student, out, name=out.name)
        write_training(out, record)
        write_model_card(out, record)


def _paths(text_data: str | Path | Sequence[str | Path]) -> list[str]:
    given = [text_data] if isinstance(text_data, str | Path) else list(text_data)
    return [str(path) for path in given]


def _memory(config: ModelConfig, corpus: Corpus, folder: Path) -> CorpusMemory | None:
    if not config.memory:
        return None
    made = build_index(folder, corpus.train.to_index(), list(map(source_of, corpus.sources)))
    return training_memory(made.shards, corpus.train)


def _settings(config: ModelConfig, corpus: Corpus, minutes: float, seed: int, threads: int, *, fresh: bool) -> TrainSettings:
    from multiscale_transformer.training.optimizers import LEARNING_RATES

    stages = stages_for(config, corpus.train.nbytes)
    settings = TrainSettings(
        minutes=minutes,
        threads=threads,
        seed=seed,
        batch_bytes=batch_for(config),
        stages=stages if fresh else ((0.0, stages[-1][1]),),  # a student that can read long windows does so from the start
        memory_dropout=0.0,
        aux_loss_weight=0.0,
    )
    rate = settings.learning_rate or LEARNING_RATES[settings.optimizer]
    return settings if fresh else settings.model_copy(update={"learning_rate": DISTILLED_RATE * rate})

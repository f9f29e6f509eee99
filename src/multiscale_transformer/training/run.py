"""A run from request to checkpoint: build or resume, train, save weights and what is known about them.

`train_run` is what `axl train` calls; it writes `config.json`, `model.safetensors`, `training.json` and `metrics.csv` into the
output folder and removes its resume points when the checkpoint is whole.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.selection import EVERYTHING, Selection
from multiscale_transformer.data.sources import source_of
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.locks import writing
from multiscale_transformer.memory.index import MANIFEST_FILE, MEMORY_FOLDER, build_index, load_index
from multiscale_transformer.memory.lookup import CorpusMemory, warm_up
from multiscale_transformer.memory.shard import Shard
from multiscale_transformer.model.checkpoint import save_model
from multiscale_transformer.model.config import ModelConfig, parse_config
from multiscale_transformer.model.folder import CONFIG_FILE, TRAINING_FILE, WEIGHTS_FILE
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.device import DeviceName, choose_device, free_memory
from multiscale_transformer.training.initialization import check_init, init_record, initial_model, interpolate
from multiscale_transformer.training.logger import TrainLogger
from multiscale_transformer.training.machine import compute_dtype, describe_machine
from multiscale_transformer.training.model_card import CARD_FILE, data_record, software_versions
from multiscale_transformer.training.process_group import ALONE, ProcessGroup, ProcessLostError
from multiscale_transformer.training.resume import (
    ResumeWriter,
    has_resume,
    load_resume,
    read_request,
    restore_optimizer,
)
from multiscale_transformer.training.settings import TrainSettings
from multiscale_transformer.training.trainer import Callback, Progress, Trainer, uninterrupted
from multiscale_transformer.zoo.recipes import FormatName
from multiscale_transformer.zoo.training_record import TrainingRecord, write_training

PROBES = 8  # held-out measurements along the curve
PROBE_FILES, PROBE_BYTES = 8, 24_000
PROBE_SHARE = 0.1  # of the time for training, at most: a large model that reads little has fewer probes, or none
LOG_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class RunRequest:
    """What to train, how, on which data, and where to put it."""

    name: str
    config: ModelConfig
    settings: TrainSettings
    sources: tuple[str, ...]
    out: Path
    log_backend: str = "csv"
    format: FormatName = "code"
    selection: Selection = EVERYTHING
    init: Path | None = None  # the checkpoint to begin as; a resumed run has begun already
    device: DeviceName = "cpu"

    def as_json(self) -> dict[str, Any]:
        """For the resume point; `resumed_request` reads it back."""
        return {
            "name": self.name,
            "config": self.config.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "sources": list(self.sources),
            "log_backend": self.log_backend,
            "format": self.format,
            "selection": self.selection.as_json(),
            "device": self.device,
        }


def resumed_request(folder: Path) -> RunRequest:
    """The request of the interrupted run in `folder`. Raises AxlError when there is none or it is damaged."""
    fields = read_request(folder)
    try:
        return RunRequest(
            name=fields["name"],
            config=parse_config(fields["config"], str(folder)),
            settings=TrainSettings.model_validate(fields["settings"]),
            sources=tuple(fields["sources"]),
            out=folder,
            log_backend=fields["log_backend"],
            format=fields.get("format", "code"),
            selection=Selection.from_json(fields.get("selection", {})),
            device=fields.get("device", "cpu"),  # earlier versions trained on nothing else
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise AxlError(f"the interrupted run in {folder} is of another version; delete the folder and train again") from error


def check_output(out: Path, *, resume: bool) -> None:
    """Refuse to write over a finished or interrupted run, or files of something else. Raises AxlError."""
    interrupted = has_resume(out)
    # `training.json` comes last: a run that was killed after its weights were written and before it is still interrupted.
    if (out / TRAINING_FILE).exists() or ((out / WEIGHTS_FILE).exists() and not interrupted):
        raise AxlError(f"{out} already holds a finished checkpoint; choose another --out (or delete it first)")
    if interrupted and not resume:
        raise AxlError(f"{out} holds an interrupted run; add --resume to go on with it, or choose another --out")
    foreign = [out / name for name in (CONFIG_FILE, CARD_FILE)]
    if not (out / MEMORY_FOLDER / MANIFEST_FILE).exists():  # else it is the index of a run that was killed early
        foreign.append(out / MEMORY_FOLDER)
    for path in () if interrupted else foreign:
        if path.exists():
            raise AxlError(f"{out} holds a {path.name} of something else, which this run would replace; choose another --out")


def free_folder(root: Path, name: str) -> Path:
    """`root/name`, or `root/name-2` and so on when that is taken."""
    folder, number = root / name, 2
    while folder.exists():
        folder, number = root / f"{name}-{number}", number + 1
    return folder


def train_run(
    request: RunRequest,
    corpus: Corpus,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    group: ProcessGroup = ALONE,
) -> Path:
    """Train and save; returns the output folder. On KeyboardInterrupt a resume point is written first, then it is raised.

    With `group` other processes train the same model; those that follow call `follow_run`.

    With `resume` the run in `request.out` goes on; `request` is what `resumed_request` gives. Raises AxlError when the folder
    is taken or another process is writing it, the device is not there, the data changed, the memory or the corpus is too small,
    the disk is full or the loss stops being a number.
    """
    with writing(request.out):
        check_output(request.out, resume=resume)
        if request.init is not None and not resume:  # before the memory is built, which may take minutes
            check_init(request.config, request.init)
        folder = _trained(request, corpus, resume, callbacks, group)
    gc.collect()  # PyTorch keeps frames in cycles, and with them weights and state, whose RAM the measuring needs
    return folder


def follow_run(request: RunRequest, corpus: Corpus, *, resume: bool = False, group: ProcessGroup) -> None:
    """Train with others, of whom one writes; `request.out` holds this process's copy of the memory, and of a resume point.

    Raises what `train_run` raises.
    """
    trainer, _ = _ready_trainer(request, corpus, resume, group)
    trainer.run()


def _ready_trainer(
    request: RunRequest, corpus: Corpus, resume: bool, group: ProcessGroup
) -> tuple[Trainer, CorpusMemory | None]:
    torch.set_num_threads(request.settings.threads)
    device = choose_device(request.device)
    memory, seconds = _memory(request, corpus, resume)
    trainer = (_resumed_trainer if resume else _new_trainer)(request, corpus, device, memory, group)
    trainer.progress.seconds = max(trainer.progress.seconds, seconds)  # building the memory is a part of the training
    return trainer, memory


def _trained(request: RunRequest, corpus: Corpus, resume: bool, callbacks: Sequence[Callback], group: ProcessGroup) -> Path:
    trainer, memory = _ready_trainer(request, corpus, resume, group)
    begun_as = _begun_as(request, resume)
    writer = ResumeWriter(request.out, trainer, {**request.as_json(), "corpus": corpus.sha256, "begun_as": begun_as})
    if request.settings.interpolation < 1.0 and not resume:
        writer.save_first_weights()
    with TrainLogger(request.out, request.log_backend, resume_step=trainer.progress.step) as logger:
        recorder = _Recorder(logger, trainer, corpus.held_out, memory)
        try:
            trainer.run((recorder, writer, *callbacks))
            if request.settings.interpolation < 1.0:
                interpolate(trainer.model, writer.first_weights(), request.settings.interpolation)
            save_model(trainer.model, request.out, name=request.name)
            write_training(request.out, _record(request, corpus, trainer, begun_as))
        except (KeyboardInterrupt, ProcessLostError):
            with uninterrupted():  # torchrun ends all processes when one has ended
                writer.save()
            raise
    writer.remove()
    return request.out


def _memory(request: RunRequest, corpus: Corpus, resume: bool) -> tuple[CorpusMemory | None, float]:
    """The corpus memory of a run, built from its training files into the checkpoint, and the seconds that took."""
    if not request.config.memory:
        return None, 0.0
    folder = request.out / MEMORY_FOLDER
    warm_up()
    begin = time.perf_counter()
    if not resume or not folder.exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed before its first resume point
        build_index(folder, corpus.train.to_index(), list(map(source_of, corpus.sources)))
    return training_memory(load_index(folder).shards, corpus.train), time.perf_counter() - begin


def training_memory(shards: Sequence[Shard], train: Documents) -> CorpusMemory:
    """What a model that learns `train` looks up in: of plain text other documents, of prompts and answers other packages."""
    return CorpusMemory(shards, leave_out="source" if train.only_answers else "document")


def _new_trainer(
    request: RunRequest, corpus: Corpus, device: torch.device, memory: CorpusMemory | None, group: ProcessGroup
) -> Trainer:
    # Made on the CPU: a seed gives the same weights for every device.
    model = initial_model(request.config, request.init, seed=request.settings.seed, grow=request.settings.grow).to(device)
    model.compute_dtype = group.dtype(compute_dtype(request.settings.threads, device))
    return _trainer(request, corpus, model, None, memory, group)


def _resumed_trainer(
    request: RunRequest, corpus: Corpus, device: torch.device, memory: CorpusMemory | None, group: ProcessGroup
) -> Trainer:
    known = read_request(request.out)["corpus"]
    if known != corpus.sha256:
        raise AxlError(
            f"the data changed since {request.out} was interrupted; restore it, or start a new run with another --out"
        )
    model, progress = load_resume(request.out, device)
    trainer = _trainer(request, corpus, model, progress, memory, group)
    restore_optimizer(request.out, trainer)
    return trainer


def _trainer(
    request: RunRequest,
    corpus: Corpus,
    model: MultiScaleTransformer,
    progress: Progress | None,
    memory: CorpusMemory | None,
    group: ProcessGroup,
) -> Trainer:
    room = free_memory(model.device) // group.local_world_size
    return Trainer(model, request.config, corpus.train, request.settings, room, progress, memory, group)


class _Recorder:
    """Logs once a second, and the held-out cost of a fixed sample at a few points of the run.

    Scoring a byte costs a third of training on it, so how much was trained says what a probe may cost, on any machine.
    """

    def __init__(self, logger: TrainLogger, trainer: Trainer, held_out: Documents, memory: CorpusMemory | None) -> None:
        self._memory, self._threads = memory, trainer.settings.threads
        self._logger, self._model, self._base_lr = logger, trainer.model, trainer.base_lr
        chosen = range(0, len(held_out), max(1, len(held_out) // PROBE_FILES))[:PROBE_FILES]
        self._sample = [(held_out.names[index], held_out[index][: PROBE_BYTES // PROBE_FILES]) for index in chosen]
        self._logged, self._probed = trainer.progress.seconds, trainer.progress.fraction
        self._enough = sum(len(text) for _, text in self._sample) / 3 / PROBE_SHARE  # bytes of training between two probes
        self._read = trainer.progress.bytes

    def __call__(self, progress: Progress) -> None:
        due = progress.fraction >= 1.0
        if not due and progress.seconds - self._logged < LOG_EVERY_SECONDS:
            return
        values = {
            "seconds": progress.seconds,
            "bytes": progress.bytes,
            "train_bpb": progress.train_bpb,
            "lr": progress.multiplier * self._base_lr,
            "bytes_per_second": progress.bytes_per_second,
        }
        wanted = due or progress.fraction - self._probed >= 1 / PROBES
        if wanted and progress.bytes - self._read >= self._enough:
            self._model.eval()
            values["held_out_bpb"] = score_documents(
                self._model, self._sample, memory=self._memory, threads=self._threads
            ).bits_per_byte
            self._model.train()
            self._probed, self._read = progress.fraction, progress.bytes
        self._logger.log(progress.step, **values)
        self._logged = progress.seconds


def _begun_as(request: RunRequest, resume: bool) -> dict[str, Any] | None:
    """What the record says of the base; known from the start, for the base may be gone when the run ends."""
    if resume:
        begun_as: dict[str, Any] | None = read_request(request.out).get("begun_as")
        return begun_as
    return None if request.init is None else init_record(request.init).as_json()


def _record(request: RunRequest, corpus: Corpus, trainer: Trainer, begun_as: dict[str, Any] | None) -> TrainingRecord:
    settings = request.settings
    return TrainingRecord(
        **training_fields(trainer, corpus),
        name=request.name,
        format=request.format,
        batch=settings.batch_bytes,
        window=settings.stages[-1][1],
        lookup_seconds=trainer.progress.lookup_seconds,
        flops=trainer.progress.flops,
        train_bpb=trainer.progress.train_bpb,
        optimizer_state_bytes=trainer.optimizer.state_bytes,
        **({} if begun_as is None else {"init": begun_as}),
    )


def training_fields(trainer: Trainer, corpus: Corpus) -> dict[str, Any]:
    """What `training.json` says of any run, distilled or not."""
    settings, progress, config = trainer.settings, trainer.progress, trainer.model.config
    return {
        "parameters": config.parameters(),
        "memory": config.memory,
        "optimizer": settings.optimizer,
        "minutes": settings.minutes,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
        "seconds": progress.seconds,
        "bytes": progress.bytes,
        "steps": progress.step,
        "data": data_record(corpus),
        "compute_dtype": str(trainer.model.compute_dtype).removeprefix("torch."),
        "machine": describe_machine(settings.threads, trainer.model.device),
        "versions": software_versions(),
    }

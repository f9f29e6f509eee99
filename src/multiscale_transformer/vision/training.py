"""Training of nets that see: a time box on pages, with the optimizers, schedule and resume points of all other models.

What differs from text is the batch and the loss (`samples`, `losses`). A run writes the same files into its folder as a run of
`training.run`: `config.json`, `model.safetensors`, `training.json`, `metrics.csv`, and a card.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from multiscale_transformer.errors import AxlError
from multiscale_transformer.locks import writing
from multiscale_transformer.model.vision import (
    CropNet,
    PageNet,
    VisionNet,
    build_vision,
    load_vision,
    save_vision,
)
from multiscale_transformer.model.vision_config import CropConfig, VisionConfig, parse_vision_config
from multiscale_transformer.training.initialization import init_record
from multiscale_transformer.training.logger import TrainLogger
from multiscale_transformer.training.machine import describe_machine
from multiscale_transformer.training.model_card import software_versions
from multiscale_transformer.training.optimizers import LEARNING_RATES, build_optimizer
from multiscale_transformer.training.resume import ResumeWriter, read_point, read_request, restore_optimizer
from multiscale_transformer.training.run import LOG_EVERY_SECONDS, check_output
from multiscale_transformer.training.schedule import rate_multiplier
from multiscale_transformer.training.trainer import Callback, Progress, uninterrupted
from multiscale_transformer.vision.card import write_card
from multiscale_transformer.vision.held_out import held_out_figures
from multiscale_transformer.vision.inference import load_reader
from multiscale_transformer.vision.initialization import begin_as, check_init
from multiscale_transformer.vision.losses import crop_loss, page_loss
from multiscale_transformer.vision.samples import (
    CROP_PAGES,
    PAGES,
    PROPOSED,
    TEXTS,
    CropBatch,
    PageBatch,
    TrainPages,
    crop_batch,
    page_batch,
)
from multiscale_transformer.zoo.recipes import OptimizerName
from multiscale_transformer.zoo.training_record import DataRecord, InitRecord, TrainingRecord, write_training

COOLDOWN = 0.7  # of the time, over which the learning rate falls
SMOOTHING = 0.98  # of the loss that is shown, from step to step
PICTURE = "picture"  # the format of a model that reads no text
BEGUN_AS = "begun_as"  # in a resume point: what the record says of the checkpoint that the run began as


@dataclass(frozen=True)
class VisionRequest:
    """What to train, on which pages, for how long, and where to put it."""

    name: str
    config: VisionConfig
    data: Path
    out: Path
    minutes: float
    optimizer: OptimizerName = "muon"
    learning_rate: float | None = None
    seed: int = 0
    threads: int = 1
    init: Path | None = None  # the checkpoint that the namer begins as; a resumed run has begun already

    def as_json(self) -> dict[str, Any]:
        """For the resume point; `resumed_request` reads it back."""
        fields = {**asdict(self), "config": self.config.model_dump(mode="json"), "data": str(self.data)}
        return {name: value for name, value in fields.items() if name not in ("out", "init")}


def resumed_request(folder: Path) -> VisionRequest:
    """The request of the interrupted run in `folder`. Raises AxlError when there is none, or none of a model that sees."""
    fields = read_request(folder)
    try:
        config = parse_vision_config(fields["config"], str(folder))
        given = {name: value for name, value in fields.items() if name not in ("pages", BEGUN_AS)}
        return TypeAdapter(VisionRequest).validate_python({**given, "config": config, "out": folder})
    except (KeyError, ValidationError, AxlError) as error:
        raise AxlError(f"the interrupted run in {folder} is of another version; delete the folder and train again") from error


class VisionTrainer:
    """Trains a net that sees on pages until its minutes are over; `progress` other than a fresh one goes on from there."""

    def __init__(self, model: VisionNet, pages: TrainPages, request: VisionRequest, progress: Progress | None = None) -> None:
        self.model: Any = model
        self.progress = progress or Progress()
        self._pages, self._request = pages, request
        self._next: tuple[int, Future[PageBatch | CropBatch]] | None = None
        self._ahead: ThreadPoolExecutor | None = None
        self.base_lr = request.learning_rate or LEARNING_RATES[request.optimizer]
        self.optimizer = build_optimizer(model, request.optimizer, request.learning_rate)

    def run(self, callbacks: Sequence[Callback] = ()) -> None:
        """Train until the time box is full; an interrupt comes between two steps. Raises AxlError where a loss is no number."""
        limit, progress = self._request.minutes * 60, self.progress
        begin = time.perf_counter() - progress.seconds
        with ThreadPoolExecutor(1, "axl-pages") as self._ahead:
            while progress.fraction < 1.0:
                with uninterrupted():
                    self.step()
                    progress.seconds = time.perf_counter() - begin
                    progress.fraction = progress.seconds / limit
                for callback in callbacks:
                    callback(progress)
            self._ahead.shutdown(cancel_futures=True)
        self._ahead = self._next = None
        self.model.eval()

    def step(self) -> None:
        """One batch and one update."""
        progress = self.progress
        self.model.train()
        batch = self._batch(progress.step)
        progress.multiplier = rate_multiplier(progress.fraction, COOLDOWN)
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(progress.multiplier)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise AxlError(f"the loss is no longer a number at step {progress.step}: lower --lr or choose another --optimizer")
        progress.step += 1
        progress.loss = value if math.isnan(progress.loss) else SMOOTHING * progress.loss + (1 - SMOOTHING) * value
        pictures = batch.pictures_BCHW if isinstance(batch, PageBatch) else batch.views_BCHW
        progress.bytes += pictures[0].numel() * len(pictures)
        progress.flops += len(pictures) * self.model.config.flops(training=True)
        if isinstance(batch, PageBatch):
            progress.flops += PAGES * 2 * PROPOSED * self.model.config.namer.flops(training=True)  # at most so many
            length = batch.ids_BT.shape[1]
            progress.flops += TEXTS * length * self.model.config.decoder.flops_per_byte(length, training=True)

    def loss(self, batch: PageBatch | CropBatch) -> Tensor:
        """The loss of a batch."""
        if isinstance(batch, CropBatch):
            assert isinstance(self.model, CropNet)
            return crop_loss(self.model, batch)
        assert isinstance(self.model, PageNet)
        return page_loss(self.model, batch)

    def _batch(self, step: int) -> PageBatch | CropBatch:
        """The batch of a step, while a thread begins with the next one."""
        if self._ahead is None:
            return self._made(step)
        known, batch = self._next or (-1, None)
        made = batch.result() if batch is not None and known == step else self._made(step)
        self._next = step + 1, self._ahead.submit(self._made, step + 1)
        return made

    def _made(self, step: int) -> PageBatch | CropBatch:
        config = self.model.config
        make = crop_batch if isinstance(config, CropConfig) else page_batch
        return make(self._pages, config, self._request.seed, step)


def train_vision(request: VisionRequest, *, resume: bool = False, callbacks: Sequence[Callback] = ()) -> Path:
    """Train and save; returns the output folder. On KeyboardInterrupt a resume point is written first, then it is raised.

    Raises AxlError when the folder is taken or another process is writing it, there are no pages, they changed, the disk is
    full or the loss stops being a number.
    """
    torch.set_num_threads(request.threads)
    if request.init is not None:
        check_init(request.config, request.init)
    pages = TrainPages(request.data)
    with writing(request.out):
        check_output(request.out, resume=resume)
        trainer = _resumed(request, pages) if resume else VisionTrainer(_fresh(request), pages, request)
        begun_as = _begun_as(request, resume)
        resumable = {**request.as_json(), "pages": pages.sha256, BEGUN_AS: begun_as}
        writer = ResumeWriter(request.out, trainer, resumable, save_vision)
        with TrainLogger(request.out, resume_step=trainer.progress.step) as logger:
            try:
                trainer.run((_Recorder(logger, trainer), writer, *callbacks))
                save_vision(trainer.model, request.out, name=request.name)
                record = _record(request, pages, trainer, begun_as)
                record.pictures = held_out_figures(load_reader(request.out), request.data)
                write_card(request.out, record)
                write_training(request.out, record)
            except KeyboardInterrupt:
                writer.save()
                raise
        writer.remove()
    return request.out


def _fresh(request: VisionRequest) -> VisionNet:
    model = build_vision(request.config, seed=request.seed)
    if request.init is not None:
        begin_as(model, request.init)
    return model


def _begun_as(request: VisionRequest, resume: bool) -> dict[str, Any] | None:
    if resume:
        begun_as: dict[str, Any] | None = read_request(request.out).get(BEGUN_AS)
        return begun_as
    return None if request.init is None else init_record(request.init).as_json()


def _resumed(request: VisionRequest, pages: TrainPages) -> VisionTrainer:
    if read_request(request.out)["pages"] != pages.sha256:
        raise AxlError(f"the pages changed since {request.out} was interrupted; restore them, or start a new run")
    point, folder = read_point(request.out)
    model = load_vision(folder)
    if isinstance(model, PageNet) and read_request(request.out).get(BEGUN_AS):
        model.namer.keep_names()
    trainer = VisionTrainer(model, pages, request, point.progress)
    restore_optimizer(request.out, trainer)
    return trainer


class _Recorder:
    """Logs once a second."""

    def __init__(self, logger: TrainLogger, trainer: VisionTrainer) -> None:
        self._logger, self._base_lr, self._logged = logger, trainer.base_lr, trainer.progress.seconds

    def __call__(self, progress: Progress) -> None:
        if progress.fraction < 1.0 and progress.seconds - self._logged < LOG_EVERY_SECONDS:
            return
        lr = progress.multiplier * self._base_lr
        self._logger.log(progress.step, seconds=progress.seconds, loss=progress.loss, lr=lr)
        self._logged = progress.seconds


def _record(
    request: VisionRequest, pages: TrainPages, trainer: VisionTrainer, begun_as: dict[str, Any] | None
) -> TrainingRecord:
    progress = trainer.progress
    return TrainingRecord(
        name=request.name,
        format=PICTURE,
        parameters=request.config.parameters(),
        optimizer=request.optimizer,
        minutes=request.minutes,
        seed=request.seed,
        batch=CROP_PAGES if isinstance(request.config, CropConfig) else PAGES,
        settings={"learning_rate": trainer.base_lr, "cooldown": COOLDOWN, "threads": request.threads},
        seconds=progress.seconds,
        bytes=progress.bytes,
        flops=progress.flops,
        steps=progress.step,
        optimizer_state_bytes=trainer.optimizer.state_bytes,
        data=DataRecord(
            sources=[str(request.data.absolute())],
            sha256=pages.sha256,
            train_documents=len(pages),
            train_bytes=pages.picture_bytes,
            held_out_documents=pages.held_out,
            parts=pages.licences,
        ),
        compute_dtype="float32",
        init=InitRecord.model_validate(begun_as) if begun_as else None,
        machine=describe_machine(request.threads),
        versions=software_versions(),
    )

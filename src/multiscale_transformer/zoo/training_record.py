"""`training.json`: what is known of a checkpoint's training. One type, one writer and one reader for everybody.

The file is written when a run ends, and again when its held-out figure is measured. Fields that this version does not know are
kept. Files of earlier versions load: what they lack has a default, and what they call otherwise is read by its old name.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, model_validator

from multiscale_transformer import files
from multiscale_transformer.data.prompted import PREFIX as PROMPTED
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import TRAINING_FILE

PathText = InstanceOf[str]  # paths need not be UTF-8: they then hold lone surrogates, which pydantic's check of a str refuses
_DISTILLED = ("teacher", "temperature", "alpha")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """What the file holds: no field that is not known."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class DataRecord(_Part):
    """The files that were read: where from, how many, and the hash of them all."""

    sources: list[PathText]
    sha256: str
    train_documents: int = 0
    train_bytes: int = 0
    held_out_documents: int = 0
    held_out_bytes: int = 0
    dropped: dict[str, int] = Field({}, alias="left_out")  # files that were not read, by reason
    note: PathText = ""
    selection: dict[str, Any] | None = None  # what --include and --exclude chose
    packages: dict[str, str] | None = None  # licences of installed packages
    parts: dict[str, str] | None = None  # licences of the parts of a mixture
    suffixes: dict[str, int] | None = None  # bytes to train on by the ending of the file's name, most first


class MachineRecord(_Part):
    """What the run was trained on."""

    device: str = "cpu"
    accelerator: str = ""  # its maker's name for it
    processor: str = ""
    system: str = ""
    threads: int = 1
    ram_gb: float = Field(0.0, alias="memory_gb")
    compute_dtype: str = ""
    matmul_gflops: float = 0.0


class HeldOutRecord(_Part):
    """Bits per byte on the held-out files, of the model and of compressors (`evaluation.compression_baselines.LABELS`)."""

    bits_per_byte: float
    bytes: int
    xz: float | None = None
    ppmd: float | None = None
    ppmd_primed: float | None = None


class InitRecord(_Part):
    """The model whose weights a run began with, and what that had been trained on."""

    name: PathText
    sha256: str
    parameters: int = 0
    data: DataRecord | None = None


class DistillRecord(_Part):
    """What a distilled student learned from, and how."""

    teacher: PathText
    temperature: float
    alpha: float


class TrainingRecord(_Part):
    """The content of `training.json`."""

    name: PathText = ""
    format: str = "code"
    parameters: int = 0
    memory: bool = False
    optimizer: str = ""
    minutes: float = 0.0
    seed: int = 0
    batch: int | None = None
    window: int | None = None
    settings: dict[str, Any] = {}
    seconds: float = 0.0
    lookup_seconds: float = 0.0
    bytes: int = 0
    flops: float = 0.0
    train_bpb: float | None = None
    steps: int = 0
    optimizer_state_bytes: int | None = None
    data: DataRecord | None = None
    compute_dtype: str = ""
    machine: MachineRecord | None = None
    versions: dict[str, str] = {}
    held_out: HeldOutRecord | None = None
    pictures: dict[str, dict[str, float]] | None = None  # figures on held-out pages, by set, of a model that sees
    init: InitRecord | None = None
    distilled: DistillRecord | None = None

    @model_validator(mode="before")
    @classmethod
    def _distilled_has_a_place_of_its_own(cls, fields: Any) -> Any:
        """Earlier versions wrote the teacher among the other fields."""
        if isinstance(fields, dict) and "teacher" in fields:
            rest = {name: value for name, value in fields.items() if name not in _DISTILLED}
            return {**rest, "distilled": {name: fields.get(name, 0.0) for name in _DISTILLED}}
        return fields


class FinishedRecord(TrainingRecord):
    """The record of a run that says what it was trained on, as every run does that `axl train` finished."""

    data: DataRecord


def write_training(folder: Path, record: TrainingRecord) -> None:
    """Write `training.json` into a checkpoint folder, atomically."""
    files.write_json(folder / TRAINING_FILE, record.as_json())


def read_training(folder: Path) -> FinishedRecord:
    """`training.json` of a finished run. Raises AxlError when it is missing, damaged or something else's."""
    path = folder / TRAINING_FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AxlError(f"{folder} is not a finished run (no {TRAINING_FILE}); give the folder that axl train wrote") from error
    except (OSError, ValueError, RecursionError) as error:
        raise AxlError(f"{path} is damaged ({error}); restore it or train again") from error
    try:
        return FinishedRecord.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if not place or first["loc"][0] == "data":
            raise AxlError(f"{path} does not say what the run was trained on; restore it or train again") from error
        raise AxlError(f"{path} is damaged ({place}: {first['msg']}); restore it or train again") from error


def known_training(folder: Path) -> TrainingRecord | None:
    """What is known of the training of a checkpoint; None where there is no such file or it cannot be read."""
    try:
        return TrainingRecord.model_validate_json((folder / TRAINING_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def trained_skills(folder: Path) -> frozenset[str]:
    """Names of the skills whose examples a checkpoint was trained on."""
    record = known_training(folder)
    sources = record.data.sources if record is not None and record.data is not None else []
    return frozenset(PurePath(source).name for source in sources if source.startswith(PROMPTED))

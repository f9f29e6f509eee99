"""The numbers of a run: what a person may set, and the laws that derive the rest."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.zoo.recipes import OptimizerName, RecipeTraining

FIRST_WINDOW = 256
LAST_STAGE = 0.75  # elapsed fraction at which training goes over to the whole context
_RECIPE = RecipeTraining()


class TrainSettings(BaseModel):
    """How to train. Only `minutes` has no useful default for everyone; the rest follows measured laws (docs/log.md).

    `stages` lists (elapsed fraction, window in bytes): short windows first, because most of what a small model can learn in
    minutes is local and short windows are cheap. Rows fill `batch_bytes` at every stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: float = Field(_RECIPE.minutes, gt=0, allow_inf_nan=False)
    optimizer: OptimizerName = _RECIPE.optimizer
    learning_rate: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=-(2**63), lt=2**64)  # what torch.manual_seed takes
    threads: int = Field(1, ge=1)
    batch_bytes: int = Field(8192, ge=16)
    stages: tuple[tuple[float, int], ...] = ((0.0, 512),)
    fim_rate: float = Field(0.1, ge=0.0, le=1.0)
    middle_weight: float = Field(4.0, ge=1.0)  # how often a byte of the middle of a rearranged window counts
    aux_loss_weight: float = Field(  # share of the auxiliary head's loss, that of the fine stack alone
        0.1,
        ge=0.0,
        validation_alias=AliasChoices("aux_loss_weight", "exit_weight"),  # runs of earlier versions say exit
    )
    memory_dropout: float = Field(0.05, ge=0.0, le=1.0)  # share of windows that are trained without a memory
    grow: bool = False
    interpolation: float = Field(1.0, gt=0.0, le=1.0)  # share of the way from the first weights to the last that is kept

    @field_validator("stages")
    @classmethod
    def _stages_begin_at_zero(cls, stages: tuple[tuple[float, int], ...]) -> tuple[tuple[float, int], ...]:
        if not stages or stages[0][0] != 0.0 or list(stages) != sorted(stages) or min(window for _, window in stages) < 1:
            raise ValueError("stages must begin at fraction 0 and ascend, with windows of at least one byte")
        return stages


class FineTuning(BaseModel):
    """What a run does differently that begins as a trained model (docs/log.md, fine-tuning): it knows much already."""

    model_config = ConfigDict(frozen=True)

    learning_rate: float = Field(0.008, gt=0)  # of Muon
    interpolation: float = Field(0.5, gt=0, le=1)  # better on the project, and little is forgotten


class DistillSettings(BaseModel):
    """How a student learns: `alpha` is the teacher's share of the loss, `temperature` softens both distributions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: float = Field(10.0, gt=0, allow_inf_nan=False)
    temperature: float = Field(2.0, gt=0, allow_inf_nan=False)
    alpha: float = Field(0.7, ge=0.0, le=1.0)


FINE_TUNING = FineTuning()
DEFAULT_SETTINGS, DEFAULT_DISTILLATION = TrainSettings(), DistillSettings()


def stages_for(config: ModelConfig, train_bytes: int) -> tuple[tuple[float, int], ...]:
    """The default stages: short windows for most of the run, then the whole context (docs/log.md, window lengths)."""
    longest = min(config.max_seq_len, train_bytes // 2)
    if longest <= FIRST_WINDOW:
        return ((0.0, max(1, longest)),)
    stages = ((0.0, FIRST_WINDOW), (LAST_STAGE, config.max_seq_len))
    return tuple(stage for stage in stages if stage[1] <= longest)


def batch_for(config: ModelConfig) -> int:
    """Bytes of a batch: small models want many small steps, large ones fewer with less optimizer work (docs/log.md)."""
    return 4096 if config.parameters() < 4_000_000 else 8192

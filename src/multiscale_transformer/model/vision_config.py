"""What a vision model is and what it costs, before anything is built, and the order in which its convolutions run.

The walks (`walk_page`, `walk_crop`) are written once: PyTorch trains along them (`model.vision`), NumPy infers along them
(`vision.inference`), each with operations of its own, and `convs` lists what they meet, from which costs are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import CONFIG_FILE, config_fields
from multiscale_transformer.validation import validated

VISION_TYPE = "multiscale_transformer_vision"
CHANNELS = 3  # red, green, blue
NAMED_CLASSES = 16  # of elements (`vision.elements.CLASSES`)
CROP_CHANNELS = CHANNELS + 1  # and where the element is
GEOMETRY = 6  # numbers that say where a crop was: centre, sides, and their logarithms
BOX_SIDES = 4
EPSILON = 1e-5  # that a norm adds to variances
STEM = 4  # pixels of a cell of the finest map
STRIDE = 8  # and of the map in which elements are found, that of the second stage

X = TypeVar("X")


class ConvShape(NamedTuple):
    """A convolution: channels in and out, side of its square kernel, stride, whether a norm follows, and cells that it makes.

    Where no norm follows there is a bias. `cells` counts one picture (of a crop: both views).
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int
    cells: int
    norm: bool = True

    @property
    def parameters(self) -> int:
        """Weights, and the gain and shift of the norm, or the bias."""
        return self.inputs * self.outputs * self.kernel**2 + self.outputs * (2 if self.norm else 1)

    @property
    def flops(self) -> int:
        """Of one picture; a multiply-add counts 2."""
        return 2 * self.inputs * self.outputs * self.kernel**2 * self.cells


class Operations(Protocol[X]):
    """What a walk needs of whoever computes."""

    def conv(self, name: str, x: X, *, relu: bool = True) -> X:
        """The convolution `name` of the plan, its norm, and a rectifier unless told otherwise."""

    def join(self, x: X, y: X) -> X:
        """relu(x + y)."""

    def upsample(self, x: X) -> X:
        """Each cell four times."""


class _Trunk(BaseModel):
    """A residual net whose maps halve from stage to stage; `widths` are their channels, `blocks` how many blocks each has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: tuple[int, ...]
    blocks: tuple[int, ...]

    @model_validator(mode="after")
    def _stages_agree(self) -> Any:
        if not self.widths or len(self.widths) != len(self.blocks) or min(self.widths) < 4 or min(self.blocks) < 0:
            raise ValueError("widths and blocks must list the same stages, each at least 4 channels wide")
        return self

    def _trunk(self, channels: int, kernel: int, stride: int, cells: int) -> Iterator[tuple[str, ConvShape]]:
        """The convolutions of the trunk; `cells` are those behind the stem."""
        yield "stem", ConvShape(channels, self.widths[0], kernel, stride, cells)
        for stage, (width, blocks) in enumerate(zip(self.widths, self.blocks, strict=True)):
            if stage:
                cells //= 4
                yield f"down{stage}", ConvShape(self.widths[stage - 1], width, 2, 2, cells)
            for block in range(blocks):
                for half in "ab":
                    yield f"stage{stage}_{block}{half}", ConvShape(width, width, 3, 1, cells)

    def walk_trunk(self, run: Operations[X], x: X) -> list[X]:
        """The maps of all stages, finest first."""
        maps = []
        x = run.conv("stem", x)
        for stage, blocks in enumerate(self.blocks):
            if stage:
                x = run.conv(f"down{stage}", x)
            for block in range(blocks):
                inner = run.conv(f"stage{stage}_{block}a", x)
                x = run.join(x, run.conv(f"stage{stage}_{block}b", inner, relu=False))
            maps.append(x)
        return maps


class CropConfig(_Trunk):
    """AXL-Vision-0.8M: two views of a box (itself, and its surroundings) to the class and states of the element in it, whether
    there is one, and where its sides are."""

    kind: Literal["crop"] = "crop"
    classes: int = Field(NAMED_CLASSES, ge=NAMED_CLASSES, le=NAMED_CLASSES)
    states: int = Field(2, ge=0)
    widths: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = (1, 1, 2)
    view: tuple[int, int] = (32, 64)  # rows and columns that the element is scaled to, and what is around it as well
    hidden: int = Field(128, ge=4)

    @model_validator(mode="after")
    def _views_halve(self) -> CropConfig:
        step = 2 ** len(self.widths)
        if any(side % step for side in self.view):
            raise ValueError(f"rows and columns of a view must be multiples of {step}")
        return self

    def convs(self) -> dict[str, ConvShape]:
        """All convolutions, by name. Both views pass the same ones."""
        rows, columns = self.view
        return dict(self._trunk(CROP_CHANNELS, 4, 2, 2 * rows * columns // 4))

    def linears(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the linear maps on top: of mean and largest of each channel of both views, and geometry.

        `heads` gives a logit a class and one a state; `box_heads` the logit that there is an element, and its sides.
        """
        summary = 4 * self.widths[-1] + GEOMETRY
        return {
            "hidden": (summary, self.hidden),
            "heads": (self.hidden, self.classes + self.states),
            "box_hidden": (summary, self.hidden),
            "box_heads": (self.hidden, 1 + BOX_SIDES),
        }

    def parameters(self) -> int:
        """Number of parameters."""
        linears = sum(inputs * outputs + outputs for inputs, outputs in self.linears().values())
        return sum(shape.parameters for shape in self.convs().values()) + linears

    def flops(self, *, training: bool = False) -> int:
        """Matrix-product FLOPs of an element (a multiply-add counts 2); training is three forwards."""
        linears = sum(2 * inputs * outputs for inputs, outputs in self.linears().values())
        return (sum(shape.flops for shape in self.convs().values()) + linears) * (3 if training else 1)


class PageConfig(_Trunk):
    """AXL-Vision-v2: a picture to proposals of boxes, by a map of their centres; a proposal to its class, or none, its states
    and its sides, by an AXL-Vision-0.8M that looks at each; and elements to their layout, by a byte transformer."""

    kind: Literal["page"] = "page"
    widths: tuple[int, ...] = (24, 48, 96, 208)
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    side: int = Field(384, ge=32)  # rows and columns of the picture
    head: int = Field(96, ge=4)
    namer: CropConfig = CropConfig()
    decoder: ModelConfig = ModelConfig(
        d_model=160, n_heads=5, d_ff=448, n_layers_per_scale=3, n_cross_attn_layers=0, downsample_factors=(1,), max_seq_len=512
    )

    @model_validator(mode="after")
    def _maps_halve(self) -> PageConfig:
        step = STEM * 2 ** (len(self.widths) - 1)
        if len(self.widths) < 2 or self.side % step:
            raise ValueError(f"there must be two stages or more, and side must be a multiple of {step}")
        if self.decoder.memory or self.decoder.word_layers or self.decoder.downsample_factors != (1,):
            raise ValueError("the decoder must be a plain byte transformer: one scale, no memory, no word_layers")
        return self

    @property
    def outputs(self) -> int:
        """Numbers for each cell: a logit of a centre, and the distances to the sides of the box."""
        return 1 + BOX_SIDES

    @property
    def cells(self) -> int:
        """Rows, and columns, of the map in which elements are found."""
        return self.side // STRIDE

    def convs(self) -> dict[str, ConvShape]:
        """All convolutions, by name."""
        convs = dict(self._trunk(CHANNELS, STEM, STEM, (self.side // STEM) ** 2))
        for stage in reversed(range(1, len(self.widths) - 1)):
            cells = (self.side // STEM) ** 2 // 4**stage
            convs[f"lateral{stage}"] = ConvShape(self.widths[stage + 1], self.widths[stage], 1, 1, cells // 4)
            convs[f"smooth{stage}"] = ConvShape(self.widths[stage], self.widths[stage], 3, 1, cells)
        convs["head"] = ConvShape(self.widths[1], self.head, 3, 1, self.cells**2)
        convs["heads"] = ConvShape(self.head, self.outputs, 1, 1, self.cells**2, norm=False)
        return convs

    def walk(self, run: Operations[X], picture: X) -> X:
        """The map of centres and boxes of a picture."""
        maps = self.walk_trunk(run, picture)
        x = maps.pop()
        for stage in reversed(range(1, len(maps))):
            x = run.upsample(run.conv(f"lateral{stage}", x, relu=False))
            x = run.conv(f"smooth{stage}", run.join(x, maps[stage]))
        return run.conv("heads", run.conv("head", x), relu=False)

    def parameters(self) -> int:
        """Number of parameters, those of the namer and the decoder among them."""
        return sum(shape.parameters for shape in self.convs().values()) + self.namer.parameters() + self.decoder.parameters()

    def flops(self, *, training: bool = False) -> int:
        """Matrix-product FLOPs of finding the boxes of a picture; an element's are `namer.flops`, a byte's of the layout
        `decoder.flops_per_byte`."""
        return sum(shape.flops for shape in self.convs().values()) * (3 if training else 1)


VisionConfig = CropConfig | PageConfig
KINDS: dict[str, type[CropConfig] | type[PageConfig]] = {"crop": CropConfig, "page": PageConfig}


def parse_vision_config(fields: Any, source: str) -> VisionConfig:
    """Validate `fields`; raises AxlError with one line naming `source`."""
    kind = fields.get("kind") if isinstance(fields, dict) else None
    if kind not in KINDS:
        raise AxlError(f"{source} is not a valid config of a vision model: its kind must be crop or page")
    return validated(KINDS[kind], fields, source)


def read_vision_config(folder: Path) -> VisionConfig:
    """The config of a vision checkpoint. Raises AxlError when the folder is none or the file is damaged."""
    fields = config_fields(folder)
    if fields.get("model_type") != VISION_TYPE:
        raise AxlError(f"{folder} is a model of text; give the folder of one that sees, as axl train AXL-Vision-v2 wrote it")
    known = KINDS.get(fields.get("kind", ""), CropConfig).model_fields  # what an earlier version wrote beside them is left out
    fields = {name: value for name, value in fields.items() if name in known}
    return parse_vision_config(fields, str(folder / CONFIG_FILE))


def sees(folder: Path) -> bool:
    """Whether a folder holds a vision model."""
    try:
        return config_fields(folder).get("model_type") == VISION_TYPE
    except AxlError:
        return False

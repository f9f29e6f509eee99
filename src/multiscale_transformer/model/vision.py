"""Nets that see: what an element of a screen is, and where elements are on a page.

Both are residual nets of dense 3 x 3 convolutions, which a CPU computes near its peak (depthwise ones reach a tenth of it),
with batch norms that inference folds into the weights. `CropNet` looks at two views of one element. `PageNet` finds the
centres of all elements at once, as in CenterNet (Zhou et al. 2019, arXiv 1904.07850) and TTFNet (Liu et al. 2019, arXiv
1909.00700). Those are proposals: a `CropNet` of its own looks at each, and says what it is, if anything, and where its sides
are, as the second stage of CenterNet2 does (Zhou et al. 2021, arXiv 2103.07461). A small `ByteTransformer` then writes the
layout. Checkpoints are folders as those of text models are.
"""

# Shape suffixes: B pictures, C channels, H rows, W columns, K classes, S states, G numbers of geometry, O outputs.

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.byte_transformer import ByteTransformer
from multiscale_transformer.model.checkpoint import TensorFile, save_tensors
from multiscale_transformer.model.folder import CONFIG_FILE, WEIGHTS_FILE
from multiscale_transformer.model.layers import Linear
from multiscale_transformer.model.vision_config import (
    EPSILON,
    VISION_TYPE,
    ConvShape,
    CropConfig,
    PageConfig,
    VisionConfig,
    read_vision_config,
)

MOMENTUM = 0.1  # share of a batch in what a norm has seen
RARE = -4.6  # where logits of what is rare begin: a probability of 1 %, so that a fresh net is not wrong in every cell


class Norm(nn.Module):
    """Batch norm (Ioffe & Szegedy 2015), whose state is four vectors and no count of batches."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Channels of mean 0 and variance 1 over the batch, or by what was seen while training; then gain and shift."""
        state = self.running_mean, self.running_var, self.weight, self.bias
        return F.batch_norm(x_BCHW, *state, self.training, MOMENTUM, EPSILON)


class Conv(Linear):
    """A convolution whose weight is a matrix (outputs, inputs * kernel * kernel): optimizers treat it as they treat one."""

    def __init__(self, shape: ConvShape) -> None:
        super().__init__(shape.inputs * shape.kernel**2, shape.outputs, bias=not shape.norm, orthogonal=shape.norm)
        self.shape = shape
        if shape.norm:
            self.norm = Norm(shape.outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        shape = self.shape
        pad = 0 if shape.kernel == shape.stride else (shape.kernel - 1) // 2
        weight = self.weight.view(shape.outputs, shape.inputs, shape.kernel, shape.kernel)
        y_BCHW = F.conv2d(x_BCHW, weight, self.bias, shape.stride, pad)
        return self.norm(y_BCHW) if shape.norm else y_BCHW


class _Net(nn.Module):
    """The operations of a walk in PyTorch."""

    compute_dtype = torch.float32

    def __init__(self, convs: dict[str, ConvShape]) -> None:
        super().__init__()
        self.convs = nn.ModuleDict({name: Conv(shape) for name, shape in convs.items()})

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def conv(self, name: str, x: Tensor, *, relu: bool = True) -> Tensor:
        """A convolution of the plan."""
        y: Tensor = self.convs[name](x)
        return F.relu(y) if relu else y

    def join(self, x: Tensor, y: Tensor) -> Tensor:
        """relu(x + y)."""
        return F.relu(x + y)

    def upsample(self, x: Tensor) -> Tensor:
        """Each cell four times."""
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Named(NamedTuple):
    """What a `CropNet` says of boxes: logits of classes and states, the logit that there is an element, and its sides.

    Sides are how far those of the element are from those of the box, in shares of its lengths (`vision.proposals`).
    """

    classes_BK: Tensor
    states_BS: Tensor
    there_B: Tensor
    deltas_B4: Tensor


class CropNet(_Net):
    """What stands in a box, from a view of it and one of its surroundings (AXL-Vision-0.8M, and the namer of v2)."""

    def __init__(self, config: CropConfig) -> None:
        super().__init__(config.convs())
        self.config = config
        linears = config.linears()
        self.hidden = Linear(*linears["hidden"], bias=True)
        self.heads = Linear(*linears["heads"], bias=True, orthogonal=False)
        self.box_hidden = Linear(*linears["box_hidden"], bias=True)
        self.box_heads = Linear(*linears["box_heads"], bias=True, orthogonal=False)
        for hidden, heads in ((self.hidden, self.heads), (self.box_hidden, self.box_heads)):
            for zero in (hidden.bias, heads.weight, heads.bias):
                nn.init.zeros_(zero)
        self._names_kept = False

    def forward(self, view_BCHW: Tensor, surroundings_BCHW: Tensor, geometry_BG: Tensor) -> Named:
        """What is in boxes whose views are given, (B, C, H, W) each, with the geometry of the boxes."""
        # In one batch: norms that saw one kind of view at a time would remember statistics that are those of neither.
        seen = self._summary(torch.cat((view_BCHW, surroundings_BCHW))).chunk(2)
        summary_BO = torch.cat([*seen, geometry_BG], 1)
        names_BO = self.heads(F.relu(self.hidden(summary_BO)))
        box_BO = self.box_heads(F.relu(self.box_hidden(summary_BO)))
        return Named(names_BO[:, : self.config.classes], names_BO[:, self.config.classes :], box_BO[:, 0], box_BO[:, 1:])

    def keep_names(self) -> None:
        """From now on learn only whether there is an element and where its sides are; names stay as they have been learnt."""
        self.requires_grad_(False)
        self.box_hidden.requires_grad_(True)
        self.box_heads.requires_grad_(True)
        self._names_kept = True
        self.eval()

    def train(self, mode: bool = True) -> CropNet:
        """As of any module; norms of a net whose names are kept stay as they are."""
        return super().train(mode and not self._names_kept)

    def _summary(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.config.walk_trunk(self, x_BCHW.contiguous(memory_format=torch.channels_last))[-1]
        return torch.cat((x_BCHW.mean((2, 3)), x_BCHW.amax((2, 3))), 1)


class PageNet(_Net):
    """Proposals of boxes, a net that names what is in them, and a byte transformer that writes their layout (AXL-Vision-v2)."""

    def __init__(self, config: PageConfig) -> None:
        super().__init__(config.convs())
        self.config = config
        self.namer = CropNet(config.namer)
        self.decoder = ByteTransformer(config.decoder)
        heads = self.convs["heads"]
        assert isinstance(heads, Conv)
        assert heads.bias is not None
        nn.init.normal_(heads.weight, std=0.01)
        nn.init.zeros_(heads.bias)
        nn.init.constant_(heads.bias[:1], RARE)

    def forward(self, picture_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of centres (B, H, W), and distances (B, 4, H, W) to the sides of the box.

        Distances are logarithms, in cells, from the middle of a cell to the left, upper, right and lower side.
        """
        out_BOHW = self.config.walk(self, picture_BCHW.contiguous(memory_format=torch.channels_last))
        return out_BOHW[:, 0], out_BOHW[:, 1:]


VisionNet = CropNet | PageNet


def build_vision(config: VisionConfig, *, seed: int | None = None) -> VisionNet:
    """A net with random weights, which `seed` decides."""
    if seed is not None:
        torch.manual_seed(seed % 2**63)
    return CropNet(config) if isinstance(config, CropConfig) else PageNet(config)


def save_vision(model: VisionNet, folder: Path, **extra: Any) -> None:
    """Write config and weights into `folder`, each atomically; `extra` are further fields of `config.json`."""
    save_tensors(folder / WEIGHTS_FILE, {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()})
    files.write_json(folder / CONFIG_FILE, {"model_type": VISION_TYPE, **extra, **model.config.model_dump(mode="json")})


def load_vision(folder: Path) -> VisionNet:
    """The net of a checkpoint folder, in evaluation mode.

    Raises AxlError when there is none, it is damaged, or its weights do not fit its config.
    """
    config = read_vision_config(folder)
    weights = TensorFile(folder / WEIGHTS_FILE)
    with torch.device("meta"):
        model = build_vision(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    given = {name: weights.shape(name) for name in weights}
    if expected != given:
        wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
        raise AxlError(f"{folder} does not fit its config.json ({len(wrong)} tensors differ, first {wrong[0]}); train it again")
    model.load_state_dict({name: weights[name].clone() for name in weights}, assign=True)
    return model.eval()


def normalised(pictures_BHWC: Tensor) -> Tensor:
    """Bytes (B, H, W, C) as the nets read them: (B, C, H, W) from -1 to 1."""
    return pictures_BHWC.permute(0, 3, 1, 2).float() / 127.5 - 1.0

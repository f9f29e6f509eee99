"""Nets that see, without PyTorch: weights of 8 bits, on the kernels of the compiled engine.

Batch norms are folded into the weights before those are rounded. The walks are those that PyTorch trains along
(`model.vision_config`); the decoder of layouts runs in the compiled engine as any byte transformer.
"""

# Shape suffixes: B pictures, H rows, W columns, C channels, K inputs of a patch, N outputs, I input channels.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.engine.engine import MAX_BATCH_TOKENS, Engine, Read
from multiscale_transformer.engine.weights import build_network, read_weights
from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.convolution import PATCHES, convolve
from multiscale_transformer.kernels.gemm_int8 import CHUNK, ROWS
from multiscale_transformer.kernels.quantized_linear import new_activations
from multiscale_transformer.memory.reader import no_features
from multiscale_transformer.model.vision_config import (
    EPSILON,
    ConvShape,
    CropConfig,
    PageConfig,
    VisionConfig,
    read_vision_config,
)
from multiscale_transformer.quantization.quantize import Packer
from multiscale_transformer.vision.crops import FloatBox, crops
from multiscale_transformer.vision.elements import CLASSES, STATES, Box, Element, Picture
from multiscale_transformer.vision.grounds import Grounds, grounds
from multiscale_transformer.vision.layout_decoding import LONGEST, drafted, write_line
from multiscale_transformer.vision.maps import MIN_SCORE, Found, Proposal, distinct, possible, proposals_in
from multiscale_transformer.vision.proposals import apply_deltas
from multiscale_transformer.vision.snapping import snapped

Floats = NDArray[np.float32]

BITS = 8
CACHE_BYTES = 4 << 20  # of the decoder: one short text at a time
CROPS_AT_ONCE = 16


class _Convs:
    """The operations of a walk on packed weights."""

    def __init__(self, shapes: dict[str, ConvShape], weights: dict[str, Floats]) -> None:
        self._shapes, packer = shapes, Packer()
        self._index: dict[str, int] = {}
        for name, shape in shapes.items():
            weight_NK, shift_N = _folded(f"convs.{name}", shape, weights)
            self._index[name] = packer.add(weight_NK, shift_N, BITS)
        self._packed = packer.packed()
        longest = max(shape.inputs * shape.kernel**2 for shape in shapes.values())
        self._patch_K = np.zeros(-(-longest // CHUNK) * CHUNK, np.float32)
        self._acts = new_activations(PATCHES, len(self._patch_K))
        self._rows_MN = {n: np.zeros((PATCHES, -(-n // ROWS) * ROWS), np.float32) for n in {s.outputs for s in shapes.values()}}

    def conv(self, name: str, x: Floats, *, relu: bool = True) -> Floats:
        """A convolution of the plan."""
        shape = self._shapes[name]
        pad = 0 if shape.kernel == shape.stride else (shape.kernel - 1) // 2
        rows, columns = ((side + 2 * pad - shape.kernel) // shape.stride + 1 for side in x.shape[1:3])
        out_BHWN = np.empty((len(x), rows, columns, shape.outputs), np.float32)
        room = self._acts, self._patch_K, self._rows_MN[shape.outputs]
        convolve(self._packed, self._index[name], x, shape.kernel, shape.stride, pad, *room, relu, out_BHWN)
        return out_BHWN

    def join(self, x: Floats, y: Floats) -> Floats:
        """relu(x + y)."""
        joined: Floats = np.maximum(x + y, np.float32(0.0))
        return joined

    def upsample(self, x: Floats) -> Floats:
        """Each cell four times."""
        return np.ascontiguousarray(x.repeat(2, 1).repeat(2, 2))


def _folded(name: str, shape: ConvShape, weights: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Weight (N, K) and shift (N,) of a convolution with its norm, inputs of a patch in the order row, column, channel."""
    weight_NIHW = weights[f"{name}.weight"].reshape(shape.outputs, shape.inputs, shape.kernel, shape.kernel)
    weight_NK = weight_NIHW.transpose(0, 2, 3, 1).reshape(shape.outputs, -1)
    if not shape.norm:
        return np.ascontiguousarray(weight_NK), weights[f"{name}.bias"]
    gain_N, shift_N, mean_N, variance_N = (
        weights[f"{name}.norm.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain_N = gain_N / np.sqrt(variance_N + np.float32(EPSILON))
    return np.ascontiguousarray(weight_NK * gain_N[:, None]), shift_N - mean_N * gain_N


class CropReader:
    """Elements from where they are, or may be (AXL-Vision-0.8M, and the namer of AXL-Vision-v2).

    Not safe for several threads at once.
    """

    def __init__(self, config: CropConfig, weights: dict[str, Floats]) -> None:
        self.config = config
        self._convs = _Convs(config.convs(), weights)
        self._linears = {name: (weights[f"{name}.weight"].T, weights[f"{name}.bias"]) for name in config.linears()}

    def elements(self, picture_HWC: Picture, boxes: Sequence[FloatBox]) -> list[Found]:
        """What stands in each of some boxes, in pixels of the picture, with how sure the net is."""
        found = []
        for box, logits_N in zip(boxes, self.outputs(picture_HWC, boxes), strict=True):
            likely_K = softmax(logits_N[: self.config.classes])
            kind = int(likely_K.argmax())
            x0, y0, x1, y1 = (round(edge) for edge in box)
            found.append(Found(Element(CLASSES[kind], (x0, y0, x1, y1), self._states(kind, logits_N)), float(likely_K[kind])))
        return found

    def detected(self, picture_HWC: Picture, proposed: Sequence[Proposal], seen: Grounds, min_score: float) -> list[Found]:
        """What the net takes for elements of what is proposed, those first of which both are sure, none within another.

        Their sides go where the net says, and on to what is drawn on the grounds that are `seen`.
        """
        found = []
        there_at = self.config.classes + self.config.states
        for proposal, logits_N in zip(proposed, self.outputs(picture_HWC, [one.box for one in proposed]), strict=True):
            there = float(1 / (1 + np.exp(-logits_N[there_at])))
            if there >= min_score:
                kind = int(logits_N[: self.config.classes].argmax())
                right = apply_deltas(proposal.box, logits_N[there_at + 1 :], max(picture_HWC.shape[:2]))
                element = Element(CLASSES[kind], right, self._states(kind, logits_N))
                found.append((proposal.score * there, Found(replace(element, box=snapped(element, seen)), there)))
        return distinct([one for _, one in sorted(found, key=lambda pair: -pair[0])])

    def outputs(self, picture_HWC: Picture, boxes: Sequence[FloatBox]) -> Iterator[Floats]:
        """What the net says (N,) of each box."""
        for first in range(0, len(boxes), CROPS_AT_ONCE):
            yield from self.logits(*crops(picture_HWC, boxes[first : first + CROPS_AT_ONCE], self.config))

    def logits(self, views: Floats, surroundings: Floats, geometry_BG: Floats) -> Floats:
        """Logits of classes, of states and of being there, and how far sides are off (B, N), of views (B, H, W, C)."""
        summary = np.concatenate([*map(self._summary, (views, surroundings)), geometry_BG], 1)
        return np.concatenate(
            [self._perceptron(summary, "hidden", "heads"), self._perceptron(summary, "box_hidden", "box_heads")], 1
        )

    def _perceptron(self, x_BK: Floats, hidden: str, heads: str) -> Floats:
        (weight, bias), (out_weight, out_bias) = self._linears[hidden], self._linears[heads]
        return np.maximum(x_BK @ weight + bias, 0) @ out_weight + out_bias  # type: ignore[no-any-return]

    def _summary(self, x_BHWC: Floats) -> Floats:
        x_BHWC = self.config.walk_trunk(self._convs, x_BHWC)[-1]
        return np.concatenate((x_BHWC.mean((1, 2)), x_BHWC.max((1, 2))), 1)

    def _states(self, kind: int, logits_N: Floats) -> tuple[str, ...]:
        logits = logits_N[self.config.classes : self.config.classes + self.config.states].tolist()
        return possible(CLASSES[kind], tuple(state for state, logit in zip(STATES, logits, strict=True) if logit > 0))


def softmax(logits_K: Floats) -> Floats:
    """Probabilities of logits."""
    likely_K = np.exp(logits_K - logits_K.max())
    return likely_K / likely_K.sum()  # type: ignore[no-any-return]


def _below(prefix: str, weights: dict[str, Floats]) -> dict[str, Floats]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


class PageReader:
    """Elements of a page, and their layout (AXL-Vision-v2). Not safe for several threads at once."""

    def __init__(self, config: PageConfig, weights: dict[str, Floats]) -> None:
        if config.decoder.max_seq_len < LONGEST:
            raise ValueError(f"its decoder reads {config.decoder.max_seq_len} bytes, and layouts take up to {LONGEST}")
        self.config = config
        self._convs = _Convs(config.convs(), weights)
        self._namer = CropReader(config.namer, _below("namer.", weights))
        network = build_network(config.decoder, _below("decoder.", weights), BITS)
        self._decoder = Engine(config.decoder, network, cache_bytes=CACHE_BYTES)

    def maps(self, picture_HWC: Picture) -> tuple[Floats, Floats]:
        """Logits of centres (H, W), and logarithms of distances to sides (4, H, W), of a picture of `side`."""
        side = self.config.side
        if picture_HWC.shape != (side, side, 3):
            raise AxlError(f"the net reads pictures of {side} x {side}, not {picture_HWC.shape[1]} x {picture_HWC.shape[0]}")
        x_BHWC = picture_HWC[None].astype(np.float32) / np.float32(127.5) - np.float32(1.0)
        out_NHW = self.config.walk(self._convs, x_BHWC)[0].transpose(2, 0, 1)
        return out_NHW[0], out_NHW[1:]

    def elements(self, picture_HWC: Picture, min_score: float = MIN_SCORE) -> list[Found]:
        """The elements on a picture of `side`, those first of which both nets are sure. Raises AxlError for another size.

        They are what the second net makes of what the map of centres proposes.
        """
        return self._namer.detected(picture_HWC, proposals_in(*self.maps(picture_HWC)), grounds(picture_HWC), min_score)

    def layout(self, elements: Sequence[Element], frames: Sequence[Box | None] | None = None) -> str:
        """The likeliest line of the layout of elements, in which each of them stands once; nothing for none.

        `frames` are the cards and bars in which they stand (`xy_cut.frames_of`), none of them where it is not given.
        """
        sequence = self._decoder.new_sequence([])

        def read(ids: list[int]) -> Floats:
            for first in range(0, len(ids), MAX_BATCH_TOKENS):
                part = ids[first : first + MAX_BATCH_TOKENS]
                (logits_NV,) = self._decoder.read([Read(sequence, part, no_features(len(part)))])
            last_V: Floats = logits_NV[-1]
            return last_V

        try:
            return write_line(read, drafted(elements, frames or [None] * len(elements)), self.config.side)
        finally:
            sequence.close()


VisionReader = CropReader | PageReader


def load_reader(folder: Path) -> VisionReader:
    """The reader of a checkpoint folder. Raises AxlError when there is none, or its weights do not fit its config."""
    config = read_vision_config(folder)
    weights = read_weights(folder)
    return build_reader(config, weights, str(folder))


def build_reader(config: VisionConfig, weights: dict[str, Floats], source: str) -> VisionReader:
    """The reader of weights that lie in `source`. Raises AxlError when they do not fit the config."""
    try:
        return CropReader(config, weights) if isinstance(config, CropConfig) else PageReader(config, weights)
    except (KeyError, ValueError) as error:
        raise AxlError(f"{source} does not fit its config.json ({error}); train it again") from error

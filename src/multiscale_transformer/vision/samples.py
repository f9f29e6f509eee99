"""What nets that see learn from: pages in other colours, crops of their elements, and layouts with a few elements less.

A batch is a function of the seed and the step, as windows of text are, so a resumed run reads what the killed one would have.
"""

# Shape suffixes: B pictures, C channels, H rows, W columns, K classes, S states, G numbers of geometry, T ids of a text.

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vision import normalised
from multiscale_transformer.model.vision_config import BOX_SIDES, CropConfig, PageConfig
from multiscale_transformer.model.vocabulary import EOS
from multiscale_transformer.vision.augment import recoloured, zoomed
from multiscale_transformer.vision.crops import FloatBox, crops
from multiscale_transformer.vision.dataset import numbers, read_manifest, read_page, read_record
from multiscale_transformer.vision.elements import CLASSES, SIDE, STATES, Box, Element, Picture, area
from multiscale_transformer.vision.grounds import grounds
from multiscale_transformer.vision.layout import Group, Node, line_of, normal, parse
from multiscale_transformer.vision.layout_decoding import drafted, prompt
from multiscale_transformer.vision.maps import targets
from multiscale_transformer.vision.proposals import BACKGROUND, deltas_to, element_at
from multiscale_transformer.vision.xy_cut import frames_of

PAGES, TEXTS, CROP_PAGES = 8, 16, 16  # of a step: pictures and layouts of a page net, pictures of a crop net
TRUE, MISPLACED = 4, 2  # crops of a picture for a crop net: of elements, and of boxes that hold one badly or none
PROPOSED = 4  # crops of a picture for a namer: as many of elements, and of what the net itself proposes
SHIFT = 2  # pixels by which sides of boxes are off now and then, as found ones are
OFF, VERY_OFF = 0.03, 0.25  # of its length: how far the side of a box is off
FAR_OFF, BOTH = 0.5, 0.25  # shares of misplaced boxes: far off, around two elements; the others are anywhere
LEFT_OUT = 0.3  # share of layouts without one of their elements
IGNORED = -100  # a target that is none


class Drawn(NamedTuple):
    """A page as it is learnt from once, and the seed of what is drawn from it."""

    picture_HWC: Picture
    elements: tuple[Element, ...]
    seed: tuple[int, ...]


class CropBatch(NamedTuple):
    """Views of boxes with the class and states of what is in them, and how far their sides are off (`proposals`)."""

    views_BCHW: Tensor
    surroundings_BCHW: Tensor
    geometry_BG: Tensor
    classes_B: Tensor
    states_BS: Tensor
    deltas_B4: Tensor


class PageBatch(NamedTuple):
    """Pages with the maps of their elements, and texts of layouts with the ids to be written, IGNORED in prompts."""

    drawn: list[Drawn]
    pictures_BCHW: Tensor
    centres_BHW: Tensor
    sides_B4HW: Tensor
    weights_BHW: Tensor
    ids_BT: Tensor
    next_BT: Tensor


class TrainPages:
    """The pages of a folder to learn from. Raises AxlError where it holds none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        records = [(number, read_record(folder, number)) for number in numbers(folder)]
        self.records = [(number, record) for number, record in records if record.split == "train" and record.elements]
        self._frames: dict[int, tuple[Box | None, ...]] = {}
        self.held_out = sum(record.split != "train" for _, record in records)
        if not self.records:
            raise AxlError(f"{folder} holds no pages to learn from; make some with `axl data make vision`")

        digest = hashlib.sha256()
        for number, record in self.records:
            digest.update(f"{number} {record.model_dump_json()}\n".encode())
        self.sha256 = digest.hexdigest()
        seen = {record.library for _, record in self.records}
        self.licences = {name: entry.licence for name, entry in read_manifest(folder).libraries.items() if name in seen}

    def __len__(self) -> int:
        return len(self.records)

    @property
    def picture_bytes(self) -> int:
        """Bytes of all pictures, unpacked."""
        return len(self) * SIDE * SIDE * 3

    def drawn(self, seed: int, step: int, count: int) -> Iterator[Drawn]:
        """Pictures of a step with their elements, in other colours and sizes: each page once before any comes again."""
        for place in range(step * count, (step + 1) * count):
            index = self._index(seed, place)
            page = read_page(self.folder, self.records[index][0])
            rng = np.random.default_rng((seed % 2**64, 1, place))
            picture_HWC, elements = zoomed(page.picture_HWC, page.elements, rng)
            yield Drawn(recoloured(picture_HWC, rng), elements, (seed % 2**64, 3, place))

    def frames(self, index: int) -> tuple[Box | None, ...]:
        """The frames in which the elements of a page stand, from its picture, which is looked at once."""
        if index not in self._frames:
            page = read_page(self.folder, self.records[index][0])
            self._frames[index] = tuple(frames_of(page.elements, grounds(page.picture_HWC)))
        return self._frames[index]

    def _index(self, seed: int, place: int) -> int:
        epoch, rest = divmod(place, len(self.records))
        return int(np.random.default_rng((seed % 2**64, 0, epoch)).permutation(len(self.records))[rest])


def page_batch(pages: TrainPages, config: PageConfig, seed: int, step: int) -> PageBatch:
    """The batch of a step for `PageNet`."""
    drawn = list(pages.drawn(seed, step, PAGES))
    maps = [targets(elements, config.cells) for _, elements, _ in drawn]
    centres, sides, weights = (torch.from_numpy(np.stack(each)) for each in zip(*maps, strict=True))
    ids_BT, next_BT = _texts(pages, config, seed, step)
    pictures_BCHW = normalised(torch.from_numpy(np.stack([picture_HWC for picture_HWC, _, _ in drawn])))
    return PageBatch(drawn, pictures_BCHW, centres, sides, weights, ids_BT, next_BT)


def _texts(pages: TrainPages, config: PageConfig, seed: int, step: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng((seed % 2**64, 2, step))
    pairs = []
    for index in rng.integers(len(pages), size=TEXTS).tolist():
        record = pages.records[index][1]
        elements = [Element(one.kind, _jittered(one.box, rng), one.states) for one in record.elements]
        frames, line = list(pages.frames(index)), record.layout
        if rng.random() < LEFT_OUT and len(elements) > 1:
            gone = int(rng.integers(len(elements)))
            elements.pop(gone)
            frames.pop(gone)
            line = without(line, gone)
        pairs.append((prompt(drafted(elements, frames), SIDE), [*line.encode(), EOS]))
    longest = min(config.decoder.max_seq_len, max(len(before) + len(after) for before, after in pairs) - 1)
    ids_BT = torch.full((TEXTS, longest), EOS)
    next_BT = torch.full((TEXTS, longest), IGNORED)
    for row, (before, after) in enumerate(pairs):
        text = torch.tensor([*before, *after])[: longest + 1]
        ids_BT[row, : len(text) - 1] = text[:-1]
        next_BT[row, len(before) - 1 : len(text) - 1] = text[len(before) :]
    return ids_BT, next_BT


def without(line: str, gone: int) -> str:
    """The layout without its element number `gone`."""
    count = -1

    def kept(node: Node) -> Node | None:
        nonlocal count
        if isinstance(node, Group):
            return Group(node.way, tuple(child for child in map(kept, node.children) if child is not None))
        count += 1
        return None if count == gone else node

    tree = kept(parse(line))
    tree = normal(tree) if tree is not None else None
    return line_of(tree if isinstance(tree, Group) and tree.way == "column" else Group("column", (tree,) if tree else ()))


def _jittered(box: Box, rng: np.random.Generator) -> Box:
    x0, y0, x1, y1 = (edge + int(off) for edge, off in zip(box, rng.integers(-SHIFT, SHIFT + 1, 4), strict=True))
    return max(0, x0), max(0, y0), max(x0 + 1, x1), max(y0 + 1, y1)


def crop_batch(pages: TrainPages, config: CropConfig, seed: int, step: int) -> CropBatch:
    """The batch of a step for `CropNet`."""
    boxes = []
    for page in pages.drawn(seed, step, CROP_PAGES):
        rng = np.random.default_rng(page.seed)
        boxes.append((page, [*_some(page, TRUE, rng), *_misplaced(page, MISPLACED, rng)]))
    return _crops(boxes, config)


def proposal_batch(drawn: Sequence[Drawn], proposed: Sequence[Sequence[Box]], config: CropConfig) -> CropBatch:
    """Elements of pages, and some of what a net proposes on each: elements, too, or background."""
    boxes = []
    for page, found in zip(drawn, proposed, strict=True):
        rng = np.random.default_rng(page.seed)
        boxes.append((page, [*_some(page, PROPOSED, rng), *(found[index] for index in _drawn_from(len(found), PROPOSED, rng))]))
    return _crops(boxes, config)


def _some(page: Drawn, most: int, rng: np.random.Generator) -> list[FloatBox]:
    """The boxes of at most so many elements of a page, each a little off."""
    shown = [element for element in page.elements if area(element.box)]
    return [_moved(shown[index].box, rng) for index in _drawn_from(len(shown), most, rng)]


def _drawn_from(count: int, most: int, rng: np.random.Generator) -> list[int]:
    """At most so many numbers below `count`, each once."""
    return rng.choice(count, min(count, most), replace=False).tolist() if count else []


def _crops(boxes: Iterable[tuple[Drawn, Sequence[FloatBox]]], config: CropConfig) -> CropBatch:
    """Views of boxes of pages, with what is in each."""
    parts = []
    kinds: list[int] = []
    states: list[list[float]] = []
    deltas: list[tuple[float, ...]] = []
    for page, chosen in boxes:
        parts.append(crops(page.picture_HWC, chosen, config))
        for box in chosen:
            element = element_at(box, page.elements)
            kinds.append(CLASSES.index(element.kind) if element else BACKGROUND)
            states.append([float(element is not None and state in element.states) for state in STATES])
            deltas.append(deltas_to(box, element.box) if element else (0.0,) * BOX_SIDES)
    views, windows, geometry_BG = (torch.from_numpy(np.concatenate(each)) for each in zip(*parts, strict=True))
    labels = torch.tensor(kinds), torch.tensor(states), torch.tensor(deltas, dtype=torch.float32)
    return CropBatch(views.permute(0, 3, 1, 2), windows.permute(0, 3, 1, 2), geometry_BG, *labels)


def _misplaced(page: Drawn, count: int, rng: np.random.Generator) -> list[FloatBox]:
    """Boxes as finders of elements get them wrong: far off, around two elements, or anywhere."""
    there = [element.box for element in page.elements if area(element.box)]
    found = []
    for number in rng.integers(len(there), size=count).tolist() if there else ():
        box = there[number]
        way = rng.random()
        if way < FAR_OFF:
            found.append(_moved(box, rng, VERY_OFF))
        elif way < FAR_OFF + BOTH:
            x0, y0, x1, y1 = there[min(number + 1, len(there) - 1)]
            found.append(_moved((min(x0, box[0]), min(y0, box[1]), max(x1, box[2]), max(y1, box[3])), rng))
        else:
            x, y = rng.uniform(0, SIDE - 8, 2).tolist()
            found.append((x, y, min(SIDE, x + box[2] - box[0]), min(SIDE, y + box[3] - box[1])))
    return found


def _moved(box: Box, rng: np.random.Generator, share: float = OFF) -> FloatBox:
    """A box whose sides are off by about a share of their lengths."""
    x0, y0, x1, y1 = box
    off = rng.normal(0, 1, 4) * np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0]) * share
    left, top = x0 + off[0], y0 + off[1]
    return left, top, max(left + 1.0, x1 + off[2]), max(top + 1.0, y1 + off[3])

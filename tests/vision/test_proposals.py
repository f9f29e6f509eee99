"""Proposals of boxes: what each is, how far its sides are off, and what becomes of it where elements are found."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from multiscale_transformer.model.vision import CropNet, build_vision
from multiscale_transformer.vision.elements import CLASSES, SIDE, Box, Element, Picture, area, overlap
from multiscale_transformer.vision.inference import PageReader, build_reader
from multiscale_transformer.vision.losses import crop_loss
from multiscale_transformer.vision.maps import proposals_in
from multiscale_transformer.vision.proposals import BACKGROUND, MAX_DELTA, MIN_OVERLAP, apply_deltas, deltas_to, element_at
from multiscale_transformer.vision.samples import Drawn, proposal_batch
from vision import drawn, small

edges = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 84), st.integers(1, 84))
boxes = edges.map(lambda each: (each[0], each[1], each[0] + each[2], each[1] + each[3]))
shifts = st.tuples(*[st.integers(-12, 12)] * 4)


def shifted(box: Box, by: Box) -> Box:
    x0, y0, x1, y1 = (min(max(edge + each, 0), SIDE) for edge, each in zip(box, by, strict=True))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def page(seed: int) -> tuple[Picture, tuple[Element, ...]]:
    raw, record = drawn.page(seed)
    with Image.open(io.BytesIO(raw)) as picture:
        return np.array(picture.convert("RGB")), tuple(Element(one.kind, one.box, one.states) for one in record.elements)


@given(boxes, boxes | st.none(), shifts)
def test_a_box_is_moved_to_another_that_is_not_too_far(box: Box, other: Box | None, by: Box) -> None:
    wanted = other or shifted(box, by)
    deltas = deltas_to(box, wanted)
    moved = apply_deltas(box, np.array(deltas, np.float32), SIDE)
    if max(map(abs, deltas)) <= MAX_DELTA:
        assert moved == wanted
    assert min(moved) >= 0
    assert max(moved) <= SIDE
    assert moved[0] <= moved[2]
    assert moved[1] <= moved[3]


@given(boxes, st.lists(boxes, max_size=3), st.lists(shifts, max_size=3))
def test_a_proposal_is_the_element_that_it_overlaps_most_or_none(box: Box, far: list[Box], by: list[Box]) -> None:
    others = far + [shifted(box, each) for each in by]
    there = [Element("text", other) for other in others]
    found = element_at(box, there)
    best = max((overlap(box, other) for other in others), default=0.0)
    assert (found is None) == (best < MIN_OVERLAP)
    assert found is None or overlap(box, found.box) == best


@pytest.mark.parametrize("seed", range(3))
def test_what_is_proposed_is_labelled_by_what_is_there(seed: int) -> None:
    picture_HWC, there = page(seed)
    seen = Drawn(picture_HWC, there, (seed,))
    x0, y0, x1, y1 = max(there, key=lambda one: area(one.box)).box
    nowhere = next((x, y, x + 9, y + 9) for x in range(370) for y in range(370) if not element_at((x, y, x + 9, y + 9), there))
    batch = proposal_batch([seen], [[nowhere, (x0, y0, x1 + 2, y1)]], small.CROP)
    kinds = batch.classes_B.tolist()
    assert kinds.count(BACKGROUND) == 1
    assert {CLASSES[kind] for kind in kinds if kind != BACKGROUND} <= {one.kind for one in there}
    at = kinds.index(BACKGROUND)
    assert not batch.states_BS[at].any()
    assert not batch.deltas_B4[at].any()
    assert any(torch.allclose(deltas[2] * (x1 + 2 - x0), torch.tensor(-2.0)) for deltas in batch.deltas_B4)


def test_states_that_a_class_may_not_have_teach_nothing() -> None:
    picture_HWC, there = page(1)
    seen = Drawn(picture_HWC, (Element("text", there[0].box), Element("button", there[-1].box)), (0,))
    batch = proposal_batch([seen], [[]], small.CROP)
    model = build_vision(small.CROP, seed=0).eval()
    assert isinstance(model, CropNet)
    torch.nn.init.normal_(model.heads.weight, std=0.1)
    loss = crop_loss(model, batch)
    for kind, state, counts in (("text", 0, False), ("text", 1, False), ("button", 0, False), ("button", 1, True)):
        states_BS = batch.states_BS.clone()
        states_BS[batch.classes_B == CLASSES.index(kind), state] = 1.0
        assert (crop_loss(model, batch._replace(states_BS=states_BS)) != loss) == counts


def test_states_and_sides_of_what_is_nothing_teach_nothing() -> None:
    picture_HWC, there = page(1)
    batch = proposal_batch([Drawn(picture_HWC, there, (0,))], [[(0, 0, 3, 3)]], small.CROP)
    none_B = batch.classes_B == BACKGROUND
    assert none_B.any()
    model = build_vision(small.CROP, seed=0).eval()
    assert isinstance(model, CropNet)
    torch.nn.init.normal_(model.heads.weight, std=0.1)
    torch.nn.init.normal_(model.box_heads.weight, std=0.1)
    other = batch._replace(
        states_BS=torch.where(none_B[:, None], 1.0, batch.states_BS),
        deltas_B4=torch.where(none_B[:, None], 9.0, batch.deltas_B4),
    )
    assert crop_loss(model, other) == crop_loss(model, batch)
    assert crop_loss(model, batch._replace(deltas_B4=batch.deltas_B4 + 1)) > crop_loss(model, batch)


@pytest.mark.parametrize("refused", [True, False])
def test_what_is_not_there_is_no_element(refused: bool) -> None:
    model = build_vision(small.PAGE, seed=4).eval()
    weights = {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}
    weights["convs.heads.bias"][0] = 0.0  # a centre is likely everywhere
    weights["namer.box_heads.bias"][0] = -9.0 if refused else 9.0
    reader = build_reader(small.PAGE, weights, "here")
    assert isinstance(reader, PageReader)
    picture_HWC, _ = page(2)
    assert proposals_in(*reader.maps(picture_HWC))
    assert bool(reader.elements(picture_HWC)) != refused

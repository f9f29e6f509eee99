"""What nets that see are wrong by: centres, boxes, states and layouts of pages, classes and states of crops."""

# Shape suffixes: B pictures, K classes, S states, H rows, W columns, N cells near a centre, T ids of a text.

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from multiscale_transformer.model.vision import CropNet, PageNet
from multiscale_transformer.vision.elements import CLASSES, STATES
from multiscale_transformer.vision.maps import possible, proposals_in
from multiscale_transformer.vision.proposals import BACKGROUND
from multiscale_transformer.vision.samples import IGNORED, CropBatch, PageBatch, proposal_batch

BOX_WEIGHT, LENGTH_WEIGHT, STATE_WEIGHT, TEXT_WEIGHT = 4.0, 0.5, 0.5, 1.0
SMOOTHING = 0.05  # of the labels of crops
DELTA_WEIGHT, DELTA_BETA = 20.0, 0.02  # of sides that are off; below the second one, a share of a length, squares count
LARGEST_LOG = 5.0  # of a distance in cells
_MAY_HAVE_KS = torch.tensor([[state in possible(kind, STATES) for state in STATES] for kind in CLASSES])


def page_loss(model: PageNet, batch: PageBatch) -> Tensor:
    """The sum of what `PageNet` is wrong by in centres, boxes, names and layouts, each a mean over elements or bytes."""
    centres_BHW, sides_B4HW = model(batch.pictures_BCHW)
    near_BHW = batch.weights_BHW > 0
    weights_N = batch.weights_BHW[near_BHW]
    sides_N4, wanted_N4 = (each.permute(0, 2, 3, 1)[near_BHW] for each in (sides_B4HW, batch.sides_B4HW))
    boxes_N = BOX_WEIGHT * (1 - _overlap(sides_N4, wanted_N4)) + LENGTH_WEIGHT * (sides_N4 - wanted_N4).abs().mean(1)
    boxes = (weights_N * boxes_N).sum() / weights_N.sum().clamp_min(1.0)
    logits_BTV = model.decoder(batch.ids_BT)
    text = F.cross_entropy(logits_BTV.flatten(0, 1), batch.next_BT.flatten(), ignore_index=IGNORED)
    named = crop_loss(model.namer, _proposals(model, batch, centres_BHW, sides_B4HW))
    return _focal(centres_BHW, batch.centres_BHW) + boxes + named + TEXT_WEIGHT * text


def _proposals(model: PageNet, batch: PageBatch, centres_BHW: Tensor, sides_B4HW: Tensor) -> CropBatch:
    """What is to be named: elements, and what the net itself takes for elements."""
    maps = zip(centres_BHW.detach().numpy(), sides_B4HW.detach().numpy(), strict=True)
    proposed = [[proposal.box for proposal in proposals_in(*each)] for each in maps]
    return proposal_batch(batch.drawn, proposed, model.config.namer)


def _focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """The focal loss of CenterNet (arXiv 1904.07850): cells close to a centre are hardly blamed for being taken for one."""
    likely = logits.sigmoid()
    centre = wanted == 1
    hit = (1 - likely).square() * F.logsigmoid(logits)
    missed = (1 - wanted).pow(4) * likely.square() * F.logsigmoid(-logits)
    return -torch.where(centre, hit, missed).sum() / centre.sum().clamp_min(1)


def _overlap(sides_N4: Tensor, wanted_N4: Tensor) -> Tensor:
    """IoU (N,) of boxes around the same point, from the logarithms of the distances to their sides."""
    sides_N4, wanted_N4 = sides_N4.clamp(-LARGEST_LOG, LARGEST_LOG).exp(), wanted_N4.exp()
    least_N4 = torch.minimum(sides_N4, wanted_N4)
    shared, one, other = ((each[:, 0] + each[:, 2]) * (each[:, 1] + each[:, 3]) for each in (least_N4, sides_N4, wanted_N4))
    return shared / (one + other - shared)


def crop_loss(model: CropNet, batch: CropBatch) -> Tensor:
    """What `CropNet` is wrong by in whether there are elements; where there are, in sides, classes and states.

    Each is a mean over what it is of; states are of classes that may have them.
    """
    named = model(batch.views_BCHW, batch.surroundings_BCHW, batch.geometry_BG)
    there_B = batch.classes_B != BACKGROUND
    wrong = F.binary_cross_entropy_with_logits(named.there_B, there_B.float())
    if not there_B.any():
        return wrong
    off = F.smooth_l1_loss(named.deltas_B4[there_B], batch.deltas_B4[there_B], beta=DELTA_BETA)
    wrong = wrong + DELTA_WEIGHT * off
    wrong = wrong + F.cross_entropy(named.classes_BK[there_B], batch.classes_B[there_B], label_smoothing=SMOOTHING)
    may_BS = _MAY_HAVE_KS[batch.classes_B] & there_B[:, None]
    if may_BS.any():
        wrong = wrong + STATE_WEIGHT * F.binary_cross_entropy_with_logits(named.states_BS[may_BS], batch.states_BS[may_BS])
    return wrong

"""The loss of a training window: every byte counts once, and the middle of a fill-in-the-middle (FIM) window several times.

A middle is a few bytes of a window and its end a single id, so without a weight a model reads megabytes before it knows where a
middle ends. Within a rearranged window EOS can come only in the middle; at its other places EOS is taken out of the
distribution. A prompt puts the prefix before the middle without a mark between (`data.fim`), so the model cannot see where the
cursor is: it learns how likely the end is for a text behind the cursor, which is the only place where it will be asked.
"""

# Shape suffixes: B rows, T targets of a window, V vocabulary.

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from multiscale_transformer.data.fim import BEFORE_CURSOR, MIDDLE, PLAIN
from multiscale_transformer.data.stream import Windows
from multiscale_transformer.model.vocabulary import EOS


@dataclass(frozen=True)
class Targets:
    """What windows predict: ids, what each of them counts, and where EOS is impossible; None where all bytes count alike."""

    ids_BT: Tensor
    weight_BT: Tensor | None = None
    endless_BT: Tensor | None = None

    def dense(self) -> Targets:
        """The same with all parts, so that every batch is computed by the same operations (torch.compile)."""
        if self.weight_BT is not None:
            return self
        return Targets(self.ids_BT, torch.ones(self.ids_BT.shape), torch.zeros(self.ids_BT.shape, dtype=torch.bool))

    def rows(self, where: slice) -> Targets:
        """Those of some windows."""
        if self.weight_BT is None or self.endless_BT is None:
            return Targets(self.ids_BT[where])
        return Targets(self.ids_BT[where], self.weight_BT[where], self.endless_BT[where])


def targets_of(windows: Windows, middle_weight: float) -> Targets:
    """What `windows` predict; a byte of a middle, or the end of it, counts `middle_weight` times. Weights have the mean 1."""
    ids_BT = torch.from_numpy(windows.ids_BT[:, 1:])
    parts_BT = torch.from_numpy(windows.parts_BT[:, 1:])
    if not (parts_BT != PLAIN).any():
        return Targets(ids_BT)
    weight_BT = torch.ones(ids_BT.shape).masked_fill_(parts_BT == MIDDLE, middle_weight)
    return Targets(ids_BT, weight_BT / weight_BT.mean(), parts_BT == BEFORE_CURSOR)


def weighted_loss(logits_BTV: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """The mean loss in nats per byte as it is learned from, and as it is shown: without weights."""
    if targets.weight_BT is None or targets.endless_BT is None:
        loss = F.cross_entropy(logits_BTV.flatten(0, 1), targets.ids_BT.flatten())
        return loss, loss
    impossible_BTV = (torch.arange(logits_BTV.shape[-1], device=logits_BTV.device) == EOS) & targets.endless_BT[..., None]
    logits_BTV = logits_BTV.masked_fill(impossible_BTV, -math.inf)
    losses = F.cross_entropy(logits_BTV.flatten(0, 1), targets.ids_BT.flatten(), reduction="none")
    return (losses * targets.weight_BT.flatten()).mean(), losses.mean().detach()

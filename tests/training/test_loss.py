import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from multiscale_transformer.data.fim import fill_in_the_middle
from multiscale_transformer.data.stream import Windows
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, VOCAB_SIZE
from multiscale_transformer.training.loss import targets_of, weighted_loss


def windows(*texts: bytes, rearranged: bool = True, seed: int = 0) -> Windows:
    rng = np.random.default_rng(seed)
    rows = [(np.array([BOS, *text]), (0, 0, 0)) for text in texts]
    rows = [fill_in_the_middle(ids, rng) if rearranged else (ids, span) for ids, span in rows]
    return Windows(np.stack([ids for ids, _ in rows]), np.array([span for _, span in rows], np.int64))


def logits(batch: Windows, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = batch.ids_BT.shape
    return torch.randn(shape[0], shape[1] - 1, VOCAB_SIZE, generator=generator)


def test_plain_windows_have_the_plain_loss() -> None:
    batch = windows(b"abcdefgh", b"ijklmnop", rearranged=False)
    targets = targets_of(batch, 4.0)
    assert targets.weight_BT is None
    learned, shown = weighted_loss(logits(batch), targets)
    assert learned is shown
    torch.testing.assert_close(shown, F.cross_entropy(logits(batch).flatten(0, 1), targets.ids_BT.flatten()))


@given(st.integers(0, 200), st.floats(1.0, 16.0))
def test_only_the_middle_and_its_end_count_more(seed: int, weight: float) -> None:
    batch = windows(b"def f(x):\n    return x + 1\n\n", seed=seed)
    assume(batch.spans_B3.any())  # there was room to rearrange
    targets = targets_of(batch, weight)
    assert targets.weight_BT is not None
    relative_T = targets.weight_BT[0] / targets.weight_BT[0].min()
    ids = batch.ids_BT[0].tolist()
    end, middle_mark = ids.index(EOS), ids.index(FIM_MIDDLE)
    heavy = [t + 1 for t, share in enumerate(relative_T.tolist()) if share > 1.0 + 1e-4]
    if weight > 1.01:
        assert heavy == list(range(heavy[0], end + 1)), "a middle is one stretch, and its end belongs to it"
        assert heavy[0] > middle_mark
        torch.testing.assert_close(relative_T.max().item(), weight, rtol=1e-4, atol=0.0)
    torch.testing.assert_close(targets.weight_BT.mean().item(), 1.0, rtol=1e-5, atol=0.0)


@given(st.integers(0, 200))
def test_the_end_is_possible_only_behind_the_cursor(seed: int) -> None:
    batch = windows(b"def f(x):\n    return x + 1\n\n", seed=seed)
    assume(batch.spans_B3.any())
    targets = targets_of(batch, 3.0)
    assert targets.endless_BT is not None
    begin, middle, _ = batch.spans_B3[0]
    endless = [t + 1 for t, closed in enumerate(targets.endless_BT[0].tolist()) if closed]
    assert endless == list(range(begin + 1, middle))
    assert EOS not in batch.ids_BT[0, begin + 1 : middle].tolist()
    # A net that always cries "end" is not punished before the cursor, and is behind it.
    crying = logits(batch)
    crying[..., EOS] += 100.0
    calm = F.cross_entropy(logits(batch)[0, begin : middle - 1, :EOS], targets.ids_BT[0, begin : middle - 1])
    impossible_TV = crying[0].clone()
    impossible_TV[targets.endless_BT[0], EOS] = -math.inf
    losses_T = F.cross_entropy(impossible_TV, targets.ids_BT[0], reduction="none")
    torch.testing.assert_close(losses_T[begin : middle - 1].mean(), calm)
    learned, shown = weighted_loss(crying, targets)
    assert targets.weight_BT is not None
    torch.testing.assert_close(learned, (losses_T * targets.weight_BT[0]).mean())
    torch.testing.assert_close(shown, losses_T.mean())
    assert learned.isfinite()


def test_rows_are_those_of_all_parts() -> None:
    targets = targets_of(windows(b"a = 1\nb = 2\nc = 3\n", b"d = 4\ne = 5\nf = 6\n"), 2.0)
    part = targets.rows(slice(1, 2))
    assert targets.weight_BT is not None
    assert part.weight_BT is not None
    torch.testing.assert_close(part.weight_BT, targets.weight_BT[1:])
    assert part.ids_BT.shape == (1, targets.ids_BT.shape[1])


@pytest.mark.parametrize("mark", [FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE])
def test_marks_are_learned_as_all_else(mark: int) -> None:
    targets = targets_of(windows(b"a = 1\nb = 2\nc = 3\n"), 5.0)
    assert targets.weight_BT is not None
    (place,) = (targets.ids_BT[0] == mark).nonzero()
    assert targets.weight_BT[0, place].item() == pytest.approx(targets.weight_BT.min().item())

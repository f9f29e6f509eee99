import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from multiscale_transformer.data.fim import BEFORE_CURSOR, MIDDLE, fill_in_the_middle
from multiscale_transformer.data.stream import Windows
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, VOCAB_SIZE
from multiscale_transformer.training.loss import targets_of, weighted_loss

CODE = b"def f(x):\n    return x + 1\n\n\ndef g(y):\n    if y:\n        return f(y)\n    return None\n" * 2


def windows(*texts: bytes, rearranged: bool = True, seed: int = 0) -> Windows:
    rng = np.random.default_rng(seed)
    rows = [np.array([BOS, *text]) for text in texts]
    both = [fill_in_the_middle(ids, rng) if rearranged else (ids, np.zeros(len(ids), np.uint8)) for ids in rows]
    return Windows(np.stack([ids for ids, _ in both]), np.stack([parts for _, parts in both]))


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
def test_only_the_middles_and_their_ends_count_more(seed: int, weight: float) -> None:
    batch = windows(CODE, seed=seed)
    assume((batch.parts_BT == MIDDLE).any())
    targets = targets_of(batch, weight)
    assert targets.weight_BT is not None
    relative_T = targets.weight_BT[0] / targets.weight_BT[0].min()
    middle_T = torch.from_numpy(batch.parts_BT[0, 1:] == MIDDLE)
    torch.testing.assert_close(relative_T[~middle_T], torch.ones(int((~middle_T).sum())))
    if middle_T.any():
        torch.testing.assert_close(relative_T[middle_T], torch.full((int(middle_T.sum()),), weight), rtol=1e-4, atol=0.0)
    assert middle_T[batch.ids_BT[0, 1:] == EOS].all()
    torch.testing.assert_close(targets.weight_BT.mean().item(), 1.0, rtol=1e-5, atol=0.0)


@given(st.integers(0, 200))
def test_the_end_is_possible_only_behind_the_cursor(seed: int) -> None:
    batch = windows(CODE, seed=seed)
    assume((batch.parts_BT == BEFORE_CURSOR).any())
    targets = targets_of(batch, 3.0)
    assert targets.endless_BT is not None
    assert targets.weight_BT is not None
    endless_T = targets.endless_BT[0]
    assert EOS not in targets.ids_BT[0, endless_T].tolist()
    assert endless_T.any()
    # A net that always cries "end" loses nothing before the cursor, and everything behind it.
    calm, crying = logits(batch), logits(batch)
    crying[..., EOS] += 100.0
    losses_T = F.cross_entropy(crying[0], targets.ids_BT[0], reduction="none")
    losses_T[endless_T] = F.cross_entropy(calm[0, endless_T, :EOS], targets.ids_BT[0, endless_T], reduction="none")
    learned, shown = weighted_loss(crying, targets)
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
    targets = targets_of(windows(CODE), 5.0)
    assert targets.weight_BT is not None
    places = targets.ids_BT[0] == mark
    assert places.any()
    assert targets.weight_BT[0, places].tolist() == pytest.approx([targets.weight_BT.min().item()] * int(places.sum()))

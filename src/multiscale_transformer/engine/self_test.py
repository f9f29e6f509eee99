"""Self-test of the compiled engine against the reference in PyTorch: at every load, in milliseconds.

The reference's logits for a fixed text are computed once for a checkpoint (that takes PyTorch, and a few seconds) and kept in
the user's cache folder under what the checkpoint holds. At load the engine reads the same text; when its distributions are
further from the reference's than rounding explains, it must not be used. Both get the same made-up memory features: every
order, count bin and match length occurs, so that memory fusion is tested as everything else is. Where PyTorch is not installed
and no logits are stored, nothing can be compared, and the engine is used untested.
"""

# Shape suffixes: T bytes, M candidates, J orders, V vocabulary.

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from multiscale_transformer import files
from multiscale_transformer.engine.engine import Engine, Read
from multiscale_transformer.engine.weights import UnfitError
from multiscale_transformer.errors import AxlError
from multiscale_transformer.locks import writing
from multiscale_transformer.memory.reader import MemoryFeatures
from multiscale_transformer.model.folder import CONFIG_FILE, WEIGHTS_FILE
from multiscale_transformer.model.memory_spec import (
    CANDIDATE_COUNT,
    COUNT_BINS,
    NO_CANDIDATE,
    NUM_CONTEXT_LENGTHS,
    NUM_CORPUS_LENGTHS,
    NUM_ORDERS,
)
from multiscale_transformer.model.vocabulary import BOS

Logits = npt.NDArray[np.float32]

# BOS comes last: a text that begins without it, as windows of long texts do, has no word yet.
PROBE = [*b"def area(self, radius: float) -> float:\n    return 3.14", BOS]
PROBE_SECONDS = 60.0  # for which one waits for another process that computes the same
MAX_DIVERGENCE = 0.05  # bits a byte: int8 gives 0.0001 to 0.001, 4 bits up to 0.03, an error of the code whole bits
_WHOLE_HASH = 64 << 20  # bytes of weights up to which all of them are hashed


class NoReferenceError(AxlError):
    """The reference's logits are not stored, and cannot be computed without PyTorch."""


def divergence(engine: Engine, folder: Path) -> float:
    """Mean Kullback-Leibler divergence, in bits, of the engine's distributions for the probe from the reference's."""
    sequence = engine.new_sequence(PROBE, object())
    (logits_TV,) = engine.read([Read(sequence, PROBE, made_up(len(PROBE)), len(PROBE))])
    sequence.close()
    ours_TV, theirs_TV = (_log_softmax(logits) for logits in (logits_TV, reference_logits(folder)))
    return float((np.exp(theirs_TV) * (theirs_TV - ours_TV)).sum(-1).mean() / np.log(2))


def made_up(count: int) -> MemoryFeatures:
    """What a memory could say after `count` ids: always the same, with every order, bin, length and number of candidates."""
    rng = np.random.default_rng(0)
    symbols_TM = np.stack([rng.permutation(BOS)[:CANDIDATE_COUNT] for _ in range(count)]).astype(np.int16)
    for position in range(0, count, 2):  # every other time there are fewer
        symbols_TM[position, position // 2 % (CANDIDATE_COUNT + 1) :] = NO_CANDIDATE
    filled_TM = symbols_TM != NO_CANDIDATE
    bins_TMJ = np.zeros((count, CANDIDATE_COUNT, NUM_ORDERS), np.uint8)
    bins_TMJ[filled_TM] = (np.arange(filled_TM.sum())[:, None] + rng.permutation(NUM_ORDERS)) % COUNT_BINS
    lengths_T2 = np.stack([(np.arange(count) + 1) % NUM_CORPUS_LENGTHS, (np.arange(count) + 2) % NUM_CONTEXT_LENGTHS], -1)
    return MemoryFeatures(symbols_TM, bins_TMJ, lengths_T2.astype(np.uint8))


def check(engine: Engine, folder: Path) -> str | None:
    """Raise UnfitError when the engine strays from the reference; where nothing can be compared, return a line that says so."""
    try:
        bits = divergence(engine, folder)
    except NoReferenceError as error:
        return str(error)
    if not bits <= MAX_DIVERGENCE:
        raise UnfitError(
            f"the compiled engine strays from the reference by {bits:.2g} bits a byte on this machine; use --engine torch and "
            "report it"
        )
    return None


def reference_logits(folder: Path) -> Logits:
    """The reference's logits (T, V) for the probe, from the cache or computed now. Raises NoReferenceError without PyTorch."""
    stored = user_cache_path("axl", appauthor=False) / "probes" / f"{_key(folder)}.npy"
    try:
        logits: Logits = np.load(stored)
        return logits
    except (OSError, ValueError):
        pass
    with contextlib.ExitStack() as alone:
        with contextlib.suppress(AxlError):  # a cache that cannot be written costs the next load a few seconds, no more
            alone.enter_context(writing(stored, wait=PROBE_SECONDS))
        with contextlib.suppress(OSError, ValueError):
            logits = np.load(stored)  # another process has computed them meanwhile
            return logits
        logits = _compute(folder)
        with contextlib.suppress(AxlError):
            files.write_with(stored, lambda temporary: _save(temporary, logits))
    return logits


def _compute(folder: Path) -> Logits:
    try:
        import torch
    except ImportError:
        raise NoReferenceError(
            "the engine is used, but was not compared with the reference, which needs PyTorch: pip install axl[train]"
        ) from None

    from multiscale_transformer.model.checkpoint import load_model
    from multiscale_transformer.model.memory_tensors import MemoryTensors

    model = load_model(folder)
    recall = MemoryTensors(*(torch.from_numpy(part)[None] for part in made_up(len(PROBE)))) if model.config.memory else None
    with torch.inference_mode():
        logits: Logits = model(torch.tensor([PROBE]), features=recall)[0].numpy()
    return logits


def _save(path: Path, logits: Logits) -> None:
    with path.open("wb") as file:
        np.save(file, logits)


def _key(folder: Path) -> str:
    """A name for what is asked and what the checkpoint holds; of a large one its ends, size and time stand for the weights."""
    weights, digest = folder / WEIGHTS_FILE, hashlib.sha256((folder / CONFIG_FILE).read_bytes())
    for part in (np.array(PROBE), *made_up(len(PROBE))):  # another question has another answer
        digest.update(part.tobytes())
    status = weights.stat()
    with weights.open("rb") as file:
        if status.st_size <= _WHOLE_HASH:
            digest.update(file.read())
        else:
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode() + file.read(1 << 20))
    return digest.hexdigest()


def _log_softmax(logits_TV: Logits) -> npt.NDArray[np.float64]:
    wide_TV = logits_TV.astype(np.float64)
    wide_TV -= wide_TV.max(-1, keepdims=True)
    return wide_TV - np.log(np.exp(wide_TV).sum(-1, keepdims=True))  # type: ignore[no-any-return]

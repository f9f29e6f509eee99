"""Ways to call `axl` in this process, and what its tests share."""

import contextlib
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.cli.main import main

CONFIG = "d_model: 16\nn_heads: 2\nd_ff: 32\nn_layers_per_scale: 1\ncross_d_ff: 0\nmax_seq_len: 128\n"
QUICK = ("--minutes", "0.01", "--threads", "1")


@dataclass(frozen=True)
class Answer:
    """What a call of `axl` ended with."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Trained:
    """A finished run, and what `axl train` said."""

    folder: Path
    answer: Answer


def call(*words: str | Path) -> Answer:
    """Run `axl words…`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return Answer(status, out.getvalue(), err.getvalue())


def code(number: int) -> str:
    """Some code that is unlike that of any other number."""
    stem = hashlib.sha256(str(number).encode()).hexdigest()
    words = [f"v{stem[at : at + 3]}" for at in range(0, 60, 3)]
    return "\n".join(f"{one} = {two} + 1" for one in words[:6] for two in words[6:]) + "\n"

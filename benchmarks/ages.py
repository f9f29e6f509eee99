"""Which figures are older than the code that they speak of: `python -m benchmarks.ages`, with status 1 where some are.

A result names the commit that it was measured at. `READS` says which rooms of the package decide a figure; a commit since then
that touched one of them may have changed it, and the benchmark has to run again before a release.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.result import ROOT
from multiscale_transformer.errors import AxlError

PACKAGE = "src/multiscale_transformer"
DECODING = ("engine", "kernels", "memory", "quantization")
TRAINING = ("model", "memory", "kernels", "training", "data", "evaluation/bits_per_byte.py")
READS: dict[str, tuple[str, ...]] = {
    "train": TRAINING,
    "memory": TRAINING,
    "index": ("memory", "kernels"),
    "optimizers": ("model", "training"),
    "decode": DECODING,
    "shipped": ("zoo/axl_shipped", "model", "memory", "kernels", "evaluation"),
    "serve": ("server", *DECODING),
    "export": ("export", "training/distill.py"),
    "mfu": ("model", "training"),
    "busy": ("model", "training", "engine"),
    "growth": ("training/grow.py", "model"),
    "finetune": TRAINING,
    "completions": ("zoo/axl_shipped", "engine", "memory", "kernels", "evaluation"),
    "kinds": ("zoo/axl_shipped", "model", "memory", "kernels"),
    "skills": ("tasks", "zoo/axl_shipped"),
    "proposals": ("tasks", "zoo/axl_shipped"),
    "human_edits": ("tasks", "zoo/axl_shipped"),
    "router": ("agents",),
    "bpe": ("model", "training"),
    "self_debug": ("agents", "tasks"),
    "repairs": ("agents", "tasks"),
    "code": ("tasks/code_benchmarks", "zoo/axl_shipped", "engine"),
    "project": ("server/runtime", "memory", "kernels"),
    "sandbox": ("sandbox",),
    "zoo": ("zoo", "tasks", "training"),
    "mesh": ("mesh",),
    "local_sgd": ("training/outer_step.py", "training/trainer.py"),
    "random_bytes": ("model",),
    "vision": ("vision", "model/vision.py", "model/vision_config.py", "kernels/convolution.py"),
    "exploration": (),  # tried by hand; a log of what was
}


class Age(NamedTuple):
    """A result file, the commit it was measured at, and how many commits since then touched what it speaks of."""

    path: Path
    kind: str
    commit: str
    commits_since: int | None  # None where the commit is not in this history


def ages(runs: Path = ROOT / "runs") -> list[Age]:
    """Of all result files. Raises AxlError where this is no git checkout with its history."""
    found = []
    for path in sorted(runs.glob("*.json")):
        result = json.loads(path.read_bytes())
        commit = (result.get("commit") or "").removesuffix("-dirty")
        found.append(Age(path, result["kind"], commit, _commits_since(commit, READS[result["kind"]])))
    return found


def _commits_since(commit: str, rooms: tuple[str, ...]) -> int | None:
    if not rooms:
        return 0
    if not commit or _git("cat-file", "-t", commit) != "commit":
        return None
    return int(_git("rev-list", "--count", f"{commit}..HEAD", "--", *(f"{PACKAGE}/{room}" for room in rooms)) or 0)


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False).stdout.strip()
    except OSError as error:
        raise AxlError("the ages of figures are those of commits, which git knows; install git") from error


def main() -> int:
    """Print them, the oldest first; 1 where a figure may be older than its code."""
    found = sorted(ages(), key=lambda age: (age.commits_since is not None, -(age.commits_since or 0)))
    for age in found:
        since = "a commit that is not here" if age.commits_since is None else f"{age.commits_since:3} commits since"
        print(f"{age.path.name:32} {age.commit or 'no commit':14} {since}")
    return int(any(age.commits_since != 0 for age in found))


if __name__ == "__main__":
    raise SystemExit(main())

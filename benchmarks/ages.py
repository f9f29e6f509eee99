"""Which figures are older than the code that they speak of: `python -m benchmarks.ages`, with status 1 where some are.

A result names the commit that it was measured at. `READS` says which rooms of the package decide a figure; a file there that
does something else since then may have changed it, and the benchmark has to run again before a release: a test asks for that
where the version is that of one. What a file does is what Python reads in it, so comments and docstrings may change.
"""

from __future__ import annotations

import ast
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
    """A result file, the commit it was measured at, and the files that decide it whose programs are others now."""

    path: Path
    kind: str
    commit: str
    changed: tuple[str, ...] | None  # None where the commit is not in this history


def ages(runs: Path = ROOT / "runs") -> list[Age]:
    """Of all result files. Raises AxlError where this is no git checkout with its history."""
    found = []
    for path in sorted(runs.glob("*.json")):
        result = json.loads(path.read_bytes())
        commit = (result.get("commit") or "").removesuffix("-dirty")
        found.append(Age(path, result["kind"], commit, _changed_since(commit, READS[result["kind"]])))
    return found


def _changed_since(commit: str, rooms: tuple[str, ...]) -> tuple[str, ...] | None:
    if not rooms:
        return ()
    if not commit or _git("cat-file", "-t", commit).strip() != "commit":
        return None
    names = _git("diff", "--name-only", "--no-renames", commit, "HEAD", "--", *(f"{PACKAGE}/{room}" for room in rooms))
    return tuple(name for name in names.splitlines() if not name.endswith(".md") and not _same(name, commit))


def _same(name: str, commit: str) -> bool:
    """Whether a file that differs does the same: its comments, docstrings and lines may be others."""
    before, now = (_git("show", f"{revision}:{name}") for revision in (commit, "HEAD"))
    return name.endswith(".py") and bool(before) and bool(now) and program(before) == program(now)


def program(source: str) -> str:
    """What Python reads in a source text, without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                first.value.value = ""
    return ast.dump(tree)


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False).stdout
    except OSError as error:
        raise AxlError("the ages of figures are those of commits, which git knows; install git") from error


def main() -> int:
    """Print them, the oldest first; 1 where a figure may be older than its code."""
    found = sorted(ages(), key=lambda age: (age.changed is not None, -len(age.changed or ())))
    for age in found:
        since = "a commit that is not here" if age.changed is None else f"{len(age.changed):3} files since do other things"
        print(f"{age.path.name:32} {age.commit or 'no commit':14} {since}")
    return int(any(age.changed != () for age in found))


if __name__ == "__main__":
    raise SystemExit(main())

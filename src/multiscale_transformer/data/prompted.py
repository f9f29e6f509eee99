"""Prompts with answers as data to train on: `task:FOLDER` stands for the JSON lines of a skill that `axl data make` wrote.

Training reads `train.jsonl` and holds out `validation.jsonl`. What is written there is split and filtered already, so nothing
is dropped here. The answers count several times in the loss, as the middles of fill-in-the-middle do (`Documents.answers`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import Document

PREFIX = "task:"
TRAIN, VALIDATION, MANIFEST = "train", "validation", "manifest.json"


class Prompted(BaseModel):
    """What of a line is read here; what else it says is for people and for measuring."""

    task: str
    prompt: str
    answer: str
    package: str
    origin: str = ""


Kind = TypeVar("Kind", bound=Prompted)


def read_lines(folder: Path, split: str, kind: type[Kind]) -> list[Kind]:
    """The examples of a split. Raises AxlError where the folder holds none, or something else."""
    path = folder / f"{split}.jsonl"
    try:
        return [kind.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise AxlError(f"{path} holds no examples ({str(error).splitlines()[0]})") from None


def read_prompted(folder: Path, split: str) -> Documents:
    """The documents of a split: prompt and answer in one. Raises AxlError where there are none."""
    return prompted_documents(read_lines(folder, split, Prompted))


def missing(path: Path) -> AxlError:
    """What is raised where data of a skill is not there."""
    return AxlError(f"{path} is missing; make the data of the skill first: axl data make {path.parent.name}")


def skill_licences(sources: Iterable[str]) -> dict[str, str]:
    """The licences in each `task:` source, as its manifest states them."""
    found = {}
    for source in (source for source in sources if source.startswith(PREFIX)):
        try:
            manifest = json.loads((Path(source.removeprefix(PREFIX)) / MANIFEST).read_text(encoding="utf-8"))
            found[source] = ", ".join(sorted(set(manifest["licences"].values())))
        except (OSError, ValueError, KeyError, AttributeError):
            found[source] = ""
    return found


def prompted_documents(examples: Iterable[Prompted]) -> Documents:
    """Documents of prompts with their answers; `answers` of them says where each answer begins."""
    read = list(examples)
    documents = Documents.from_items(
        Document(f"{one.task}/{number}/{one.origin}", (one.prompt + one.answer).encode(), one.package)
        for number, one in enumerate(read)
    )
    return documents.with_answers([len(one.prompt.encode()) for one in read])


def with_prompted(plain: Documents | None, sources: Sequence[str], split: str) -> Documents:
    """Plain documents, of which nothing is an answer, followed by those of the `task:` sources."""
    parts = [] if plain is None else [plain]
    parts += [read_prompted(Path(source.removeprefix(PREFIX)), split) for source in sources]
    joined = Documents.from_items(document for part in parts for document in part.documents())
    begins: list[int] = []
    for part in parts:
        # An answer that begins behind the EOS of its document is none.
        begins += (np.diff(part.offsets) + 1 if part.answers is None else part.answers).tolist()
    return joined.with_answers(begins)

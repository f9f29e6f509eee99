"""Training a model for a skill: from a base, on the examples of the skill, its memory the training examples themselves.

Answers count several times in the loss, as the middles of fill-in-the-middle do, and nothing is rearranged. The memory is
retrieval built in: an edit that was made to such lines before is found, with how often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.tasks.examples import as_documents, read_examples
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.training.settings import TrainSettings
from multiscale_transformer.training.trainer import Callback
from multiscale_transformer.zoo.recipes import FormatName

PREFIX = "task:"  # how a record names the data of a skill


def skill_corpus(folder: Path) -> Corpus:
    """The training examples in a folder, and those of the validation split as what is held out."""
    train, held_out = (as_documents(read_examples(folder, split)) for split in ("train", "validation"))
    digest = hashlib.sha256(f"{train.sha256()} {held_out.sha256()}".encode()).hexdigest()
    return Corpus(train, held_out, {}, (f"{PREFIX}{folder}",), digest)


def learn_skill(
    name: str,
    config: ModelConfig,
    settings: TrainSettings,
    data: Path,
    out: Path,
    *,
    init: Path | None,
    prompt_format: FormatName,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Train on the examples in `data`, from `init` on where it is given; returns the checkpoint's folder.

    Raises AxlError as `train_run` does, and where there are no examples.
    """
    corpus = skill_corpus(data)
    settings = settings.model_copy(update={"fim_rate": 0.0})
    request = RunRequest(name, config, settings, corpus.sources, out, format=prompt_format, init=init)
    return train_run(request, corpus, resume=resume, callbacks=callbacks)

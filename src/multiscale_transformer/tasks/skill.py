"""What a skill is made of, the same for all: examples from sources, and a measurement beside rivals. And the table of skills.

A skill's module holds, besides, how it proposes and what verifies a proposal; those differ, and its command calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.engine.scheduler import Scheduler
from multiscale_transformer.errors import unknown_name
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.tasks.examples import Example, Split, read_examples
from multiscale_transformer.tasks.fix_order import Gains
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.writer import Writer

MODULES = {  # skill: module of this room that holds its SKILL
    "chat": "chat",
    "comment": "comment",
    "document": "document",
    "reason": "reason",
    "refactor": "refactor",
    "secure": "secure.secure",
    "translate": "translate",
}


class Figures(BaseModel):
    """What a model reaches on the test examples of a skill, beside its rivals. Shares are from 0 to 1.

    The first of the figures is the headline; higher is better. `teachers` are rivals that made the examples, and are right
    about them by construction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    skill: str
    examples: int
    packages: int
    figures: dict[str, float]
    rivals: dict[str, dict[str, float]] = {}
    teachers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The figure that the skill goes by."""
        return next(iter(self.figures))

    @property
    def best_rival(self) -> tuple[str, float] | None:
        """The rival with the highest headline, teachers aside."""
        values = {
            name: of[self.headline] for name, of in self.rivals.items() if self.headline in of and name not in self.teachers
        }
        return max(values.items(), key=lambda item: item[1], default=None)


@dataclass(frozen=True)
class Measurement:
    """What is measured, and on what: a model with its memory, the folder of the skill's examples, how many of them at most."""

    scheduler: Scheduler
    memory: CorpusMemory | None
    data: Path
    most: int
    seed: int = 0

    @cached_property
    def writer(self) -> Writer:
        """The model as one that writes."""
        return Writer(self.scheduler, self.memory)

    @cached_property
    def gains(self) -> Gains:
        """The model as one that judges edits."""
        return Gains(self.scheduler.engine, self.memory)

    def examples(self, split: Split) -> list[Example]:
        """The examples of a split: at most `most` of the test, in the order of their digests, and all of the others."""
        examples = read_examples(self.data, split)
        return examples[: self.most] if split == "test" else examples


@dataclass(frozen=True)
class Skill:
    """A skill by name: what makes its examples, and what measures a model on those of the test."""

    name: str
    make_examples: Callable[[Iterable[PackageText]], list[Example]]
    measure: Callable[[Measurement], Figures]


def load_skill(name: str) -> Skill:
    """A skill by its name. Raises AxlError for one that there is not."""
    if name not in MODULES:
        raise unknown_name("skill", name, MODULES)
    skill: Skill = import_module(f"multiscale_transformer.tasks.{MODULES[name]}").SKILL
    return skill

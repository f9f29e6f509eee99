"""AXL: a lab for byte-level, multi-scale code models on ordinary CPUs."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # the standard one stands in `typing`, which takes longer to import than all else here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__version__ = "1.0.0rc1"


class _PublishedNames:
    """Finds modules of the published system, which are files of `published/`, where no other module has the name.

    So `multiscale_transformer.training.tokenizer` is `published/training/tokenizer.py`.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module's file, asked by Python after all other places."""
        if not name.startswith(f"{__name__}."):
            return None
        from importlib.machinery import PathFinder

        folders = name.split(".")[1:-1]
        return PathFinder.find_spec(name, ["/".join([__path__[0], "published", *folders])])


sys.meta_path.append(_PublishedNames)

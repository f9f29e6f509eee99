"""Shared by all tests: one thread for torch, which is faster for tiny models and the same everywhere, and no deadlines.

Because this file is here, pytest puts `tests/` on the path: `tiny` holds what several test files build on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

settings.register_profile("axl", deadline=None)  # a busy machine is no defect
settings.load_profile("axl")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share an id are an error: pytest-xdist runs an id once where it deals by file, and leaves the others out."""
    shared = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if shared:
        raise pytest.UsageError(f"several tests have the id {', '.join(shared)}; give each a name of its own")

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from console_world import Program, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A paper-mode folder of its own, no worker in it."""
    return World(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Program]]:
    """One paper-mode worker for all tests of a file, which must leave it as they found it."""
    world = World(tmp_path_factory.mktemp("shared"))
    with world.worker() as worker:
        yield world, worker

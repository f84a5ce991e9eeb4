"""How the tests are shared out among processes (`-n auto`): how many there are, and what goes first."""

from __future__ import annotations

import os

import pytest

_WORKERS_MAX = 8  # each takes some 300 MB, with the venues and workers that its tests start


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for a venue that hangs, or for an order's deadline."""
    return min(len(os.sched_getaffinity(0)) + 1, _WORKERS_MAX)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long goes first, so that nobody is left alone with it at the end; the order is the same otherwise."""
    items.sort(key=_when)


def _when(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 0
    return 1 if "console" in item.path.parts else 2

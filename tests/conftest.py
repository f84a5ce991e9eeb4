"""How the tests are shared out among processes (`-n auto`): how many there are, and what goes first."""

from __future__ import annotations

import os
from itertools import chain

import pytest

_WORKERS_MAX = 8  # each takes some 300 MB, with the venues and workers that its tests start


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for a venue that hangs, or for an order's deadline."""
    return min(len(os.sched_getaffinity(0)) + 1, _WORKERS_MAX)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long goes first, so that nobody is left alone with it at the end; the order is the same otherwise.

    Processes begin with equal shares of the list (`--dist worksteal`), so each share begins with some of the long ones.
    A file's stay together: they have venues and workers in common.
    """
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = sorted((item for item in items if not item.get_closest_marker("slow")), key=_when)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first: list[list[pytest.Item]] = [[] for _ in range(processes)]
    files = list(dict.fromkeys(item.path for item in slow))
    for item in slow:
        first[files.index(item.path) % processes].append(item)
    for share in first:
        more = max(0, len(items) // processes - len(share))
        share += quick[:more]
        del quick[:more]
    items[:] = [*chain.from_iterable(first), *quick]


def _when(item: pytest.Item) -> int:
    return 0 if "console" in item.path.parts else 1

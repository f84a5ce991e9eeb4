"""What all tests of kills share: the venues, the workers, and figures for pytest's summary.

The figures can be read there without a failure.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from crash_cast import VENUES
from crash_lab import Lab
from crash_world import VenueProcess, Workers

_REPORT: list[str] = []


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with VenueProcess(venues=tuple(VENUES)) as venue, Workers() as workers:
        yield Lab(venue, workers, tmp_path_factory.mktemp("crash"), _REPORT)
        # A venue that stumbled over a request has not judged it, and its records would be no evidence.
        assert "Traceback" not in venue.complaints(), venue.complaints()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _REPORT:
        terminalreporter.section("kill -9")
        for line in _REPORT:
            terminalreporter.write_line(line)

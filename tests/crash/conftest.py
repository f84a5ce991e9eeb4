"""Shows the figures of the kills in pytest's summary, where they can be read without a failure."""

from __future__ import annotations

import pytest

_REPORT: list[str] = []


@pytest.fixture(scope="session")
def crash_report() -> list[str]:
    """Lines that the summary at the end of the run shows."""
    return _REPORT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _REPORT:
        terminalreporter.section("kill -9")
        for line in _REPORT:
            terminalreporter.write_line(line)

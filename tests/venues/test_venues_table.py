"""The page about the venues is current, and says what the tests say."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.venues import table  # noqa: E402


def test_the_page_is_current() -> None:
    assert (REPOSITORY / "docs/venues.md").read_text() == table.page(), (
        "run: python -m tests.venues.table > docs/venues.md"
    )


def test_every_venue_keeps_the_contract_of_accounts() -> None:
    case = "order that was taken before the answer was lost is found"
    (row,) = [line for line in table.page().splitlines() if line.startswith(f"| {case} |")]
    assert row == f"| {case} | " + " | ".join(["yes"] * len(table.VENUES)) + " |"


def test_a_case_that_a_venue_does_otherwise_or_not_at_all_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "some_contract.py").write_text('class Some:\n    """Tests of a thing."""\n    def test_a(self): ...\n')
    (tmp_path / "test_okx_some.py").write_text("class TestOkx(Some):\n    def test_a(self): ...\n")
    (tmp_path / "test_kraken_some.py").write_text("class TestKraken(Some): ...\n")
    (tmp_path / "differences.md").write_text("the rest\n")
    page = table.page(tmp_path)
    assert "### A thing" in page
    assert "| a | yes | - | - | own | - |" in page
    assert page.endswith("\nthe rest\n")

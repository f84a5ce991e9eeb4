"""Prints `docs/venues.md`: `python -m tests.venues.table > docs/venues.md`.

What each adapter is proved to do is read from the tests themselves: a contract is a class of a `*_contract.py` beside
this file, each of its tests is a case, and a venue keeps the contract whose tests have a class that inherits it.
Nothing is imported or run for that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
VENUES = ("kraken", "coinbase", "alpaca", "okx", "binance")

_HEAD = """# The venues

Printed by `python -m tests.venues.table` from the contract tests in `tests/venues` and the notes beside them; a test
keeps the page current.

## What each adapter is proved to do

Every adapter runs the same tests against its own simulated venue, over real HTTP. "yes": it passes the case as it
stands; "own": its tests have a case of their own in its place; "-": its tests do not have the case.
"""


def page(tests: Path = HERE) -> str:
    """The whole page, from the tests in a folder and the notes in `differences.md` beside them."""
    kept = {venue: _kept(tests, venue) for venue in VENUES}
    parts = [_HEAD]
    for contract, about, cases in _contracts(tests):
        parts += [f"### {about}\n", "| case | " + " | ".join(VENUES) + " |", "| --- " * (len(VENUES) + 1) + "|"]
        for case in cases:
            answers = (_answer(kept[venue].get(contract), case) for venue in VENUES)
            parts.append(f"| {_words(case)} | " + " | ".join(answers) + " |")
        parts.append("")
    return "\n".join([*parts, (tests / "differences.md").read_text()])


def _contracts(tests: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Each contract's class, what it is about, and its cases in their order."""
    for path in sorted(tests.glob("*_contract.py")):
        if path.name.startswith("test_"):
            continue
        for found in _classes(path):
            if cases := _tests(found):
                about = (ast.get_docstring(found) or found.name).splitlines()[0].removeprefix("Tests of ").rstrip(".")
                yield found.name, about[:1].upper() + about[1:], cases


def _kept(tests: Path, venue: str) -> dict[str, set[str]]:
    """The contracts that the venue's tests keep, each with the cases that have another test in their place."""
    # A contract may take in another one: whoever keeps the first keeps both.
    within = {found.name: _bases(found) for path in tests.glob("*_contract.py") for found in _classes(path)}
    kept: dict[str, set[str]] = {}
    for path in sorted(tests.glob(f"test_{venue}_*.py")):
        for found in _classes(path):
            bases = _bases(found)
            for base in bases:
                bases += within.get(base, [])
                kept.setdefault(base, set()).update(_tests(found))
    return kept


def _bases(found: ast.ClassDef) -> list[str]:
    return [base.id for base in found.bases if isinstance(base, ast.Name)]


def _answer(own: set[str] | None, case: str) -> str:
    return "-" if own is None else "own" if case in own else "yes"


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]


def _tests(found: ast.ClassDef) -> list[str]:
    functions = (node for node in found.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [function.name for function in functions if function.name.startswith("test_")]


def _words(case: str) -> str:
    return case.removeprefix("test_").replace("_", " ")


if __name__ == "__main__":
    print(page(), end="")

"""The house rules that a program can check: who imports whom, what the core may not touch, how long things may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted([*(REPOSITORY / "copytrade").rglob("*.py"), REPOSITORY / "run_master.py"])
PURE = (("domain",), ("copying",), ("statements",))
CORE = [path for path in SOURCES if path.relative_to(REPOSITORY).parts[1:2] in PURE]
FILE_LINES_MAX = 450  # past about 400 a file asks to be two; the rest is for finishing a thought
FUNCTION_LINES_MAX = 70
TEST_FUNCTION_LINES_MAX = 90  # a story of several steps may be told in one piece

# What would make a decision depend on anything but the facts it is given.
CORE_MODULES_FORBIDDEN = {
    "time", "random", "secrets", "os", "io", "pathlib", "socket", "sqlite3", "asyncio", "threading", "subprocess",
    "logging", "tempfile", "shutil", "requests", "aiohttp", "uuid", "sys",
}  # fmt: skip
CORE_CALLS_FORBIDDEN = {"open", "float", "print", "input", "exec", "eval"}
CORE_METHODS_FORBIDDEN = {"now", "utcnow", "today", "fromtimestamp"}


def test_imports_run_one_way() -> None:
    """The contracts are in pyproject.toml."""
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
    assert "3 kept" in done.stdout or "Contracts: " in done.stdout


@pytest.mark.parametrize("path", CORE, ids=lambda path: "/".join(path.parts[-2:]))
def test_the_core_is_a_function_of_what_it_is_given(path: Path) -> None:
    assert list(impurities(path.read_text())) == []


def test_that_rule_finds_what_it_forbids() -> None:
    samples = {
        "import time": "time", "from os import path": "os", "import os.path": "os", "datetime.now(UTC)": "now",
        "from datetime import datetime\ndatetime.utcnow()": "utcnow", "open('x')": "open", "float('0.1')": "float",
        "import random as r": "random", "x = map(float, y)": "float",
    }  # fmt: skip
    assert {text: [name for _, name in impurities(text)] for text in samples} == {
        text: [name] for text, name in samples.items()
    }
    fine = "from datetime import datetime\nwait_s: float = 1.5\nself._open(order)\nevent.at"
    assert list(impurities(fine)) == []


def impurities(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything in a piece of source that reaches outside."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((node.lineno, top) for n in names if (top := n.partition(".")[0]) in CORE_MODULES_FORBIDDEN)
        elif isinstance(node, ast.Call):  # called, or handed to something that calls it; an annotation is neither
            used = [part.id for part in (node.func, *node.args) if isinstance(part, ast.Name)]
            yield from ((node.lineno, name) for name in used if name in CORE_CALLS_FORBIDDEN)
        elif isinstance(node, ast.Attribute) and node.attr in CORE_METHODS_FORBIDDEN:
            yield node.lineno, node.attr


def test_the_core_was_looked_at() -> None:
    assert {"money.py", "state.py", "plan.py", "sizing.py"} <= {path.name for path in CORE}


def test_no_file_is_too_long() -> None:
    ours = [*SOURCES, *(REPOSITORY / "tests").rglob("*.py"), *(REPOSITORY / "benchmarks").rglob("*.py")]
    lengths = {str(path.relative_to(REPOSITORY)): len(path.read_text().splitlines()) for path in ours}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_too_long() -> None:
    assert _long_functions(SOURCES, FUNCTION_LINES_MAX) == {}
    assert _long_functions((REPOSITORY / "tests").rglob("*.py"), TEST_FUNCTION_LINES_MAX) == {}


def _long_functions(paths: Iterator[Path] | list[Path], lines_max: int) -> dict[str, int]:
    found = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > lines_max:
                    found[f"{path.relative_to(REPOSITORY)}:{node.name}"] = lines
    return found


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import copytrade", {"pydantic", "aiohttp", "krakenex", "asyncio", "typer", "requests"}),
        (
            "from copytrade.console.cli import main; main(['--help'])",
            {"pydantic", "aiohttp", "krakenex", "requests", "pandas", "numpy"},
        ),
        ("import copytrade.console.reading", {"aiohttp", "krakenex", "requests", "pandas"}),
        (
            "import copytrade.console.worker, copytrade.venues.kraken.account, copytrade.simulator.kraken",
            {"pandas", "numpy", "pytest"},
        ),
    ],
    ids=["the package", "--help", "reading commands", "a worker for Kraken"],
)
def test_nobody_pays_for_what_they_do_not_use(code: str, absent: set[str]) -> None:
    tell = "import sys; sys.stderr.write(' '.join(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tell}"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "copytrade" in loaded
    assert loaded & absent == set()


# The packages that the venues' official SDKs are imported as.
SDKS = {"kraken": "krakenex", "coinbase": "coinbase", "alpaca": "alpaca", "okx": "okx", "binance": "binance"}
ONE_ACCOUNT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import copytrade.console.worker
from copytrade.settings.model import Settings
from copytrade.simulator.command import make_venue as simulated
from copytrade.wiring.venues import Accounts, make_venue
name, folder = sys.argv[1:]
keys = simulated(name, 7, None, 0.0, 0, True).add_account("alice_smith")
venue = make_venue(name, "http://127.0.0.1:9", Settings(), lambda: datetime.now(UTC), paper=True)
Accounts(venue, Path(folder), lambda account: keys, lambda word: None)(f"{name}:alice_smith")
sys.stderr.write(" ".join(module for module in sys.modules if "." not in module))
"""


@pytest.mark.parametrize("venue", SDKS)
def test_a_worker_with_accounts_at_one_venue_imports_no_other_sdk(venue: str, tmp_path: Path) -> None:
    """An account is made as the worker makes it, with its simulated venue beside it."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_ACCOUNT, venue, str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert loaded & set(SDKS.values()) == {SDKS[venue]}
    assert loaded & {"pandas", "numpy", "pytest"} == set()

"""The environment of the ccxt contender: ccxt pins many packages, so it gets a place of its own, `.venv-bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.processes import REPOSITORY

FOLDER = REPOSITORY / ".venv-bench"
INSTALL_TIMEOUT_S = 120.0


def ccxt_python() -> str:
    """The interpreter that has ccxt; made at the first call, which takes about 15 s.

    Raises `OSError` or `subprocess.SubprocessError` where it cannot be had; the measurement goes on without it.
    """
    python = FOLDER / "bin" / "python"
    if subprocess.run([python, "-c", "import ccxt"], capture_output=True).returncode if python.exists() else True:
        run_quietly([sys.executable, "-m", "venv", str(FOLDER)])
        pins = Path(__file__).with_name("requirements.txt")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run_quietly([*pip, "-r", str(pins)])
    return str(python)


def run_quietly(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)

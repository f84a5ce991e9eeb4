"""What accounts that trade by themselves cost while there is nothing to do: the worker's share of one core.

    python -m benchmarks.independent [--accounts 200] [--cycle-s 30] [--seconds 30]

The worker is the real one, with APEX on two markets, against the simulated Kraken in a process of its own. Accounts
begin evenly spread over one cycle, and the share is measured over whole cycles once all have begun.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
_START_S = 120.0


def cpu_s(process: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> int:
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) // 1024


def write_files(folder: Path, url: str, keys: dict[str, dict[str, str]], cycle_s: float, accounts: int) -> None:
    """Settings, user files and credentials for a worker."""
    settings: dict[str, Any] = {
        "mode": "live", "master": {"strategy": "none"}, "venues": {"kraken": {"base_url": url, "tier": "pro"}},
        "apex": {"markets": ["BTC/USD", "ETH/USD"]}, "console": {"enabled": False},
        "independent": {
            "strategy": "apex", "cycle_s": cycle_s, "start_delay_min_s": 0, "start_delay_max_s": 0,
            "spacing_s": cycle_s / accounts,
        },
    }  # fmt: skip
    (folder / "copytrade.yaml").write_text(json.dumps(settings))
    (folder / "users").mkdir()
    names = [name for name in keys if name != "master"]
    users = [{"user_id": name.replace("_", ""), "broker_type": "kraken", "mode": "independent"} for name in names]
    (folder / "users" / "all.json").write_text(json.dumps(users))
    lines = []
    for name, pair in keys.items():
        prefix = "KRAKEN_MASTER" if name == "master" else f"KRAKEN_USER_{name.replace('_', '').upper()}"
        lines += [f"{prefix}_API_KEY={pair['key']}", f"{prefix}_API_SECRET={pair['secret']}"]
    dotenv = folder / ".env"
    dotenv.write_text("\n".join(lines))
    dotenv.chmod(0o600)


def loops(folder: Path) -> list[dict[str, Any]]:
    """What the worker says of its accounts; none while it does not answer yet."""
    command = [sys.executable, "-m", "copytrade", "independent", "--state", str(folder / "state"), "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(), check=False)
    return list(json.loads(done.stdout)["independent"]) if done.returncode == 0 else []


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def measure(folder: Path, accounts: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, str(REPOSITORY / "run_master.py"), "--config", "copytrade.yaml", "--users", "users"]
    command += ["--state", "state"]
    with (folder / "worker.log").open("w") as said:
        worker = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=environment())
        try:
            give_up_at = time.monotonic() + _START_S
            while sum(each["cycles"] > 0 for each in loops(folder)) < accounts:
                if time.monotonic() > give_up_at or worker.poll() is not None:
                    raise RuntimeError("not all began: " + (folder / "worker.log").read_text()[-2000:])
                time.sleep(2.0)
            before, cpu_before, began = loops(folder), cpu_s(worker.pid), time.monotonic()
            time.sleep(seconds)
            took_s, used_s = time.monotonic() - began, cpu_s(worker.pid) - cpu_before
            after = loops(folder)
            return {
                "accounts": accounts, "seconds": round(took_s, 1), "cpu_percent": round(100 * used_s / took_s, 2),
                "cycles": sum(e["cycles"] for e in after) - sum(e["cycles"] for e in before),
                "errors": sum(e["errors"] for e in after), "longest_cycle_s": max(e["took_s"] for e in after),
                "memory_mb": memory_mb(worker.pid),
            }  # fmt: skip
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--cycle-s", type=float, default=30.0, help="the setting's default of 150 is less work")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    command = [sys.executable, "-m", "copytrade", "simulator", "--venues", "kraken", "--no-rate-limits"]
    command += ["--accounts", str(options.accounts + 1), "--tier", "pro"]
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as venue,
    ):
        try:
            assert venue.stdout is not None
            told = json.loads(venue.stdout.readline())["venues"]["kraken"]
            folder = Path(name)
            write_files(folder, told["url"], told["accounts"], options.cycle_s, options.accounts)
            measured = measure(folder, options.accounts, options.seconds)
            print(json.dumps({"cycle_s": options.cycle_s, **measured}, indent=2))
        finally:
            venue.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()

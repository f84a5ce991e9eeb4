"""How long `check` takes for a hundred accounts when each call takes 50 ms: `python -m benchmarks.check`.

The command as a user runs it, a process of its own, with the simulated venue and its answers in that same process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
VENUES = ("kraken", "coinbase", "alpaca", "okx", "binance")
ACCOUNTS, REPLY_MS, LIMIT_S = 100, 50, 5.0


def seconds(venue: str) -> float:
    """The wall time of one check of so many followers at one venue."""
    with tempfile.TemporaryDirectory() as folder:
        users = Path(folder) / "config/users"
        users.mkdir(parents=True)
        rows = [{"user_id": f"u{number}", "broker_type": venue} for number in range(ACCOUNTS)]
        (users / "all.json").write_text(json.dumps(rows))
        settings = {"paper": {"reply_delay_ms": REPLY_MS}, "console": {"enabled": False}}
        (users.parent / "copytrade.yaml").write_text(json.dumps(settings))
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        began_s = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "copytrade", "check", "--json"], cwd=folder, env=environ, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        taken_s = time.perf_counter() - began_s
    accounts = json.loads(done.stdout)["accounts"]
    assert len(accounts) == ACCOUNTS + 1, "the master's as well"
    assert all(account["ok"] for account in accounts)
    return taken_s


def main() -> int:
    worst_s = 0.0
    for venue in VENUES:
        taken_s = seconds(venue)
        worst_s = max(worst_s, taken_s)
        print(f"{venue:<9} {ACCOUNTS} accounts, {REPLY_MS} ms a call: {taken_s:.2f} s")
    print(f"the slowest {worst_s:.2f} s, the limit {LIMIT_S:.0f} s")
    return 0 if worst_s < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())

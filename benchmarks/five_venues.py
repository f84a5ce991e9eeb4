"""`python -m benchmarks.five_venues`: one order of a master at Kraken for followers at five venues, and what signing
costs at each. docs/benchmarks.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report, signing
from benchmarks.fanout import make_folder
from benchmarks.five_job import FiveJob
from benchmarks.processes import REPOSITORY, ContenderFailed, ContenderProcess, Process, ask_admin
from benchmarks.signing import VENUES

NAMES = {"bare": "bare aiohttp gather, the adapters' signers", "service": "this service, ledger on disk"}
# The simulated venues' names of the call that places an order, for faults.
PLACE = {
    "kraken": "AddOrder", "coinbase": "create_order", "alpaca": "POST /v2/orders", "okx": "POST /trade/order",
    "binance": "POST /api/v3/order",
}  # fmt: skip
PRICE_OF = {"okx": "BTC/USDT", "binance": "BTC/USDT"}


class FiveVenuesProcess(Process):
    """All five simulated venues in one process, without rate limits and with prices that stand still.

    One process, because two cores are shared by client and venues: five would only take turns more often.
    """

    def __init__(self, accounts: int) -> None:
        super().__init__(
            [sys.executable, "-m", "copytrade.simulator", "--venues", "all", "--no-rate-limits", "--volatility", "0",
             "--tier", "pro", "--accounts", str(accounts)]
        )  # fmt: skip
        try:
            self.about: dict[str, Any] = self.ask(None)["venues"]
        except BaseException:
            self.stop()
            raise

    def jobs(self, followers: int, connections: int, folder: str) -> tuple[FiveJob, FiveJob]:
        """Two jobs with accounts of their own, the followers spread evenly."""
        jobs = []
        for turn in (0, 1):
            venues: dict[str, dict[str, Any]] = {}
            for place, name in enumerate(VENUES):
                about = self.about[name]
                count = followers // len(VENUES) + (place < followers % len(VENUES))
                price = ask_admin(about["admin_url"], "GET", "price")[PRICE_OF.get(name, "BTC/USD")]["ask"]
                keys = list(about["accounts"].values())[1:]
                venues[name] = {"url": about["url"], "price": price, "followers": keys[turn * count :][:count]}
            jobs.append(FiveJob(self.about["kraken"]["accounts"]["master"], venues, connections, folder))
        return jobs[0], jobs[1]

    def delay_orders(self, delay_ms: int) -> None:
        """From now on the answer to an order leaves so much later, at every venue."""
        for name, about in self.about.items():
            ask_admin(about["admin_url"], "DELETE", "faults")
            if delay_ms:
                fault = {"kind": "delay", "method": PLACE[name], "delay_ms": delay_ms}
                ask_admin(about["admin_url"], "POST", "faults", fault)

    def undelayed(self) -> list[str]:
        """Venues whose delay never struck: their orders were not what the table says."""
        return [
            name
            for name, about in self.about.items()
            if any(not fault["struck"] for fault in ask_admin(about["admin_url"], "GET", "faults")["faults"])
        ]

    def errors(self) -> dict[str, dict[str, int]]:
        """For each venue the error texts that it has answered with, and how often."""
        found = {
            name: ask_admin(about["admin_url"], "GET", "requests")["errors"] for name, about in self.about.items()
        }
        return {name: errors for name, errors in found.items() if errors}

    def _terminate(self) -> None:
        self._process.terminate()


def measure(options: argparse.Namespace, folder: str) -> tuple[list[report.Row], list[str]]:
    """Both contenders in turns; rows and notes. Raises `ContenderFailed`."""
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    notes = []
    with FiveVenuesProcess(2 * (options.followers // len(VENUES) + 1) + 1) as venues:
        for_service, for_bare = venues.jobs(options.followers, options.connections, folder)
        with (
            ContenderProcess("benchmarks.five_bare", for_bare) as bare,
            ContenderProcess("benchmarks.five_service", for_service) as service,
        ):
            pair = {"bare": bare, "service": service}
            for turn in range(options.runs + 1):
                for name in pair if turn % 2 else reversed(pair):
                    before = venues.cpu_s()
                    sample = pair[name].run(turn)
                    sample["venue_cpu_s"] = venues.cpu_s() - before
                    pair[name].settle()
                    sys.stderr.write(f"run {turn}, {name}: {sample['wall_s'] * 1000:.0f} ms\n")
                    if turn:
                        samples[name].append(sample)
                if not turn:  # first runs fill caches and are nobody's measure
                    venues.delay_orders(options.delay)
            rows = [
                report.make_row(name, options.followers, options.delay, samples[name], contender.idle_kb)
                for name, contender in pair.items()
            ]
        if undelayed := venues.undelayed():
            notes.append(f"orders were not delayed at {', '.join(undelayed)}")
        if errors := venues.errors():
            notes.append(f"venues answered with errors: {errors}")
    return rows, notes


def main() -> int:
    """Measure, print, and write JSON if asked to. Returns the exit status."""
    options = _options()
    started = datetime.now(UTC)
    costs = signing.measure()
    rows: list[report.Row] = []
    with make_folder(options.folder) as folder:
        try:
            rows, notes = measure(options, str(folder))
        except ContenderFailed as error:
            notes = [str(error)]
    found = report.ratios(rows)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{started:%Y-%m-%d %H:%M} UTC, {machine}, {options.connections} connections a venue, load {load}\n")
    print(report.table(rows, NAMES), "\n")
    print(report.ratio_table(found), "\n")
    print(signing.table(costs))
    for note in notes:
        print(f"\nNote: {note}")
    if options.json is not None:
        result = {
            "at": started.isoformat(), "machine": machine, "load": load, "connections": options.connections,
            "rows": [asdict(row) for row in rows], "ratios": found, "signing": [asdict(cost) for cost in costs],
            "notes": notes,
        }  # fmt: skip
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if rows else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.five_venues", description=__doc__)
    parser.add_argument("--followers", type=int, default=1000, help="of all venues together, at least 5 (%(default)s)")
    parser.add_argument("--delay", type=int, default=50, help="the venues' answer to an order, ms (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="of each contender (%(default)s)")
    parser.add_argument("--connections", type=int, default=250, help="at most so many to each venue (%(default)s)")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "state", help="a real disk, for the ledger")
    parser.add_argument("--json", type=Path, default=None, help="write the figures there as well")
    options = parser.parse_args()
    if not len(VENUES) <= options.followers <= 10_000 or options.runs < 1:
        parser.error("give 5 to 10000 followers and at least one run")
    return options


if __name__ == "__main__":
    sys.exit(main())

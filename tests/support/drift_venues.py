"""The five simulated venues of a drift run, with accounts of the sizes that are asked for.

They serve from a thread, for tests, or as a program of their own, for long runs on a second core:

    echo '{"seed": 1, "accounts": {"okx": {"alice_smith": "500"}}}' | python tests/support/drift_venues.py

which prints where everything is, as JSON, and serves until its input ends. Either way all later talk is HTTP. Nothing
is rate limited, and prices stand still between one `set_price` and the next.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import urllib.request
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from copytrade.simulator.server import ServerThread, SimulatorServer
from copytrade.simulator.venue import SimulatedVenue

Json = dict[str, Any]
VENUES = ("kraken", "coinbase", "alpaca", "okx", "binance")
SPREAD = Decimal("0.0002")
_NO_LIMIT = 1_000_000_000
_MORE: dict[str, Json] = {  # limits that a venue names to its clients, beside those that it enforces
    "binance": {"weight_per_minute": _NO_LIMIT, "orders_per_10_s": _NO_LIMIT, "orders_per_day": _NO_LIMIT},
    "alpaca": {"requests_per_minute": 100_000},
}
_WITH_ADDRESSES = ("kraken", "okx", "binance")
_ADMIN_WAIT_S = 60.0


def make(seed: int, accounts: Mapping[str, Mapping[str, str]]) -> tuple[list[SimulatedVenue], dict[str, Json]]:
    """The venues that somebody has an account at, and the keys of all: `{venue: {account: {"key": ...}}}`."""
    made: list[SimulatedVenue] = []
    keys: dict[str, dict[str, Json]] = {}
    for name in (name for name in VENUES if accounts.get(name)):
        module: Any = importlib.import_module(f"copytrade.simulator.{name}")
        venue: SimulatedVenue = getattr(module, f"{name.capitalize()}Simulator")(
            seed=seed, volatility=0.0, spread=SPREAD, rate_limits=False, **_MORE.get(name, {})
        )
        extras: Json = {"ip_allowlist": ("127.0.0.1",)} if name in _WITH_ADDRESSES else {}
        keys[name] = {}
        for account, cash in accounts[name].items():
            got = venue.add_account(account, {venue.currency: Decimal(cash)}, tier="pro", **extras)
            parts = {"key": got.key, "secret": got.secret, "passphrase": got.passphrase}
            keys[name][account] = {part: text for part, text in parts.items() if text is not None}
        made.append(venue)
    return made, keys


class InThread:
    """Serves from a thread of this process; as a context manager."""

    def __init__(self, seed: int, accounts: Mapping[str, Mapping[str, str]]) -> None:
        self._venues, keys = make(seed, accounts)
        self._server = ServerThread(self._venues)
        self._server.start()
        names = [venue.name for venue in self._venues]
        self.links = {name: Link(name, self._server.url(name), keys[name]) for name in names}

    def __enter__(self) -> InThread:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        for venue in self._venues:
            venue.close()


class Link:
    """One venue as it is reached from outside."""

    def __init__(self, name: str, url: str, keys: Mapping[str, Mapping[str, str]]) -> None:
        self.name = name
        self.url = url
        self.keys = keys

    def ask(self, verb: str, path: str, body: Json | None = None) -> Any:
        """One admin call (docs/simulator.md)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/sim/{path}", data, method=verb)
        with urllib.request.urlopen(request, timeout=_ADMIN_WAIT_S) as reply:
            return json.load(reply, parse_float=Decimal)

    def fault(self, kind: str, **values: Any) -> None:
        self.ask("POST", "faults", {"kind": kind, **values})


async def _serve(told: Json) -> None:
    venues, keys = make(told["seed"], told["accounts"])
    async with SimulatorServer(venues) as server:
        about = {venue.name: {"url": server.url(venue.name), "keys": keys[venue.name]} for venue in venues}
        print(json.dumps(about), flush=True)
        gc.freeze()
        await asyncio.to_thread(sys.stdin.read)
    for venue in venues:
        venue.close()


if __name__ == "__main__":
    gc.set_threshold(200_000, 50, 1_000)  # its records only grow: looking for rings among millions finds none
    asyncio.run(_serve(json.loads(sys.stdin.readline())))

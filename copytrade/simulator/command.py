"""Run simulated venues as a program: one line of JSON with URLs and keys, then serve until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from copytrade.simulator.server import SimulatorServer
    from copytrade.simulator.venue import SimulatedVenue

# Each in the package of its name, imported only when it is asked for.
_CLASSES = {
    "kraken": "KrakenSimulator",
    "okx": "OkxSimulator",
    "binance": "BinanceSimulator",
    "alpaca": "AlpacaSimulator",
    "coinbase": "CoinbaseSimulator",
}
VENUES = tuple(_CLASSES)
ACCOUNTS_MAX = 100_000
MASTER_BALANCE_USD = Decimal(10_000)
FOLLOWER_BALANCE_USD = Decimal(1_000)


def run(
    venues: list[str],
    host: str = "127.0.0.1",
    port: int = 0,
    accounts: int = 3,
    seed: int = 7,
    reply_delay_ms: int = 0,
    store: Path | None = None,
    volatility: float = 0.0001,
    fill_delay_ms: int = 0,
    rate_limits: bool = True,
    tier: str = "intermediate",
) -> None:
    """Serve `venues` (`["all"]` for every one there is) until SIGTERM or SIGINT.

    Each venue gets `accounts` accounts, `master` (10,000 USD) and `follower_1`... (1,000 USD), with keys that
    depend on the seed alone, and a port of its own (`port`, `port` + 1...; 0 takes free ones). `store` is a
    folder with one file per venue. Prints one line of JSON once everything is served. Raises ValueError for a
    setting out of bounds and OSError for a port that is taken.
    """
    _raise_file_limit()
    venues = list(VENUES) if venues == ["all"] else venues
    made = [make_venue(name, seed, store, volatility, fill_delay_ms, rate_limits) for name in venues]
    try:
        keys = {venue.name: add_accounts(venue, accounts, tier) for venue in made}
        asyncio.run(_serve(made, keys, host, port, reply_delay_ms))
    finally:
        for venue in made:
            venue.close()


def make_venue(
    name: str, seed: int, store: Path | None, volatility: float, fill_delay_ms: int, rate_limits: bool
) -> SimulatedVenue:
    """One simulated venue by name. Raises ValueError for a name there is no simulator for."""
    if name not in VENUES:
        raise ValueError(f"there is no simulated venue {name!r}: give some of {', '.join(VENUES)}")
    path = None if store is None else store / f"{name}.sqlite"
    made: SimulatedVenue = getattr(importlib.import_module(f"copytrade.simulator.{name}"), _CLASSES[name])(
        seed=seed, volatility=volatility, fill_delay_ms=fill_delay_ms, rate_limits=rate_limits, store=path
    )
    return made


def add_accounts(venue: SimulatedVenue, count: int, tier: str) -> dict[str, dict[str, str]]:
    """A master and `count` - 1 followers, with their keys and secrets."""
    if not 1 <= count <= ACCOUNTS_MAX:
        raise ValueError(f"accounts is {count}: give a number from 1 to {ACCOUNTS_MAX}")
    shown = {}
    for place in range(count):
        name = f"follower_{place}" if place else "master"
        money = FOLLOWER_BALANCE_USD if place else MASTER_BALANCE_USD
        credentials = venue.add_account(name, {venue.currency: money}, tier=tier)
        shown[name] = {"key": credentials.key, "secret": credentials.secret}
        if credentials.passphrase is not None:
            shown[name]["passphrase"] = credentials.passphrase
    return shown


async def _serve(
    venues: list[SimulatedVenue],
    keys: dict[str, dict[str, dict[str, str]]],
    host: str,
    port: int,
    reply_delay_ms: int,
) -> None:
    from copytrade.simulator.server import SimulatorServer

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with SimulatorServer(venues, host, port, reply_delay_ms) as server:
        sys.stdout.write(json.dumps(describe(server, keys)) + "\n")
        sys.stdout.flush()
        await stop.wait()


def describe(server: SimulatorServer, keys: dict[str, dict[str, dict[str, str]]]) -> dict[str, Any]:
    """Where everything is served and under which keys."""
    return {
        "venues": {
            name: {"url": server.url(name), "admin_url": server.admin_url(name), "accounts": keys[name]}
            for name in server.venues
        }
    }


def _raise_file_limit() -> None:
    """Each connection is an open file; the usual limit of 1,024 is below a thousand followers' connections."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

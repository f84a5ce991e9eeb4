"""The simulated venues as a program: no limits of rate, as hundreds of worlds share one address, and calm prices."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from copytrade.simulator.binance import BinanceSimulator
from copytrade.simulator.command import make_venue
from copytrade.simulator.server import SimulatorServer
from copytrade.simulator.venue import SimulatedVenue

SEED = 7
# Binance tells every client how much weight its address has used, and ours keep to that whether or not it is enforced.
WEIGHT_PER_MINUTE = 100_000_000


def make(name: str, volatility: float) -> SimulatedVenue:
    """One venue without limits of rate."""
    if name == "binance":
        return BinanceSimulator(SEED, volatility=volatility, rate_limits=False, weight_per_minute=WEIGHT_PER_MINUTE)
    return make_venue(name, SEED, None, volatility, 0, rate_limits=False)


async def serve(names: list[str], volatility: float) -> None:
    """Serve until SIGTERM; one line of JSON says where."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with SimulatorServer([make(name, volatility) for name in names]) as server:
        sys.stdout.write(json.dumps({name: server.url(name) for name in names}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[2:], float(sys.argv[1])))

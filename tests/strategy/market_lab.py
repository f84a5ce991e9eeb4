"""All five simulated venues on one server, and the adapters that read their markets, on a clock that can be set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.account import AccountId, account_id
from copytrade.settings.model import Settings
from copytrade.simulator.command import make_venue as simulated
from copytrade.simulator.server import SimulatorServer
from copytrade.wiring.market_data import MarketData
from copytrade.wiring.venues import Accounts, make_venue

VENUES = ("kraken", "coinbase", "alpaca", "okx", "binance")


@dataclass
class Markets:
    """`venues` are the adapters by name, `simulators` what stands behind them."""

    data: MarketData
    venues: dict[str, Any]
    simulators: dict[str, Any]

    def fault(self, venue: str, **fault: Any) -> int:
        return int(self.simulators[venue].add_fault(fault.pop("kind"), **fault))

    def clear(self, venue: str) -> None:
        self.simulators[venue].clear_faults()


@asynccontextmanager
async def markets(tmp_path: Any, *names: str, volatility: float = 0.0005) -> AsyncIterator[Markets]:
    """Markets read and connected; prices move by a seed."""
    simulators: dict[str, Any] = {
        name: simulated(name, 7, None, volatility, 0, rate_limits=False) for name in names or VENUES
    }
    server = SimulatorServer(list(simulators.values()))
    await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        adapters: dict[str, Any] = {}
        for name, simulator in simulators.items():
            stack.callback(simulator.close)
            adapters[name] = make_venue(name, server.url(name), Settings(), utc_now, paper=True)
            stack.push_async_callback(adapters[name].close)
            if name == "alpaca":  # shows its list of markets to API keys alone
                keys = simulator.add_account("alice_smith", {"USD": Decimal(1000)})
                clients = Accounts(adapters[name], tmp_path, lambda account, keys=keys: keys, lambda word: None)
                client = clients(AccountId(account_id("alpaca", "alice_smith")))
                stack.push_async_callback(client.close)
            await adapters[name].load_instruments()
        yield Markets(MarketData(adapters), adapters, simulators)


def utc_now() -> datetime:
    return datetime.now(UTC)

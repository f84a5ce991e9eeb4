"""One private call on its way through the simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from copytrade.simulator.exchange import Exchange
from copytrade.simulator.faults import Fault
from copytrade.simulator.kraken.keys import ApiKey
from copytrade.simulator.kraken.limits import DecayingCounter, Tier
from copytrade.simulator.kraken.params import Params
from copytrade.simulator.orders import Account

# Trading counters and market modes live as long as the venue; both are small: one entry per account and pair,
# one per pair.
ONLINE = "online"
MODES = (ONLINE, "cancel_only", "post_only", "limit_only")


@dataclass(slots=True)
class TradingDesk:
    """What the trading engine keeps besides the exchange: counters, the pairs' modes, whether limits apply."""

    rate_limits: bool
    counters: dict[tuple[str, str], DecayingCounter] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)

    def counter(self, account: str, symbol: str, tier: Tier) -> DecayingCounter:
        """The counter of an account and pair."""
        counter = self.counters.get((account, symbol))
        if counter is None:
            counter = DecayingCounter(tier.trading_max, tier.trading_decay)
            self.counters[(account, symbol)] = counter
        return counter


@dataclass(slots=True)
class Call:
    """A private call that has passed signature, nonce, permission and call counter.

    `arrived_s` is when it came in and `now_s` when the matching engine sees it: between them lies a delay
    that a fault put there.
    """

    exchange: Exchange
    desk: TradingDesk
    api_key: ApiKey
    account: Account
    tier: Tier
    params: Params
    arrived_s: float
    now_s: float
    fault: Fault | None
    token: Callable[[], str]

    @property
    def fault_kind(self) -> str | None:
        """Kind of the fault that strikes this call."""
        return None if self.fault is None else self.fault.kind


Handler = Callable[[Call], Any]

"""APEX on a market that is drawn by hand, in a worker that may be killed: in, half out at 1 R, a quarter at 2 R, stop.

Time does not go back: a run that follows a killed one carries on with the candle that the killed one was at, and
decides on it again.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from copytrade.domain.money import Amount, Quantity
from copytrade.settings.strategy import ScanSettings
from copytrade.strategy.apex.apex import Apex
from copytrade.strategy.apex.figures import Figures
from copytrade.strategy.guards import EntryGuards
from copytrade.strategy.port import Candles, Decision, Funds, View
from copytrade.wiring.market_data import MarketData
from copytrade.wiring.strategy_runner import Seat, StrategyRunner
from copytrade.wiring.system import System

SYMBOL = "BTC/USD"
CANDLES = 4
_HISTORY = 150
_TRIES_MAX = 20


class Forgetful(Apex):
    """The control: an APEX that keeps no memory of what it has asked for, and names an order by nothing lasting."""

    def decide_on(self, view: View, moment: Any) -> Decision:
        decision = super().decide_on(view, moment)
        if decision.wish is not None and decision.memory is not None and view.held:
            kept = {**decision.memory, "asked": "", "held_then": "0", "tries": int(time.time() * 1000)}
            return Decision(kept, decision.wish, decision.if_refused)
        return decision


@functools.cache
def prices() -> np.ndarray[Any, Any]:
    """Closes: a history at whose end APEX enters, then 1 R, 2 R, and a fall through the stop."""
    apex = Apex(Figures(settle_s=0))
    funds = Funds(Amount.of(10_000), Amount.of(10_000))
    for seed in range(2_000):
        close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0004, 0.002, _HISTORY)))
        decision = apex.decide(View(SYMBOL, 0.0, funds, candles=_candles(close, 1_000_000)))
        if decision.wish is not None and decision.memory is not None:
            entry, risk = float(decision.memory["entry"]), float(decision.memory["risk"])
            return np.concatenate([close, [entry + 1.05 * risk, entry + 2.05 * risk, entry - risk]])
    raise AssertionError("none of these markets has an entry at its end")


def _candles(close: np.ndarray[Any, Any], closed_at_s: int) -> Candles:
    opening = np.concatenate([[close[0]], close[:-1]])
    high, low = np.maximum(opening, close) * 1.0002, np.minimum(opening, close) * 0.9998
    time_s = closed_at_s - 300 * np.arange(len(close), 0, -1, dtype=np.int64)
    return Candles(300, time_s, opening, high, low, close, np.full(len(close), 5.0))


async def decide(system: System, step: dict[str, Any], world: Path) -> None:
    """Show the strategy one candle, until it had its say."""
    number, progress = int(step["candle"]), world / "candle"
    at, began_s = map(int, progress.read_text().split()) if progress.exists() else (0, int(time.time()) - 100)
    if at > number:
        return
    building = world / "candle.new"
    building.write_text(f"{number} {began_s}")
    os.replace(building, progress)

    services = system.engine.services
    seat = Seat(
        services.roster.master.terms.account, services, system.engine.desk.place, system.engine.refresher.now
    )
    instrument = services.instrument("kraken", SYMBOL)
    assert instrument is not None
    candles = _candles(prices()[: _HISTORY + number], began_s + number)
    strategy = (Forgetful if step.get("forgetful") else Apex)(Figures(settle_s=0))
    for attempt in range(_TRIES_MAX):
        told: list[str] = []
        runner = StrategyRunner(
            seat, strategy, EntryGuards, MarketData(system.ground.venues), ScanSettings,
            lambda alert, told=told: told.append(alert.text),  # type: ignore[misc]
        )
        await runner.answer([(instrument, candles)])
        if not told:
            return
        logging.warning("attempt %d at candle %d: %s", attempt, number, told)
        await asyncio.sleep(0.5)
    raise SystemExit(f"candle {number} was refused {_TRIES_MAX} times")


def bought_and_sold(orders: list[dict[str, Any]]) -> tuple[list[str], Quantity]:
    """Sides of the master's orders by arrival, and what it holds at the end."""
    held = Quantity.of(0)
    for order in orders:
        filled = Quantity.of(str(order["filled"]))
        held = held + filled if order["side"] == "buy" else held - filled
    return [order["side"] for order in orders], held

"""The runner against the whole system: real venue over HTTP, real ledger; strategies that do what a test tells them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from apex_cases import walk
from world import Desk, World

from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Side
from copytrade.settings.strategy import ScanSettings
from copytrade.strategy.guards import EntryGuards
from copytrade.strategy.port import Candles, Decision, Needs, View, Wish
from copytrade.wiring.market_data import MarketData
from copytrade.wiring.strategy import make_runner
from copytrade.wiring.strategy_runner import Seat, StrategyRunner

BUY = Wish("in", Side.BUY, amount=Amount.of(500))
SELL = Wish("out", Side.SELL, whole=True)


@dataclass
class Scripted:
    """Answers by a script of the test's, and keeps what it was shown."""

    answer: Callable[[View], Decision]
    symbols: tuple[str, ...] = ("BTC/USD",)
    name: str = "scripted"
    candles: int = 0
    shown: list[View] = field(default_factory=list)

    @property
    def needs(self) -> Needs:
        return Needs(symbols=self.symbols, candles=self.candles, candles_min=100 if self.candles else 0, settle_s=6.0)

    def decide(self, view: View) -> Decision:
        self.shown.append(view)
        return self.answer(view)


@dataclass
class Stage:
    """A running system with a runner on it."""

    desk: Desk
    runner: StrategyRunner
    told: list[str]

    def note(self, symbol: str = "BTC/USD") -> Mapping[str, Any] | None:
        """What the ledger keeps of the strategy's memory."""
        found = self.desk.ledger.state.notes.get((self.desk.engine.services.roster.master.terms.account, symbol))
        return None if found is None else json.loads(found[1])

    async def step(self) -> int:
        placed = await self.runner.step()
        await self.desk.settled()
        return placed


@asynccontextmanager
async def stage(world: World, strategy: Any, guards: EntryGuards | None = None) -> AsyncIterator[Stage]:
    async with world.trading() as desk:
        told: list[str] = []
        engine = desk.engine
        services = engine.services
        seat = Seat(services.roster.master.terms.account, services, engine.desk.place, engine.refresher.now)
        data = MarketData(desk.system.ground.venues)
        runner = StrategyRunner(
            seat, strategy, lambda: guards or EntryGuards(), data, ScanSettings, lambda alert: told.append(alert.text)
        )
        yield Stage(desk, runner, told)


def in_then_out(view: View) -> Decision:
    if not view.held:
        return Decision({"stop": "97.90"}, BUY)
    return Decision({"stop": "98.10"}, SELL)


async def test_wishes_become_orders_that_followers_copy(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        strategy = Scripted(in_then_out)
        async with stage(world, strategy) as on:
            assert await on.step() == 1
            assert on.note() == {"stop": "97.90"}
            assert world.holds("alice_smith") == world.holds("master") / 10
            assert await on.step() == 1
            assert world.holds("alice_smith") == world.holds("master") == 0
            assert (on.told, strategy.shown[1].memory) == ([], {"stop": "97.90"})
            (first, second) = strategy.shown
            assert (first.held, second.held) == (Quantity.of(0), Quantity.of("0.01"))
            assert first.funds.equity == Amount.of(10_000)


async def test_memory_and_intent_are_one_transaction(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with stage(world, Scripted(in_then_out)) as on:
            batches: list[list[str]] = []
            append = on.desk.ledger.append

            def watched(events: Any, **how: Any) -> Any:
                batches.append([type(event).__name__ for event in events])
                return append(events, **how)

            on.desk.ledger.append = watched  # type: ignore[method-assign]
            await on.step()
            assert ["MasterIntended", "StrategyNoted"] in batches
            assert [batch for batch in batches if "StrategyNoted" in batch] == [["MasterIntended", "StrategyNoted"]]


async def test_a_restart_finds_the_memory_and_the_same_key_is_the_same_order(tmp_path: Path) -> None:
    def forgetful(view: View) -> Decision:
        return Decision({"seen": (view.memory or {}).get("seen", 0) + 1}, BUY)

    with World(tmp_path) as world:
        async with stage(world, Scripted(forgetful)) as on:
            assert await on.step() == 1
        async with stage(world, again := Scripted(forgetful)) as on:
            assert await on.step() == 1
            assert on.note() == {"seen": 2}
        assert again.shown[0].memory == {"seen": 1}
        assert len(world.orders("master")) == 1


async def test_what_a_guard_refuses_leaves_the_other_memory_and_is_told_once(tmp_path: Path) -> None:
    def stubborn(view: View) -> Decision:
        return Decision({"asked": True}, BUY, if_refused={"asked": False})

    with World(tmp_path) as world:
        async with stage(world, Scripted(stubborn)) as on:
            on.desk.kill.engage(_halt())
            for _ in range(3):
                assert await on.step() == 0
            assert on.note() == {"asked": False}
            assert len(on.told) == 1
            assert "kill switch" in on.told[0]
            on.desk.kill.path.unlink()
            assert await on.step() == 1
            assert on.note() == {"asked": True}


def _halt() -> Any:
    from copytrade.engine.killswitch import KillState

    return KillState.HALT


@pytest.mark.parametrize(
    ("guards", "words"),
    [
        (EntryGuards(blocked=frozenset({"BTC/USD"})), "master.blocked"),
        (EntryGuards(minimum_trading_balance=Amount.of(10_001)), "minimum_trading_balance"),
        (EntryGuards(min_cash_to_buy=Amount.of(10_001)), "min_cash_to_buy"),
        (EntryGuards(max_positions=0), "max_positions"),
    ],
    ids=["blocklist", "balance", "cash", "positions"],
)
async def test_guards_stop_entries_and_no_exit(guards: EntryGuards, words: str, tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with stage(world, Scripted(in_then_out)) as on:
            assert await on.step() == 1
        async with stage(world, Scripted(in_then_out), guards) as on:
            assert await on.step() == 1, "an exit passes"
            assert world.holds("master") == 0
            assert await on.step() == 0
            assert words in on.told[-1]


async def test_no_more_positions_than_eight(tmp_path: Path) -> None:
    symbols = ("BTC/USD", "ETH/USD", "SOL/USD")
    with World(tmp_path) as world:
        strategy = Scripted(lambda view: Decision(wish=BUY), symbols)
        async with stage(world, strategy, EntryGuards(max_positions=2)) as on:
            assert await on.step() == 2
            held = {symbol for (account, symbol) in on.desk.ledger.state.positions if account == "kraken:master"}
            assert held == set(symbols[:2])
            assert "2 positions are open, and guards.max_positions is 2" in on.told[-1]


async def test_two_scans_at_once_cannot_both_take_the_last_position(tmp_path: Path) -> None:
    symbols = ("BTC/USD", "ETH/USD", "SOL/USD", "BTC/USD")
    with World(tmp_path) as world:
        strategy = Scripted(lambda view: Decision({"in": 1}, BUY), symbols)
        async with stage(world, strategy, EntryGuards(max_positions=1)) as on:
            found = [on.desk.engine.services.instrument("kraken", symbol) for symbol in symbols]
            placed = await asyncio.gather(*(on.runner.answer([(each, None)]) for each in found if each is not None))
            await on.desk.settled()
            assert sum(placed) == 1
            assert len(strategy.shown) == 4
            assert len(world.orders("master")) == 1


async def test_a_market_with_an_order_under_way_is_not_asked_about(tmp_path: Path) -> None:
    with World(tmp_path, simulator={"fill_delay_ms": 60_000}) as world:
        strategy = Scripted(in_then_out)
        async with stage(world, strategy) as on:
            assert await on.runner.step() == 1
            assert await on.runner.step() == 0
            assert len(strategy.shown) == 1
            world.venue.fill_delay_ms = 0


async def test_a_strategy_that_fails_at_one_market_is_asked_about_the_others(tmp_path: Path) -> None:
    def fails(view: View) -> Decision:
        if view.symbol == "BTC/USD":
            raise RuntimeError("a mistake")
        return Decision({"value": object()} if view.symbol == "SOL/USD" else None, BUY)

    with World(tmp_path) as world:
        async with stage(world, Scripted(fails, ("BTC/USD", "SOL/USD", "ETH/USD", "NO/SUCH"))) as on:
            assert await on.step() == 1
            assert [order["symbol"] for order in world.orders("master")] == ["ETH/USD"]
            assert any("failed at BTC/USD (RuntimeError: a mistake)" in text for text in on.told)
            assert any("SOL/USD is not carried out: the memory is not made of JSON" in text for text in on.told)
            assert any("NO/SUCH, which kraken does not list" in text for text in on.told)


async def test_another_strategys_memory_is_nothing_to_this_one(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with stage(world, Scripted(lambda view: Decision({"mine": 1}))) as on:
            await on.step()
        async with stage(world, other := Scripted(lambda view: Decision(), name="other")) as on:
            await on.step()
            assert on.note() == {"mine": 1}, "and it does not wipe it out"
        assert other.shown[0].memory is None


async def test_apex_runs_as_the_settings_say(tmp_path: Path) -> None:
    settings = {"master": {"strategy": "apex"}, "apex": {"markets": ["BTC/USD", "ETH/USD"], "settle_s": 0}}
    with World(tmp_path, settings=settings, simulator={"volatility": 0.0002}) as world:
        async with world.trading() as desk:
            told: list[str] = []
            runner = make_runner(desk.system, lambda alert: told.append(alert.text))
            assert runner is not None
            assert runner.watched() == ["BTC/USD", "ETH/USD"]
            await runner.step()
            assert told == []


async def test_what_another_strategy_left_behind_is_told(tmp_path: Path) -> None:
    with World(tmp_path, settings={"master": {"strategy": "apex"}}) as world:
        async with stage(world, Scripted(in_then_out)) as on:
            await on.step()
        async with world.trading() as desk:
            told: list[str] = []
            make_runner(desk.system, lambda alert: told.append(alert.text))
            assert any("nobody looks after BTC/USD (of scripted)" in text for text in told)


# -- candles -----------------------------------------------------------------------------------------------------------


def closing(world: World, ago_s: float, count: int = 150) -> Candles:
    """A market whose last candle closed so long ago by the world's clock."""
    return walk(1, count, start_s=int(world.clock.unix_s() - ago_s) - 300 * count)


@pytest.mark.parametrize(
    ("ago_s", "count", "asked"), [(7, 150, 1), (3, 150, 0), (290, 150, 1), (700, 150, 0), (7, 99, 0)]
)
async def test_when_a_market_is_shown(ago_s: float, count: int, asked: int, tmp_path: Path) -> None:
    """Not in the first 6 s of a candle, not long after the last one closed, not with too few candles."""
    with World(tmp_path) as world:
        strategy = Scripted(lambda view: Decision(view.memory), (), candles=300)
        async with stage(world, strategy) as on:
            instrument = on.desk.engine.services.instrument("kraken", "BTC/USD")
            assert instrument is not None
            shown = closing(world, ago_s, count)
            for _ in range(2):  # the second time the candle was decided on before
                await on.runner.answer([(instrument, shown)])
            assert len(strategy.shown) == asked
            assert all(view.candles is shown and view.at_s == shown.closed_at_s for view in strategy.shown)


async def test_candles_are_read_from_the_venue_and_held_markets_come_first(tmp_path: Path) -> None:
    """Real candles over HTTP: the last has closed, the running one is not shown, 6 s have passed."""
    with World(tmp_path, simulator={"volatility": 0.0002}) as world:
        strategy = Scripted(lambda view: Decision({"seen": view.symbol}), ("BTC/USD", "ETH/USD"), candles=120)
        async with stage(world, strategy) as on:
            into_s = world.clock.unix_s() % 300
            world.clock.ahead_s += 300 - into_s + 7
            assert on.runner._until_next_s() == pytest.approx(299, abs=2)
            await on.step()
            assert [view.symbol for view in strategy.shown] == ["BTC/USD", "ETH/USD"]
            view = strategy.shown[0]
            assert view.candles is not None
            assert len(view.candles) == 120
            assert 6 <= view.into_candle_s <= 60
            assert view.at_s % 300 == 0
        assert on.note("ETH/USD") == {"seen": "ETH/USD"}
        async with stage(world, scanning := Scripted(lambda view: Decision(view.memory), (), candles=120)) as on:
            assert on.runner.watched() == ["BTC/USD", "ETH/USD"]
            await on.step()
            assert {view.symbol for view in scanning.shown} == {"BTC/USD", "ETH/USD"}

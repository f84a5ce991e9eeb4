"""What is known of the money between two looks: nothing is spent twice, nothing is sized on figures too old."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from ports import ClientAround, around_clients
from world import World, follower

from copytrade.domain.copy import Approved, Deferred
from copytrade.domain.errors import BadRequest, Refused, VenueError, VenueUnavailable
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Balances
from copytrade.engine.desk import TradeRequest
from copytrade.engine.ports import AccountClient
from copytrade.engine.service import Wiring

D = Decimal
BOLD = {"alice_smith": {"cash": 1_000, "multiplier": 2, "max_user_risk": 1}}


@dataclass
class Readings:
    """Balances that can be read once at the start, and again only once they are let through."""

    open: bool = True
    asked: list[str] = field(default_factory=list)

    def around(self, wiring: Wiring) -> Wiring:
        readings = self

        class Read(ClientAround):
            async def balances(self) -> Balances:
                if "master" not in self.account:
                    readings.asked.append(self.account)
                    if not readings.open:
                        raise VenueUnavailable("made up: no balances now")
                return await self.inner.balances()

        def read(client: AccountClient) -> AccountClient:
            return Read(client)

        return around_clients(read)(wiring)


async def test_two_quick_signals_do_not_spend_the_same_cash_twice(tmp_path: Path) -> None:
    with World(tmp_path, followers=BOLD) as world:
        readings = Readings()
        async with world.trading(readings.around) as desk:
            readings.open = False  # what is in the books now is all there is
            first = await desk.buy("3000")
            second = await desk.buy("3000", "ETH/USD")
            third = await desk.buy("1000", "SOL/USD")
            await desk.settled()
            one, two, three = (desk.copy(signal, "alice_smith") for signal in (first, second, third))
            assert (one.state, one.reason) == (OrderState.FILLED, Reason.SIZED_BY_RATIO)
            assert (two.state, two.reason) == (OrderState.FILLED, Reason.CAPPED_BY_CASH)
            assert (three.state, three.reason) == (OrderState.SKIPPED, Reason.BELOW_MIN_CASH)
            assert (one.cost + two.cost + one.fee + two.fee).value <= 1_000
            assert world.holds("alice_smith", "USD") >= 0


async def test_what_an_entry_did_not_spend_is_free_again(tmp_path: Path) -> None:
    with World(tmp_path, followers=BOLD) as world:
        readings = Readings()
        async with world.trading(readings.around) as desk:
            readings.open = False
            world.fault("error", "alice_smith", error="EOrder:Some rule", when="before", count=1)
            refused = await desk.buy("3000")
            await desk.settled()
            again = await desk.buy("3000", "ETH/USD")
            await desk.settled()
            assert desk.copy(refused, "alice_smith").state is OrderState.REFUSED
            assert desk.copy(again, "alice_smith").reason is Reason.SIZED_BY_RATIO


async def test_max_exposure_counts_positions_and_entries_on_their_way(tmp_path: Path) -> None:
    limited = {"alice_smith": {"cash": 1_000, "max_user_risk": 1, "max_exposure": 150}}
    with World(tmp_path, followers=limited) as world:
        async with world.trading() as desk:
            first = await desk.buy("1000")
            second = await desk.buy("1000", "ETH/USD")
            third = await desk.buy("1000", "SOL/USD")
            await desk.settled()
            one, two, three = (desk.copy(signal, "alice_smith") for signal in (first, second, third))
            assert one.reason is Reason.SIZED_BY_RATIO
            assert two.reason is Reason.CAPPED_BY_EXPOSURE
            assert (one.cost + two.cost).value <= 150
            assert (three.state, three.reason) == (OrderState.SKIPPED, Reason.AT_EXPOSURE_LIMIT)


async def test_an_entry_on_figures_that_are_too_old_waits_for_new_ones(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        readings = Readings()
        async with world.trading(readings.around) as desk:
            readings.open = False
            world.clock.ahead_s += 700
            world.venue.deposit("alice_smith", "USD", D(1_000))

            def let_through() -> None:
                readings.open = True

            world.on_plan = let_through
            signal = await desk.buy("1000")
            await desk.settled()
            ((_, (planned,)),) = world.plans
            assert isinstance(planned, Deferred)
            assert planned.reason is Reason.WAITS_FOR_EQUITY
            copy = desk.copy(signal, "alice_smith")
            assert copy.state is OrderState.FILLED
            assert str(copy.quantity) == "0.004"  # of the 2,000 that are there now, not of the 1,000 that were


async def test_an_entry_without_new_figures_is_skipped_and_not_guessed(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        readings = Readings()
        async with world.trading(readings.around) as desk:
            await desk.buy("1000")
            await desk.settled()
            readings.open = False
            world.clock.ahead_s += 700
            signal = await desk.buy("1000")
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert (copy.state, copy.reason) == (OrderState.SKIPPED, Reason.EQUITY_UNKNOWN)
            await desk.sell()  # an exit needs no figures
            await desk.settled()
            assert world.holds("alice_smith") == 0


async def test_the_master_is_not_scaled_on_figures_that_are_too_old(tmp_path: Path) -> None:
    with World(tmp_path, limits={"equity_wait_s": 0.3}) as world:
        async with world.trading() as desk:
            world.clock.ahead_s += 700
            world.fault("status", "master", "BalanceEx", status=503, when="before")
            with pytest.raises(VenueError, match="could not be read, so its entry could not be scaled"):
                await desk.buy("1000")
            assert world.venue.orders() == []


async def test_equities_are_those_before_the_masters_order(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            ((signal, (copy,)),) = world.plans
            assert signal.equity_before == Amount.of("10000")
            assert signal.position_before == Quantity.of("0")
            assert isinstance(copy, Approved)


# -- what the master may not do ---------------------------------------------------------------------------------------


def _wish(**how: object) -> TradeRequest:
    values = {"spelling": "BTC/USD", "side": Side.BUY, **how}
    return TradeRequest(f"wish {sorted(values.items(), key=str)}", **values)  # type: ignore[arg-type]


BAD_WISHES: dict[str, tuple[TradeRequest, str]] = {
    "no such market": (_wish(spelling="XYZ/ABC", usd=Amount.of("10")), "XYZ/ABC"),
    "two amounts": (_wish(usd=Amount.of("10"), quantity=Quantity.of("1")), "exactly one way"),
    "no amount": (_wish(), "exactly one way"),
    "nothing": (_wish(usd=Amount.of("0")), "above zero"),
    "less than nothing": (_wish(quantity=Quantity.of("-1")), "above zero"),
    "the whole of a buy": (_wish(whole=True), "only a sell"),
    "the whole of nothing": (_wish(whole=True, side=Side.SELL), "there is no position in BTC/USD"),
}
REFUSED_WISHES: dict[str, tuple[TradeRequest, Reason]] = {
    "more than the guard": (_wish(usd=Amount.of("6000")), Reason.OVER_MASTER_LIMIT),
    "more than its cash": (_wish(usd=Amount.of("4500")), Reason.INSUFFICIENT_CASH),
    "under the venue's minimum": (_wish(usd=Amount.of("1")), Reason.BELOW_MINIMUM),
    "another currency": (_wish(spelling="ETH/BTC", quantity=Quantity.of("1")), Reason.QUOTE_DIFFERS),
}


async def test_what_the_master_may_not_do_has_its_reason_and_changes_nothing(tmp_path: Path) -> None:
    strict = {"guards": {"max_master_order_usd": 5_000}}
    with World(tmp_path, master_cash=4_000, settings=strict) as world:
        async with world.trading() as desk:
            for wish, words in BAD_WISHES.values():
                with pytest.raises(BadRequest, match=words):
                    await desk.place(wish)
            for wish, reason in REFUSED_WISHES.values():
                with pytest.raises(Refused) as refused:
                    await desk.place(wish)
                assert refused.value.reason is reason
            assert desk.ledger.state.orders == {}
            assert world.venue.orders() == []


async def test_a_market_may_be_spelled_as_the_venue_spells_it(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            for spelling in ("XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD", "btc/usd"):
                await desk.buy("100", spelling)
            await desk.settled()
            assert {symbol for _, symbol in desk.ledger.state.positions} == {"BTC/USD"}
            assert desk.ledger.state.position(follower("alice_smith"), "BTC/USD").value > 0

"""The same at the other venues, whose streams and lists tell orders in their own ways."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hand import Hand
from venues_world import BTC, VenuesDesk, VenuesWorld
from world import until

from copytrade.domain.account import account_id
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.by_hand import hand_order_id
from copytrade.engine.desk import TradeRequest
from copytrade.ledger.replay import verify
from copytrade.simulator.okx import OkxSimulator
from copytrade.simulator.okx.call import OrderNote

D = Decimal
OTHERS = ("coinbase", "alpaca", "okx", "binance")
WATCH = {"strategy": "none", "watch": True, "watch_poll_s": 0.2, "watch_check_s": 1}
NO_GRACE = {"master_fill_grace_s": 0}


class OkxHand(Hand):
    """OKX shows the type of an order, which its exchange does not keep."""

    def _place(self, side: str, quantity: str, limit: int | None, **more: Any) -> str:
        with self.venue.lock:
            order_id = super()._place(side, quantity, limit, **more)
            note = OrderNote("market" if limit is None else "limit", "", "base_ccy" if limit is None else "", quantity)
            cast(OkxSimulator, self.venue)._desk.note(self._order(order_id), note)
            return order_id


def world_of(tmp_path: Path, venue: str) -> VenuesWorld:
    return VenuesWorld(
        tmp_path, users={"alice_smith": {venue: 1_000}}, master=venue, copy=NO_GRACE,
        settings={"master": {**WATCH, "venue": venue}}, limits={"resting_delays_s": (0.1, 0.2, 0.5)},
    )  # fmt: skip


async def watching(desk: VenuesDesk) -> None:
    watcher = desk.engine.watcher
    assert watcher is not None
    await until(lambda: watcher.stream_up and watcher.looked_at is not None, "the stream")


async def copied(desk: VenuesDesk, venue_order_id: str, kind: str = SignalKind.PLACED) -> list[OrderRecord]:
    """The copies of what was done with an order by hand; venues put its market before its id, or do not."""
    found: list[str] = []

    def told() -> bool:
        master = desk.engine.services.roster.master.terms.account
        names = [venue_order_id, *(f"{spelled}:{venue_order_id}" for spelled in ("BTC-USDT", "BTCUSDT", "BTC/USDT"))]
        found[:] = [s for s in (signal_id(hand_order_id(master, n), kind) for n in names) if desk.ledger.signal(s)]
        return bool(found)

    await until(told, f"{kind} of {venue_order_id}")
    return await desk.dealt_with(found[0])


@pytest.mark.parametrize("venue", OTHERS)
async def test_what_the_hand_does_is_copied_and_what_we_do_is_not_copied_again(tmp_path: Path, venue: str) -> None:
    async with world_of(tmp_path, venue) as world:
        hand = (OkxHand if venue == "okx" else Hand)(world.sims[venue], symbol=BTC[venue])
        alice = account_id(venue, "alice_smith")
        async with world.trading() as desk:
            await watching(desk)
            (bought,) = await copied(desk, hand.buy("0.02"))
            assert str(bought.quantity) == "0.002"
            resting = hand.buy("0.01", 45_000)
            (copy,) = await copied(desk, resting)
            assert (copy.kind, copy.limit_price) == (OrderKind.LIMIT, Price.of(45_000))
            hand.cancel(resting)
            await copied(desk, resting, SignalKind.CANCELLED)
            await desk.settled()
            own = await desk.place(
                TradeRequest("own", BTC[venue], Side.SELL, quantity=Quantity.of("0.005"), kind=OrderKind.STOP_LIMIT,
                             limit=Price.of(44_000), stop=Price.of(45_000))
            )  # fmt: skip
            await desk.dealt_with(signal_id(own.order_id, SignalKind.PLACED))
            await desk.engine.changes.cancel(own.order_id)
            await desk.settled()
            (half,) = await copied(desk, hand.sell("0.01"))
            assert half.state in (OrderState.ACCEPTED, OrderState.FILLED)
            await desk.settled()
            assert abs(desk.position(alice, BTC[venue]) - D("0.001")) < D("0.00001")
            placed, cancelled = SignalKind.PLACED, SignalKind.CANCELLED
            assert [s.kind for s, _ in world.plans] == [placed, placed, cancelled, placed, cancelled, placed]
            assert not [alert for alert in world.alerts if "hand" in alert]
        assert verify(world.paths.ledger).ok

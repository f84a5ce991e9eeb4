"""Every kind of order that rests, placed, changed and taken back by hand at every venue, seen by stream and without."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hand_pages import PAGES
from test_engine_watch_venues import WATCH
from venues_world import BTC, VenuesDesk, VenuesWorld
from world import until

from copytrade.copying.drift import Cause
from copytrade.domain.account import account_id
from copytrade.domain.order import OrderKind, OrderState, Role
from copytrade.domain.signal import Signal, SignalKind
from copytrade.ledger.replay import verify

pytestmark = pytest.mark.slow  # Kraken and OKX let a key ask only so often, and here much is asked

# Where every look-up costs what could have been the next one.
OFTEN = {"kraken": {"watch_poll_s": 1, "watch_check_s": 8}, "okx": {"watch_poll_s": 0.5, "watch_check_s": 4}}
PLACED, AMENDED, CANCELLED = SignalKind.PLACED, SignalKind.AMENDED, SignalKind.CANCELLED
# The prices of a kind, and those that it is moved to; a limit is a purchase, everything else leaves the position.
PRICES: dict[OrderKind, tuple[dict[str, str], dict[str, str]]] = {
    OrderKind.LIMIT: ({"limit": "45000"}, {"limit": "46000"}),
    OrderKind.STOP: ({"stop": "45000"}, {"stop": "46000"}),
    OrderKind.STOP_LIMIT: ({"stop": "45000", "limit": "44000"}, {"stop": "45000", "limit": "43000"}),
    OrderKind.TAKE_PROFIT: ({"stop": "55000"}, {"stop": "56000"}),
    OrderKind.TAKE_PROFIT_LIMIT: ({"stop": "55000", "limit": "54000"}, {"stop": "55000", "limit": "54500"}),
    OrderKind.BRACKET: ({"limit": "55000", "stop": "45000"}, {"limit": "56000", "stop": "45000"}),
}


def world_of(tmp_path: Path, venue: str) -> VenuesWorld:
    return VenuesWorld(
        tmp_path, users={"alice_smith": {venue: {"cash": 1_000, "max_user_risk": 1}}}, master=venue,
        copy={"master_fill_grace_s": 0}, settings={"master": {**WATCH, **OFTEN.get(venue, {}), "venue": venue}},
        limits={"resting_delays_s": (0.1, 0.2, 0.5)},
    )  # fmt: skip


async def looked(desk: VenuesDesk) -> None:
    """A look-up that began after now is over."""
    watcher, now = desk.engine.watcher, desk.engine.services.clock()
    assert watcher is not None
    await until(lambda: watcher.looked_at is not None and watcher.looked_at > now, "a look-up")


async def told(world: VenuesWorld, number: int, kinds: list[SignalKind]) -> list[Signal]:
    """The signals from a number on, once there are as many as `kinds`, which they must be."""
    await until(lambda: len(world.plans) >= number + len(kinds), f"{kinds} after {number}")
    found = [signal for signal, _ in world.plans[number:]]
    assert [signal.kind for signal in found] == kinds
    return found


def shown(signal: Signal) -> dict[str, str]:
    named = {"limit": signal.limit_price, "stop": signal.stop_price}
    return {name: str(price) for name, price in named.items() if price is not None}


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "looking"])
@pytest.mark.parametrize("venue", list(PAGES))
async def test_whatever_rests_is_told_from_its_beginning_over_its_change_to_its_end(
    tmp_path: Path, venue: str, streamed: bool
) -> None:
    async with world_of(tmp_path, venue) as world:
        page = PAGES[venue](world.sims[venue])
        if not streamed:
            world.fault(venue, "stream_refuse", method=None)
        async with world.trading() as desk:
            watcher = desk.engine.watcher
            assert watcher is not None
            await looked(desk)
            await until(lambda: watcher.stream_up is streamed, "the stream")
            page.buy("0.05")
            await told(world, 0, [PLACED])
            await desk.settled()
            for kind in page.kinds if streamed else (page.kinds[0], page.kinds[-1]):
                await _from_beginning_to_end(world, desk, page, kind)
            await looked(desk)
            assert not [alert for alert in world.alerts if "hand" in alert], world.alerts
            assert not [record for record in desk.ledger.state.orders.values() if record.role is Role.COPY]
            rows = await desk.engine.reconciler.look(account_id(venue, "alice_smith"), fresh=True)
            assert all(row.explained for row in rows), rows
            nameless = [c for row in rows for c, part in row.causes if c.startswith(Cause.UNEXPLAINED) and part]
            assert not nameless, rows
        assert verify(world.paths.ledger).ok


async def _from_beginning_to_end(world: VenuesWorld, desk: VenuesDesk, page: object, kind: OrderKind) -> None:
    side = "buy" if kind is OrderKind.LIMIT else "sell"
    prices, moved = PRICES[kind]
    number = len(world.plans)
    order = page.place(kind, side, "0.01", prices)  # type: ignore[attr-defined]
    (placed,) = await told(world, number, [PLACED])
    assert (placed.order_kind, str(placed.side), str(placed.quantity), shown(placed)) == (kind, side, "0.01", prices)
    (copy,) = await desk.dealt_with(placed.signal_id)
    assert (copy.state, copy.kind) == (OrderState.ACCEPTED, kind), (copy.reason, copy.detail)
    order = page.change(order, kind, side, "0.008", moved)  # type: ignore[attr-defined]
    began = [AMENDED] if page.in_place else [CANCELLED, AMENDED]  # type: ignore[attr-defined]
    amended = (await told(world, number + 1, began))[-1]
    assert (amended.order_kind, str(amended.quantity), shown(amended)) == (kind, "0.008", moved)
    assert amended.family == placed.master_order_id
    copies = await desk.dealt_with(amended.signal_id)
    await until(lambda: copies and _is_at_rest(desk, copies[0].order_id), "the changed copy rests")
    mine = [r for r in desk.ledger.state.orders.values() if r.role is Role.COPY]
    assert [(str(r.limit_price), str(r.stop_price)) for r in mine] == [
        (str(amended.limit_price), str(amended.stop_price))
    ]
    page.cancel(order)  # type: ignore[attr-defined]
    await told(world, number + 1 + len(began), [CANCELLED])
    await until(lambda: not [r for r in desk.ledger.state.orders.values() if r.role is Role.COPY], "no copy is open")


def _is_at_rest(desk: VenuesDesk, order_id: str) -> bool:
    record = desk.ledger.find(order_id)
    return record is not None and record.state is OrderState.ACCEPTED


@pytest.mark.parametrize("before", ["0", "0.02"], ids=["bought here", "held before, too"])
async def test_what_is_sold_whole_at_binance_while_nobody_works_is_found(tmp_path: Path, before: str) -> None:
    """Nothing of it is held or open any more, and Binance lists what is over by market alone."""
    async with world_of(tmp_path, "binance") as world:
        page = PAGES["binance"](world.sims["binance"])
        world.sims["binance"].deposit("master", "BTC", Decimal(before))
        alice = account_id("binance", "alice_smith")
        async with world.trading() as desk:
            await looked(desk)
            page.buy("0.02")
            await told(world, 0, [PLACED])
            await desk.settled()
            if Decimal(before):  # all that was bought here; what followers hold is the half of it
                page.sell("0.01998")
                await told(world, 1, [PLACED])
                await desk.settled()
        number = len(world.plans)
        page.sell("0.02" if Decimal(before) else "0.01998")
        async with world.trading() as desk:
            await told(world, number, [PLACED])
            await desk.settled()
            assert desk.position(alice, BTC["binance"]) < Decimal("0.00001")

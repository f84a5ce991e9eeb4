"""The list of an account's orders at OKX: what others placed, what is long ago, what cannot be understood."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from account_contract import let_through
from okx_lab import ALICE, OPTIONS, at_raw_server, envelope, okx_lab
from test_okx_algos import ALGO_ID, SHOWN, waiting
from test_okx_stream import INSTRUMENT, ORDER

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, RefusedByVenue

NOW_MS = str(int(datetime.now(UTC).timestamp() * 1000))
LISTED = [envelope("0", [{"ts": NOW_MS}]), envelope("0", [INSTRUMENT])]
RECENT = {**ORDER, "cTime": NOW_MS, "uTime": NOW_MS}
WAITS = {**SHOWN, "cTime": NOW_MS, "uTime": NOW_MS, "slTriggerPx": "48000", "slOrdPx": "-1"}
EMPTY = envelope("0")
SMALL = Quantity.of("0.0001")


@pytest.fixture
async def lab():
    async with okx_lab(rate_limits=False) as made:
        yield made


def a_minute_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


def resting(name: str, price: str = "60000"):
    return replace(waiting(name=name), kind=OrderKind.LIMIT, limit_price=Price.of(price), stop_price=None)


async def test_orders_of_what_is_no_spot_market_are_left_out_and_that_is_told_once(caplog):
    odd = [{**RECENT, "instId": "BTC-USDT-SWAP", "ordId": "1"}, {**RECENT, "instId": "NEW-COIN", "ordId": "2"}]
    script = [*LISTED, envelope("0", [*odd, RECENT]), EMPTY, envelope("0", [{**WAITS, "instId": "NEW-COIN"}, WAITS])]
    async with at_raw_server(*script, EMPTY) as (_, account, _):
        listed = await account.orders(a_minute_ago())
    assert [order.kind for order in listed] == [OrderKind.LIMIT, OrderKind.STOP]
    assert len([record for record in caplog.records if "left out" in record.message]) == 2


async def test_parts_of_an_order_of_another_type_are_orders_by_themselves():
    part = {**RECENT, "algoId": ALGO_ID}
    twap = envelope("0", [{**WAITS, "ordType": "twap"}])
    # Open, finished, three lists of waiting ones, nine of finished ones, and at last the one that is in none of them.
    script = [*LISTED, envelope("0", [part]), *[EMPTY] * 13, twap]
    async with at_raw_server(*script) as (server, account, _):
        (order,) = await account.orders(a_minute_ago())
    assert (order.venue_order_id, order.kind) == ("BTC-USDT:312269865356374016", OrderKind.LIMIT)
    assert server.heard[-1].head.startswith(f"GET /api/v5/trade/order-algo?algoId={ALGO_ID} ")


@pytest.mark.parametrize(
    ("order_type", "kind"),
    [
        ("market", OrderKind.MARKET), ("limit", OrderKind.LIMIT), ("post_only", OrderKind.POST_ONLY),
        ("ioc", OrderKind.IOC_LIMIT), ("fok", OrderKind.IOC_LIMIT), ("optimal_limit_ioc", OrderKind.MARKET),
        ("something new", OrderKind.LIMIT),
    ],
)  # fmt: skip
async def test_kinds_of_ordinary_orders(order_type, kind):
    order = {**RECENT, "ordType": order_type, "px": "" if kind is OrderKind.MARKET else "49000"}
    async with at_raw_server(*LISTED, envelope("0", [order]), EMPTY) as (_, account, _):
        (listed,) = await account.orders(a_minute_ago())
    assert (listed.kind, listed.client_order_id) == (kind, "b15")


@pytest.mark.parametrize("change", [{"ordId": "x"}, {"state": "odd"}, {"sz": "x"}, {"cTime": ""}, {"side": "odd"}])
async def test_order_that_cannot_be_read_is_a_hole(change):
    async with at_raw_server(*LISTED, envelope("0", [{**RECENT, **change}]), EMPTY) as (_, account, _):
        with pytest.raises(VenueUnavailable):
            await account.orders(a_minute_ago())


async def test_list_without_end_is_a_hole():
    async with okx_lab(replace(OPTIONS, pages_max=1), rate_limits=False) as lab:
        for number in range(100):  # one page and no more
            await lab.account.place(replace(resting(str(number)), quantity=SMALL), let_through)
        with pytest.raises(VenueError, match="has no end"):
            await lab.account.orders(a_minute_ago())


async def placed_and_cancelled(lab, prefix: str, count: int) -> None:
    for number in range(count):
        for made in (waiting(name=f"{prefix}{number}"), resting(f"{prefix}{number}r")):
            placed = await lab.account.place(replace(made, quantity=SMALL), let_through)
            await lab.account.cancel(placed.venue_order_id)


async def test_what_was_open_at_the_last_reading_and_ended_after_long_is_still_told(lab):
    old = await lab.account.place(waiting(name="old", quantity="0.0001"), let_through)
    plain = await lab.account.place(resting("old too"), let_through)
    await placed_and_cancelled(lab, "before", 60)
    listed = await lab.account.orders(lab.time.utc() - timedelta(minutes=1))
    still_open = {order.venue_order_id for order in listed if order.status is ExecutionStatus.OPEN}
    assert still_open == {old.venue_order_id, plain.venue_order_id}
    lab.time.now_s += 8 * 86_400
    await placed_and_cancelled(lab, "after", 60)
    since = lab.time.utc() - timedelta(seconds=1)
    await lab.account.cancel(old.venue_order_id)
    await lab.account.cancel(plain.venue_order_id)
    told = {order.venue_order_id: order.status for order in await lab.account.orders(since)}
    assert told[old.venue_order_id] is told[plain.venue_order_id] is ExecutionStatus.CANCELLED
    # The control: whoever never saw it open does not hear of it.
    stranger = lab.venue.connect_account(ALICE, lab.keys.key, lab.keys.secret, lab.keys.passphrase)
    assert old.venue_order_id not in {order.venue_order_id for order in await stranger.orders(since)}


async def test_long_ago_is_read_from_the_archive(lab):
    placed = await lab.account.place(lab.order(), let_through)
    since = lab.time.utc() - timedelta(minutes=1)
    lab.time.now_s += 8 * 86_400
    (listed,) = await lab.account.orders(since)
    assert (listed.venue_order_id, listed.filled) == (placed.venue_order_id, Quantity.of("0.001"))
    assert "/api/v5/trade/orders-history-archive" in lab.sim.requests()["paths"]


@pytest.mark.parametrize("kind", ["status", "hang"])
async def test_post_only_order_is_looked_at_once_and_counts_as_taken_without_an_answer(lab, kind):
    crossing = replace(resting("one", "49000"), kind=OrderKind.POST_ONLY)
    outcome = await lab.account.place(crossing, let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert outcome.reason is Reason.POST_ONLY_WOULD_FILL
    lab.fault(kind, when="before", method="GET /trade/order", count=1)
    outcome = await lab.account.place(replace(crossing, order_id="two"), let_through)
    assert isinstance(outcome, Accepted), "the venue took it, and following it tells the end"
    execution = await lab.account.execution(outcome.venue_order_id)
    assert (execution.status, execution.quantity) == (ExecutionStatus.CANCELLED, Quantity.of(0))
    assert "liquidity" in execution.detail
    fine = replace(crossing, order_id="three", limit_price=Price.of(51_000))
    assert isinstance(await lab.account.place(fine, let_through), Accepted)
    assert lab.sim.money()["house"] == {}, "nothing was bought or sold"

"""Kraken's stream of executions: what its reports are put together to, and what the account makes of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from kraken_lab import BTC_USD, OPTIONS, kraken_lab
from resting_base import WAIT_S, let_through

from copytrade.domain.errors import CredentialsRejected, VenueUnavailable
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.simulator.orders import NewOrder
from copytrade.venues.kraken.changes import KEPT_MAX, Ask, Changes
from copytrade.venues.kraken.options import KrakenOptions

AT = "2026-03-01T10:00:00.250000Z"
AT_TIME = datetime(2026, 3, 1, 10, 0, 0, 250_000, UTC)
AHEAD = timedelta(seconds=3)  # how far Kraken's clock is ahead of ours here
OPEN, FILLED, CANCELLED = ExecutionStatus.OPEN, ExecutionStatus.FILLED, ExecutionStatus.CANCELLED


class Story:
    """Reports told one after the other."""

    def __init__(self) -> None:
        self.left_out: list[str] = []
        listed = {"BTC/USD": BTC_USD}
        self.changes = Changes(listed.get, lambda: AHEAD, self.left_out.append)

    def tell(self, exec_type: str, *, live: bool = True, **fields: Any) -> VenueOrder | Ask | None:
        report = {"order_id": "OONE", "exec_type": exec_type, "timestamp": AT, **fields}
        return self.changes.take(json.loads(json.dumps(report), parse_float=Decimal), live=live)

    def begin(self, **changes: Any) -> VenueOrder | Ask | None:
        """An order is received and then live."""
        fields = {
            "symbol": "BTC/USD", "side": "buy", "order_type": "limit", "order_qty": 0.01, "cum_qty": 0.0,
            "limit_price": 49_000.0, "limit_price_type": "static", "time_in_force": "GTC", "cl_ord_id": "ours",
            **changes,
        }  # fmt: skip
        assert self.tell("pending_new", **{name: value for name, value in fields.items() if value is not None}) is None
        return self.tell("new")

    def trade(self, exec_id: str, quantity: float, total: float, fee: float = 1.0, asset: str = "USD", **more: Any):
        cost = {"cum_cost": total * 50_000, "fees": [{"asset": asset, "qty": fee}]}
        return self.tell("trade", exec_id=exec_id, last_qty=quantity, cum_qty=total, **{**cost, **more})


@pytest.fixture
def story() -> Story:
    return Story()


def test_an_order_is_told_once_it_is_live(story):
    order = story.begin()
    assert order == VenueOrder(
        venue_order_id="OONE", client_order_id="ours", symbol="BTC/USD", side=Side.BUY, kind=OrderKind.LIMIT,
        quantity=Quantity.of("0.01"), limit_price=Price.of(49_000), stop_price=None, status=OPEN,
        filled=Quantity.of(0), cost=Amount.of(0), fee=Amount.of(0), created_at=AT_TIME - AHEAD, at=AT_TIME - AHEAD,
    )  # fmt: skip


def test_trades_add_up_and_the_end_has_the_totals(story):
    story.begin()
    first = story.trade("T1", 0.004, 0.004, fee=0.5)
    second = story.trade("T2", 0.006, 0.01, fee=0.75)
    assert [(each.filled, each.fee, each.status) for each in (first, second)] == [
        (Quantity.of("0.004"), Amount.of("0.5"), OPEN), (Quantity.of("0.01"), Amount.of("1.25"), OPEN),
    ]  # fmt: skip
    end = story.tell("filled", cum_qty=0.01, cum_cost=500.0)
    assert (end.status, end.filled, end.cost, end.fee) == (
        FILLED, Quantity.of("0.01"), Amount.of(500), Amount.of("1.25"),
    )  # fmt: skip


def test_a_cancelled_order_keeps_what_was_filled(story):
    story.begin()
    story.trade("T1", 0.004, 0.004)
    end = story.tell("canceled", reason="User requested")
    assert (end.status, end.filled) == (CANCELLED, Quantity.of("0.004"))
    story.begin()
    assert story.tell("expired").status is CANCELLED


def test_a_fee_in_the_base_asset_is_told_apart_under_either_name(story):
    story.begin()
    order = story.trade("T1", 0.01, 0.01, fee=0.00004, asset="XBT")
    assert (order.fee, order.fee_base) == (Amount.of(0), Quantity.of("0.00004"))


def test_a_fee_in_a_third_asset_has_the_order_asked_for(story):
    story.begin()
    assert story.trade("T1", 0.01, 0.01, asset="KFEE") == Ask("OONE")


def test_a_trade_told_twice_counts_once(story):
    story.begin()
    assert story.trade("T1", 0.004, 0.004).filled == Quantity.of("0.004")
    assert story.trade("T1", 0.004, 0.004) is None


@pytest.mark.parametrize(
    "hole",
    [
        lambda story: story.trade("T2", 0.002, 0.006),  # of an order that nothing was heard of
        lambda story: (story.begin(), story.trade("T2", 0.002, 0.006))[1],  # a trade before it is missing
        lambda story: (story.begin(cum_qty=0.004), story.trade("T2", 0.002, 0.006))[1],  # it had trades before
        lambda story: story.tell("new"),
        lambda story: story.tell("something_new"),
        lambda story: (story.begin(), story.tell("amended"))[1],  # what is it now?
    ],
    ids=["unknown", "trade missing", "trades before", "sparse", "type new to us", "amended without its prices"],
)
def test_a_hole_in_the_story_has_the_order_asked_for(story, hole):
    assert hole(story) == Ask("OONE")


@pytest.mark.parametrize(
    "end",
    [
        lambda story: story.tell("filled", cum_qty=0.01, cum_cost=500.0),
        lambda story: (story.begin(), story.tell("filled", cum_qty=0.01, cum_cost=500.0))[1],
        lambda story: (story.begin(), story.tell("filled"))[1],
        lambda story: (story.begin(), story.tell("canceled", cum_qty=0.004, cum_cost=200.0))[1],
    ],
    ids=["unknown", "without its trades", "without totals", "cancelled after a trade"],
)
def test_an_end_with_a_hole_before_it_has_the_order_asked_for_as_over(story, end):
    assert end(story) == Ask("OONE", over=True)


def test_what_was_asked_for_is_known_from_then_on(story):
    order = story.begin()
    story.changes.learn(replace(order, filled=Quantity.of("0.004"), cost=Amount.of(200), fee=Amount.of(1)))
    assert story.trade("T1", 0.004, 0.004) is None, "a trade that the answer has already"
    order = story.trade("T2", 0.006, 0.01)
    assert (order.filled, order.fee) == (Quantity.of("0.01"), Amount.of(2))
    assert story.tell("filled", cum_qty=0.01, cum_cost=500.0).status is FILLED


def test_the_snapshot_is_no_change_and_makes_sparse_reports_readable(story):
    assert story.tell(
        "new", live=False, symbol="BTC/USD", side="sell", order_type="limit", order_qty=0.01, limit_price=51_000.0
    ) is None  # fmt: skip
    order = story.tell("canceled")
    assert (order.side, order.status, order.limit_price) == (Side.SELL, CANCELLED, Price.of(51_000))


def triggered(**changes: Any) -> dict[str, Any]:
    return {"triggers": {"reference": "last", "price": 48_000.0, "price_type": "static", **changes}}


@pytest.mark.parametrize(
    ("fields", "kind", "limit", "stop"),
    [
        ({"order_type": "market", "limit_price": None}, OrderKind.MARKET, None, None),
        ({"time_in_force": "IOC"}, OrderKind.IOC_LIMIT, "49000", None),
        ({"post_only": True}, OrderKind.POST_ONLY, "49000", None),
        ({"order_type": "iceberg"}, OrderKind.LIMIT, "49000", None),
        ({"order_type": "new-to-us"}, OrderKind.LIMIT, "49000", None),
        ({"order_type": "new-to-us", **triggered()}, OrderKind.STOP_LIMIT, "49000", "48000"),
        ({"order_type": "stop-loss", **triggered()}, OrderKind.STOP, None, "48000"),
        ({"order_type": "stop-loss-limit", **triggered()}, OrderKind.STOP_LIMIT, "49000", "48000"),
        ({"order_type": "take-profit", **triggered()}, OrderKind.TAKE_PROFIT, None, "48000"),
        ({"order_type": "take-profit-limit", **triggered()}, OrderKind.TAKE_PROFIT_LIMIT, "49000", "48000"),
        (
            {"order_type": "trailing-stop", **triggered(price=5.0, price_type="pct", actual_price=47_500.0)},
            OrderKind.STOP, None, "47500",
        ),
    ],
)  # fmt: skip
def test_kinds_of_the_stream(story, fields, kind, limit, stop):
    order = story.begin(**fields)
    assert order.kind is kind
    assert order.limit_price == (None if limit is None else Price.of(limit))
    assert order.stop_price == (None if stop is None else Price.of(stop))


def test_the_stop_of_a_trailing_order_moves_and_is_asked_for(story):
    story.begin(order_type="trailing-stop", **triggered(actual_price=47_500.0))
    assert story.tell("status", order_type="trailing-stop") == Ask("OONE")


def test_a_triggered_order_stays_what_it_was(story):
    story.begin(order_type="stop-loss-limit", **triggered())
    order = story.tell("status", order_type="limit", **triggered(status="triggered"))
    assert (order.kind, order.status) == (OrderKind.STOP_LIMIT, OPEN)


def test_amended_prices_are_taken_over(story):
    story.begin()
    order = story.tell(
        "amended", symbol="BTC/USD", side="buy", order_type="limit", order_qty=0.02, limit_price=48_500.0
    )
    assert (order.quantity, order.limit_price) == (Quantity.of("0.02"), Price.of(48_500))


def test_the_quantity_of_an_order_by_value_is_what_has_filled(story):
    order = story.begin(order_type="market", limit_price=None, order_qty=None, cash_order_qty=500.0)
    assert order.quantity == Quantity.of(0)
    assert story.trade("T1", 0.01, 0.01).quantity == Quantity.of("0.01")
    end = story.tell("filled", cum_qty=0.01, cum_cost=500.0)
    assert (end.status, end.quantity, end.filled) == (FILLED, Quantity.of("0.01"), Quantity.of("0.01"))


@pytest.mark.parametrize(("fields", "why"), [({"symbol": "NO/SUCH"}, "NO/SUCH"), ({"margin": True}, "margin")])
def test_what_is_no_order_of_a_listed_spot_market_is_left_out(story, fields, why):
    report = {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "order_qty": 1.0, **fields}
    assert story.tell("pending_new", **report) is None
    assert story.tell("new", **report) is None
    assert why in story.left_out[0]


@pytest.mark.parametrize(
    "report",
    [
        {"order_id": None}, {"order_id": 7}, {"exec_type": None}, {"timestamp": "soon"}, {"timestamp": "2026-03-01"},
        {"symbol": "BTC/USD"}, {"symbol": "BTC/USD", "side": "hold", "order_type": "market", "order_qty": 1},
        {"symbol": "BTC/USD", "side": "buy", "order_type": "limit", "order_qty": 1},
        {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "order_qty": -1},
        {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "order_qty": "many"},
    ],
)  # fmt: skip
def test_garbage_is_an_error(story, report):
    story.begin()
    order_id = "OTWO" if "symbol" in report else "OONE"
    with pytest.raises(VenueUnavailable, match="cannot be read"):
        story.changes.take({"exec_type": "new", "timestamp": AT, "order_id": order_id, **report}, live=True)


def test_the_oldest_order_is_forgotten_first_and_asked_for(story):
    story.begin()
    for number in range(KEPT_MAX):
        story.tell(
            "pending_new", order_id=f"O{number}", symbol="BTC/USD", side="buy", order_type="market", order_qty=1
        )
    assert story.tell("new") == Ask("OONE")
    assert isinstance(story.tell("new", order_id=f"O{KEPT_MAX - 1}"), VenueOrder)


# -- the account's stream ---------------------------------------------------------------------------------------


@pytest.fixture
async def lab(tmp_path):
    async with kraken_lab(tmp_path, rate_limits=False) as lab:
        yield lab


async def test_token_that_is_not_given_is_an_error(lab, tmp_path):
    lab.fault("error", when="before", method="GetWebSocketsToken", error="EGeneral:Permission denied", count=1)
    with pytest.raises(CredentialsRejected, match="GetWebSocketsToken needs"):
        await anext(lab.account.stream())
    lab.fault("error", when="before", method="GetWebSocketsToken", error="EService:Unavailable")
    with pytest.raises(VenueUnavailable):
        await anext(lab.account.stream())
    assert lab.sim.listeners() == {}


async def test_order_that_had_trades_before_the_stream_was_up_is_told_whole(tmp_path):
    async with kraken_lab(tmp_path, rate_limits=False, fill_parts=2, fill_delay_ms=60_000) as lab:
        placed = await lab.account.place(lab.order(quantity="0.01"), let_through)
        lab.time.now_s += 61
        assert (await lab.account.execution(placed.venue_order_id)).quantity == Quantity.of("0.005")
        async with aclosing(lab.account.stream()) as stream:
            assert await anext(stream) is None
            lab.time.now_s += 61
            async with asyncio.timeout(WAIT_S):
                order = await anext(stream)
                while order is None or order.status is not FILLED:
                    order = await anext(stream)
        execution = await lab.account.execution(placed.venue_order_id)
        assert (order.filled, order.cost, order.fee) == (execution.quantity, execution.cost, execution.fee)
        assert order.filled == Quantity.of("0.01")


async def test_order_by_value_is_told_in_base_units(lab):
    async with aclosing(lab.account.stream()) as stream:
        assert await anext(stream) is None
        with lab.sim.lock:
            request = NewOrder("alice_smith", "BTC/USD", "buy", Decimal(500), volume_in_quote=True)
            lab.sim.exchange.submit(request)
        async with asyncio.timeout(WAIT_S):
            order = await anext(stream)
            while order is None or order.status is not FILLED:
                order = await anext(stream)
    (listed,) = await lab.account.orders(lab.time.utc() - timedelta(minutes=1))
    assert (order.quantity, order.filled) == (Quantity.of("0.01"), Quantity.of("0.01"))
    assert (listed.quantity, listed.filled, listed.cost) == (order.quantity, order.filled, order.cost)


@pytest.mark.parametrize(
    ("base_url", "stream_url", "expected"),
    [
        ("https://api.kraken.com", None, "wss://ws-auth.kraken.com"),
        ("http://127.0.0.1:8080", None, "ws://127.0.0.1:8080"),
        ("https://proxy.example", None, "wss://proxy.example"),
        ("https://api.kraken.com", "wss://elsewhere.example/", "wss://elsewhere.example"),
    ],
)
def test_where_the_stream_is(base_url, stream_url, expected):
    assert KrakenOptions(stream_url=stream_url).stream_base(base_url) == expected


async def test_streams_are_opened_no_faster_than_kraken_allows_an_address(tmp_path):
    slow = replace(OPTIONS, stream_connects_per_s=0.5, stream_connects_burst=1)
    async with kraken_lab(tmp_path, slow) as lab:
        for _ in range(3):
            async with aclosing(lab.account.stream()) as stream:
                assert await anext(stream) is None
        assert sum(lab.time.slept) == pytest.approx(4.0)

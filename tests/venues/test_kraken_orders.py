"""Orders at Kraken beyond the contract: fields of each kind, odd orders in the lists, and what a cancel costs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from kraken_lab import (
    BTC_USD,
    OPTIONS,
    Nonces,
    Time,
    accepted,
    at_raw_server,
    kraken_lab,
    open_gate,
    refused,
    ticket,
)

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, OrderTicket, RefusedByVenue, VenueOrder
from copytrade.simulator.kraken.limits import cancel_penalty
from copytrade.simulator.orders import NewOrder
from copytrade.venues.kraken.kinds import NATIVE, listed_shape, price_fields
from copytrade.venues.kraken.listing import OrderList
from copytrade.venues.kraken.options import TIERS
from copytrade.venues.kraken.trading import TradingCounters

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
ALICE = AccountId("kraken:alice_smith")


def order_of(kind: OrderKind, limit: str | None = None, stop: str | None = None) -> OrderTicket:
    return replace(
        ticket(side=Side.SELL), kind=kind, limit_price=None if limit is None else Price.of(limit),
        stop_price=None if stop is None else Price.of(stop),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "limit", "stop", "fields"),
    [
        (OrderKind.LIMIT, "51000.5", None, {"ordertype": "limit", "price": "51000.5", "oflags": "fciq"}),
        (OrderKind.POST_ONLY, "51000", None, {"ordertype": "limit", "price": "51000", "oflags": "fciq,post"}),
        (OrderKind.STOP, None, "48000", {"ordertype": "stop-loss", "price": "48000", "oflags": "fciq"}),
        (
            OrderKind.STOP_LIMIT, "47000", "48000",
            {"ordertype": "stop-loss-limit", "price": "48000", "price2": "47000", "oflags": "fciq"},
        ),
        (OrderKind.TAKE_PROFIT, None, "52000", {"ordertype": "take-profit", "price": "52000", "oflags": "fciq"}),
        (
            OrderKind.TAKE_PROFIT_LIMIT, "51500", "52000",
            {"ordertype": "take-profit-limit", "price": "52000", "price2": "51500", "oflags": "fciq"},
        ),
    ],
)  # fmt: skip
async def test_fields_of_each_kind(kind, limit, stop, fields):
    async with at_raw_server(accepted()) as (server, account, _):
        assert isinstance(await account.place(order_of(kind, limit, stop), open_gate), Accepted)
        sent = server.heard[0].fields
    assert sent.pop("deadline")
    assert sent.pop("nonce")
    assert sent == {
        "type": "sell", "volume": "0.001", "pair": "XBTUSD", "cl_ord_id": ticket().order_id, **fields,
    }  # fmt: skip


async def test_kind_that_kraken_does_not_have_is_a_mistake_of_ours_and_not_sent():
    async with at_raw_server(accepted()) as (server, account, nonces):
        with pytest.raises(ValueError, match="no such order"):
            await account.place(order_of(OrderKind.BRACKET, "52000", "48000"), open_gate)
        assert (server.heard, nonces.handed) == ([], [])
    assert set(OrderKind) - NATIVE == {OrderKind.BRACKET}


@pytest.mark.parametrize("price", ["0", "-1"])
def test_a_price_that_is_none_is_a_mistake_of_ours(price):
    with pytest.raises(ValueError, match="stop_price"):
        price_fields(order_of(OrderKind.STOP, None, price))


async def test_post_only_order_that_would_fill_is_refused_for_certain():
    async with at_raw_server(refused("EOrder:Post only order")) as (_, account, _):
        outcome = await account.place(order_of(OrderKind.POST_ONLY, "49000"), open_gate)
    assert isinstance(outcome, RefusedByVenue)
    assert (outcome.reason, outcome.retry_after_s) == (Reason.POST_ONLY_WOULD_FILL, None)


# -- what the lists show ----------------------------------------------------------------------------------------


def shown(ordertype: str = "limit", asked: str = "49000.0", asked2: str = "0", **changes: Any) -> dict[str, Any]:
    descr = {"pair": "XBTUSD", "type": "buy", "ordertype": ordertype, "price": asked, "price2": asked2}
    descr |= {"leverage": changes.pop("leverage", "none")}
    return {
        "status": "open", "vol": "0.01", "vol_exec": "0.0", "cost": "0", "fee": "0", "price": "0", "oflags": "fciq",
        "opentm": 1_772_359_200.25, "misc": "", "stopprice": "0", "limitprice": "0", "descr": descr, **changes,
    }  # fmt: skip


class Answers:
    """Answers reads from a script: by method a list of results, the last of which repeats."""

    def __init__(self, **results: Any) -> None:
        self.results = {method: list(answers) for method, answers in results.items()}
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, method: str, fields: Any = None, *, cost: float = 1) -> Any:
        self.asked.append((method, dict(fields or {})))
        answers = self.results[method]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def list(self, **settings: Any) -> OrderList:
        listed = {"XBTUSD": BTC_USD, "BTC/USD": BTC_USD}
        limits = {"clock_skew_max_s": 2.0, "pages_max": 20, **settings}
        return OrderList(ALICE, self, listed.get, lambda: timedelta(0), lambda: NOW, **limits)


async def read(*orders: dict[str, Any]) -> list[VenueOrder]:
    answers = Answers(OpenOrders=[{"open": {f"O{n}": order for n, order in enumerate(orders)}}])
    answers.results["ClosedOrders"] = [{"closed": {}}]
    return await answers.list().since(NOW)


@pytest.mark.parametrize(
    ("order", "kind", "limit", "stop"),
    [
        (shown("market", "0"), OrderKind.MARKET, None, None),
        (shown("settle-position", "0"), OrderKind.MARKET, None, None),
        (shown(), OrderKind.LIMIT, "49000", None),
        (shown(oflags="fciq,post"), OrderKind.POST_ONLY, "49000", None),
        (shown("iceberg"), OrderKind.LIMIT, "49000", None),
        (shown("stop-loss", "48000"), OrderKind.STOP, None, "48000"),
        (shown("stop-loss", "-2000", stopprice="48000"), OrderKind.STOP, None, "48000"),
        (shown("stop-loss-limit", "48000", "47000"), OrderKind.STOP_LIMIT, "47000", "48000"),
        (
            shown("stop-loss-limit", "48000", "-500", limitprice="47500"), OrderKind.STOP_LIMIT, "47500", "48000",
        ),
        (shown("take-profit", "52000"), OrderKind.TAKE_PROFIT, None, "52000"),
        (shown("take-profit-limit", "52000", "51500"), OrderKind.TAKE_PROFIT_LIMIT, "51500", "52000"),
        (shown("trailing-stop", "+5.0%", stopprice="47500"), OrderKind.STOP, None, "47500"),
        (
            shown("trailing-stop-limit", "+5.0%", "-100", stopprice="47500", limitprice="47400"),
            OrderKind.STOP_LIMIT, "47400", "47500",
        ),
        # A type that is new to us is the kind with the same prices.
        (shown("new-to-us"), OrderKind.LIMIT, "49000", None),
        (shown("new-to-us", "0"), OrderKind.MARKET, None, None),
        (shown("new-to-us", "48000", stopprice="48000"), OrderKind.STOP, None, "48000"),
        (shown("new-to-us", "48000", "47000", stopprice="48000"), OrderKind.STOP_LIMIT, "47000", "48000"),
        # Should a triggered order be listed as what it has become, it is still known for what it was.
        (shown("market", "0", misc="stopped", stopprice="48000"), OrderKind.STOP, None, "48000"),
        (shown("limit", "47000", misc="stopped,amended", stopprice="48000"), OrderKind.STOP_LIMIT, "47000", "48000"),
        (shown("limit", "52000", misc="touched", stopprice="51900"), OrderKind.TAKE_PROFIT_LIMIT, "52000", "51900"),
    ],
)  # fmt: skip
def test_kinds_of_the_lists(order, kind, limit, stop):
    shape = listed_shape(order)
    assert shape.kind is kind
    assert shape.limit_price == (None if limit is None else Price.of(limit))
    assert shape.stop_price == (None if stop is None else Price.of(stop))


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (shown(leverage="2:1"), "margin"),
        (shown("stop-loss", "+5%"), "without a stop price"),
        (shown("limit", "0"), "without a limit price"),
        ({**shown(), "descr": {"pair": "XBTFOO"}}, "XBTFOO is no market"),
        ({**shown(), "vol": "much"}, "much"),
        ({**shown(), "descr": None}, "NoneType"),
    ],
)
async def test_an_odd_order_is_left_out_and_told_once(odd, why, caplog):
    assert [order.venue_order_id for order in await read(odd, shown(), odd)] == ["O1"]
    assert caplog.text.count(why) == 1


async def test_times_are_on_our_clock_and_who_has_no_id_has_none():
    (order,) = await read(shown())
    assert (order.created_at, order.client_order_id) == (datetime(2026, 3, 1, 10, 0, 0, 250_000, UTC), "")
    (order,) = await read(shown(cl_ord_id="ours"))
    assert order.client_order_id == "ours"


@pytest.mark.parametrize("broken", [[], {"O": 7}, None, {"O": shown(status="new word")}, {"O": shown(cost=None)}])
async def test_a_list_that_cannot_be_read_is_an_error(broken):
    with pytest.raises(VenueUnavailable):
        await Answers(OpenOrders=[{"open": broken}], ClosedOrders=[{"closed": {}}]).list().since(NOW)
    broken_page = {"closed": broken}
    with pytest.raises(VenueUnavailable):
        await Answers(OpenOrders=[{"open": {}}], ClosedOrders=[broken_page]).list().since(NOW)


async def test_an_order_without_its_times_is_a_hole():
    untimed = {name: value for name, value in shown(status="closed").items() if name != "opentm"}
    with pytest.raises(VenueUnavailable, match="times"):
        await Answers(OpenOrders=[{"open": {}}], ClosedOrders=[{"closed": {"O": untimed}}]).list().since(NOW)


async def test_an_order_that_closes_between_the_lists_is_told_as_closed():
    ended = shown(status="closed", vol_exec="0.01", cost="490", fee="1", price="49000", closetm=1_772_359_201.0)
    answers = Answers(OpenOrders=[{"open": {"O": shown()}}], ClosedOrders=[{"closed": {"O": ended}}])
    (order,) = await answers.list().since(NOW)
    assert (order.status, order.filled) == (ExecutionStatus.FILLED, Quantity.of("0.01"))


async def test_a_list_without_an_end_is_an_error():
    page = {"closed": {f"O{n}": shown(status="canceled", closetm=1_772_359_300.0) for n in range(50)}}
    answers = Answers(OpenOrders=[{"open": {}}], ClosedOrders=[page])
    with pytest.raises(VenueError, match="has no end"):
        await answers.list(pages_max=3).since(NOW)
    assert [fields["ofs"] for method, fields in answers.asked if method == "ClosedOrders"] == ["0", "50", "100"]


async def test_an_order_by_value_counts_the_volumes_of_its_trades():
    bought = shown("market", "0", oflags="fciq,viqc", vol="500", vol_exec="500", cost="500", price="49999.9",
                   trades=["TA", "TB"], status="closed", closetm=1_772_400_000.0)  # fmt: skip
    trades = {"TA": {"vol": "0.006"}, "TB": {"vol": "0.0040001"}}
    answers = Answers(OpenOrders=[{"open": {}}], ClosedOrders=[{"closed": {"O": bought}}], QueryTrades=[trades])
    (order,) = await answers.list().since(NOW)
    assert (order.quantity, order.filled) == (Quantity.of("0.0100001"), Quantity.of("0.0100001"))
    assert answers.asked[-1] == ("QueryTrades", {"txid": "TA,TB"})
    bought.pop("trades")  # then its average price has to do
    (order,) = await answers.list().since(NOW)
    assert order.filled == Quantity.of("0.01000002")
    answers.results["QueryTrades"] = [{"TA": {}}]
    bought["trades"] = ["TA"]
    with pytest.raises(VenueUnavailable, match="trades cannot be read"):
        await answers.list().since(NOW)


async def test_an_order_by_value_at_the_simulated_venue(tmp_path):
    async with kraken_lab(tmp_path) as lab:
        request = NewOrder("alice_smith", "BTC/USD", "buy", Decimal(500), volume_in_quote=True, fee_in_base=True)
        with lab.sim.lock:
            lab.sim.exchange.advance(lab.sim.clock())
            lab.sim.exchange.submit(request)
        (order,) = await lab.account.orders(lab.time.utc() - timedelta(minutes=1))
        assert (order.status, order.kind) == (ExecutionStatus.FILLED, OrderKind.MARKET)
        assert (order.quantity, order.filled) == (Quantity.of("0.01"), Quantity.of("0.01"))


# -- cancels ----------------------------------------------------------------------------------------------------


def test_a_cancel_costs_by_the_age_of_the_order_as_the_venue_counts_it():
    for age_s in (0, 4, 5, 9, 12, 30, 60, 100, 299, 300, 10_000):
        clock = Time()
        counters = TradingCounters(TIERS["pro"], clock)
        counters.placed("OONE", "BTC/USD")
        clock.now_s += age_s
        counters.of("BTC/USD").charge(100)  # so that what the cancel adds is not lost at zero
        before = counters.of("BTC/USD").level
        counters.cancelled("OONE")
        assert counters.of("BTC/USD").level - before == cancel_penalty(age_s)
        counters.cancelled("OONE")
        counters.cancelled("somebody else's")
        assert counters.of("BTC/USD").level - before == cancel_penalty(age_s), "once, and nothing for strangers"


def test_old_orders_are_forgotten():
    clock = Time()
    counters = TradingCounters(TIERS["pro"], clock)
    for number in range(1_000):
        counters.placed(f"O{number}", "BTC/USD")
        clock.now_s += 10
    assert len(counters._young) <= 31


async def test_cancels_of_young_orders_make_the_next_order_wait_and_no_cancel_itself(tmp_path):
    async with kraken_lab(tmp_path, replace(OPTIONS, tier="starter")) as lab:
        ours = [
            await lab.account.place(replace(lab.order(f"n{number}", limit="40000"), kind=OrderKind.LIMIT), open_gate)
            for number in range(6)
        ]
        assert lab.account.wait_s(lab.order()) == 0
        for placed in ours:
            await lab.account.cancel(placed.venue_order_id)
        assert sum(lab.time.slept) == 0, "six cancels left one after the other"
        assert lab.account.wait_s(lab.order()) > 0
        assert lab.account.wait_s(lab.order(side=Side.SELL)) == 0, "exits have a reserve"
        assert lab.orders()[-1]["status"] == "canceled"


async def test_many_accounts_cancel_at_once(tmp_path):
    """Each key has a turn of its own, so the connections are what they share."""
    async with kraken_lab(tmp_path, rate_limits=False) as lab:
        accounts = []
        for number in range(40):
            keys = lab.sim.add_account(f"user{number}", {"USD": Decimal(1_000)})
            name = AccountId(f"kraken:user{number}")
            accounts.append(lab.venue.connect_account(name, keys.key, keys.secret, Nonces()))
        resting = replace(lab.order(limit="40000"), kind=OrderKind.LIMIT)
        placed = await asyncio.gather(*(account.place(resting, open_gate) for account in accounts))
        assert all(isinstance(each, Accepted) for each in placed)
        await asyncio.gather(
            *(account.cancel(each.venue_order_id) for account, each in zip(accounts, placed, strict=True))
        )
        assert {order["status"] for order in lab.orders()} == {"canceled"}


async def test_cancel_that_is_pending_is_open_until_it_is_done(tmp_path):
    async with kraken_lab(tmp_path) as lab:
        placed = await lab.account.place(replace(lab.order(limit="40000"), kind=OrderKind.LIMIT), open_gate)
        lab.fault("cancel_pending", method="CancelOrder", delay_ms=5_000, count=1)
        await lab.account.cancel(placed.venue_order_id)
        assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.OPEN
        lab.time.now_s += 6
        assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize("error", ["EService:Unavailable", "EOrder:Rate limit exceeded", "EGeneral:Permission denied"])
async def test_cancel_that_is_refused_is_an_error(error):
    async with at_raw_server(refused(error)) as (_, account, _):
        with pytest.raises(VenueError, match=error):
            await account.cancel("OAAAAA-BBBBB-CCCCCC")


async def test_cancel_of_an_order_that_kraken_does_not_know_any_more_is_no_error(caplog):
    caplog.set_level(logging.WARNING)
    async with at_raw_server(refused("EOrder:Unknown order")) as (server, account, _):
        await account.cancel("OAAAAA-BBBBB-CCCCCC")
        assert server.heard[0].fields["txid"] == "OAAAAA-BBBBB-CCCCCC"
    assert caplog.text == ""

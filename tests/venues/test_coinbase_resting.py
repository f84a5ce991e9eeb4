"""Orders that rest at the simulated Coinbase: the contract of every venue, and what is Coinbase's own."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from coinbase_lab import OPTIONS, SECRET, at_raw_server, coinbase_lab, edit, failed, ticket
from kraken_lab import http
from resting_contract import RestingContract, let_through

from copytrade.domain.errors import VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import ExecutionStatus, RefusedByVenue, Unknown
from copytrade.simulator.coinbase.call import Rules
from copytrade.venues.coinbase.signer import CoinbaseSigner

NATIVE = frozenset(OrderKind) - {OrderKind.STOP, OrderKind.TAKE_PROFIT}
STOPS = {OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT_LIMIT}
# Everything that Coinbase does not publish, the other way round.
OTHERWISE = Rules(stop_status="QUEUED", edits_configure=True, stream_prices=False, fills_lag_s=0.0)


@pytest.fixture
async def lab():
    async with coinbase_lab() as made:
        yield made


@pytest.fixture
async def brisk_lab():
    async with coinbase_lab(replace(OPTIONS, stream_silence_s=1.5)) as made:
        yield made


class TestCoinbaseResting(RestingContract):
    kinds = NATIVE
    place_method = "create_order"
    listing_methods = ("list_orders", "get_fills")
    page = 60  # ours have 100, and more than two of those would need more money than the account has
    stream_notices_gaps = True


class TestCoinbaseRestingOtherwise(TestCoinbaseResting):
    @pytest.fixture
    async def lab(self):
        async with coinbase_lab(rules=OTHERWISE) as made:
            yield made

    @pytest.fixture
    async def brisk_lab(self):
        async with coinbase_lab(replace(OPTIONS, stream_silence_s=1.5), rules=OTHERWISE) as made:
            yield made


contract = TestCoinbaseResting()


# -- how each kind is asked for ------------------------------------------------------------------------------------

DOWN, UP = "STOP_DIRECTION_STOP_DOWN", "STOP_DIRECTION_STOP_UP"


def asked(kind: OrderKind, side: Side, limit: str | None, stop: str | None) -> dict:
    order = replace(
        ticket(side=side), kind=kind, limit_price=None if limit is None else Price.of(limit),
        stop_price=None if stop is None else Price.of(stop),
    )  # fmt: skip
    signer = CoinbaseSigner("k", SECRET, "api.coinbase.com", lambda: 1_700_000_000.0, life_s=10, early_s=2)
    request = signer.sign_order(order)
    assert request.target == "/api/v3/brokerage/orders"
    return json.loads(request.body)["order_configuration"]


@pytest.mark.parametrize(
    ("kind", "side", "limit", "stop", "configuration"),
    [
        (OrderKind.LIMIT, Side.BUY, "49000.50", None,
         {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "49000.5", "post_only": False}}),
        (OrderKind.POST_ONLY, Side.SELL, "51000", None,
         {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "51000", "post_only": True}}),
        (OrderKind.STOP_LIMIT, Side.SELL, "47000", "48000",
         {"stop_limit_stop_limit_gtc": {"base_size": "0.001", "limit_price": "47000", "stop_price": "48000",
                                        "stop_direction": DOWN}}),
        (OrderKind.STOP_LIMIT, Side.BUY, "53000", "52000",
         {"stop_limit_stop_limit_gtc": {"base_size": "0.001", "limit_price": "53000", "stop_price": "52000",
                                        "stop_direction": UP}}),
        (OrderKind.TAKE_PROFIT_LIMIT, Side.SELL, "51500", "52000",
         {"stop_limit_stop_limit_gtc": {"base_size": "0.001", "limit_price": "51500", "stop_price": "52000",
                                        "stop_direction": UP}}),
        (OrderKind.TAKE_PROFIT_LIMIT, Side.BUY, "48500", "48000",
         {"stop_limit_stop_limit_gtc": {"base_size": "0.001", "limit_price": "48500", "stop_price": "48000",
                                        "stop_direction": DOWN}}),
        (OrderKind.BRACKET, Side.SELL, "52000", "48000",
         {"trigger_bracket_gtc": {"base_size": "0.001", "limit_price": "52000", "stop_trigger_price": "48000"}}),
    ],
)  # fmt: skip
def test_sdk_builds_each_kind(kind, side, limit, stop, configuration):
    assert asked(kind, side, limit, stop) == configuration


@pytest.mark.parametrize("kind", [OrderKind.STOP, OrderKind.TAKE_PROFIT])
def test_kind_that_coinbase_does_not_have_is_a_mistake_of_ours(kind):
    with pytest.raises(ValueError, match="does not have"):
        asked(kind, Side.SELL, None, "48000")


# -- what accounts have --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (Rules(), set()),
        (Rules(stop_orders=False), STOPS),
        (Rules(bracket_orders=False), {OrderKind.BRACKET}),
        (Rules(stop_orders=False, bracket_orders=False), {*STOPS, OrderKind.BRACKET}),
    ],
)
async def test_first_check_of_a_key_asks_which_kinds_there_are(rules, missing, caplog):
    async with coinbase_lab(rules=rules) as lab:
        await lab.account.check_key()
        assert lab.venue.order_kinds(lab.venue.instrument("BTC/USD")) == NATIVE - missing
        asked = lab.sim.requests()["paths"]["/api/v3/brokerage/orders/preview"]
        await lab.account.check_key()
        assert lab.sim.requests()["paths"]["/api/v3/brokerage/orders/preview"] == asked == 2
        assert lab.orders() == []
        assert all(kind in caplog.text for kind in missing)


async def test_kinds_count_as_documented_where_they_cannot_be_asked_for(caplog):
    async with coinbase_lab(rules=Rules(stop_orders=False)) as lab:
        lab.fault("error", when="before", method="preview_order", error="PERMISSION_DENIED")
        assert (await lab.account.check_key()).problems == ()
        assert lab.venue.order_kinds(lab.venue.instrument("BTC/USD")) == NATIVE
        assert "cannot be asked" in caplog.text


@pytest.mark.parametrize("kind", [*sorted(STOPS), OrderKind.BRACKET])
async def test_kind_that_is_refused_is_left_to_others_from_then_on(kind):
    async with coinbase_lab(rules=Rules(stop_orders=False, bracket_orders=False)) as lab:
        outcome = await lab.account.place(contract.ticket(lab, kind), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.reason is Reason.INVALID_ORDER
        gone = STOPS if kind in STOPS else {kind}
        assert lab.venue.order_kinds(lab.venue.instrument("BTC/USD")) == NATIVE - gone


async def test_other_refusals_take_no_kind_away():
    """The control of the two tests before."""
    async with coinbase_lab() as lab:
        short = contract.ticket(lab, OrderKind.BRACKET, quantity="900")
        assert (await lab.account.place(short, let_through)).reason is Reason.INSUFFICIENT_FUNDS
        passed = replace(contract.ticket(lab, OrderKind.STOP_LIMIT), stop_price=Price.of(50_500))
        assert (await lab.account.place(passed, let_through)).reason is Reason.VENUE_REFUSED
        assert lab.venue.order_kinds(lab.venue.instrument("BTC/USD")) == NATIVE


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (failed("INVALID_LIMIT_PRICE_POST_ONLY"), Reason.POST_ONLY_WOULD_FILL),
        (failed(preview="PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY"), Reason.POST_ONLY_WOULD_FILL),
        (failed(preview="PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE"), Reason.VENUE_REFUSED),
        (failed("INVALID_BRACKET_STOP_TRIGGER_PRICE"), Reason.VENUE_REFUSED),
        (failed(preview="PREVIEW_STOP_PRICE_BELOW_LIMIT_PRICE"), Reason.INVALID_ORDER),
        (failed("BRACKET_ORDER_NOT_SUPPORTED"), Reason.INVALID_ORDER),
        (failed("INVALID_BRACKET_PRICES"), Reason.INVALID_ORDER),
    ],
)  # fmt: skip
async def test_words_for_orders_that_rest(answer, reason):
    async with at_raw_server(answer) as (_, account):
        outcome = await account.place(ticket(), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert (outcome.reason, outcome.parks_account, outcome.retry_after_s) == (reason, False, None)


async def test_resting_order_that_was_sent_twice_is_one_order(lab):
    lab.fault("drop", when="after", method="create_order", count=1)
    order = contract.ticket(lab, OrderKind.BRACKET)
    assert isinstance(await lab.account.place(order, let_through), Unknown)
    again = await lab.account.place(order, let_through)
    assert [each["order_id"] for each in lab.orders()] == [again.venue_order_id]


async def test_bracket_that_is_cancelled_after_a_part_of_it_filled():
    async with coinbase_lab(fill_parts=2, fill_delay_ms=3_600_000) as lab:
        placed = await contract.rest(lab, OrderKind.BRACKET)
        lab.time.now_s += 3_601  # it takes its place in the book
        await lab.account.balances()
        lab.sim.set_price("BTC/USD", Decimal(52_100))
        await lab.account.cancel(placed.venue_order_id)
        execution = await lab.account.execution(placed.venue_order_id)
        assert (execution.status, execution.quantity) == (ExecutionStatus.CANCELLED, Quantity.of("0.005"))
        assert execution.cost.value == 260


# -- the list of orders --------------------------------------------------------------------------------------------


def hours(lab, count: float) -> None:
    lab.time.now_s += 3_600 * count


async def test_order_that_was_seen_open_is_listed_when_it_has_ended_without_a_trace():
    """An old order that is cancelled: no filter shows it, so it is asked for by its id."""
    async with coinbase_lab(rules=Rules(update_times=False)) as lab:
        old, kept = contract.stranger(lab, limit="41000"), contract.stranger(lab, limit="42000")
        hours(lab, 10)
        assert len(await lab.account.orders(contract.now(lab))) == 2
        lab.sim.exchange.cancel(old)
        hours(lab, 1)
        listed = await lab.account.orders(contract.now(lab))
        assert {order.venue_order_id: order.status for order in listed} == {
            old.order_id: ExecutionStatus.CANCELLED, kept.order_id: ExecutionStatus.OPEN,
        }  # fmt: skip
        assert [order.venue_order_id for order in await lab.account.orders(contract.now(lab))] == [kept.order_id]


async def test_listing_that_forgets_misses_it():
    """The control of the test before."""
    async with coinbase_lab(rules=Rules(update_times=False)) as lab:
        old = contract.stranger(lab, limit="41000")
        hours(lab, 10)
        assert len(await lab.account.orders(contract.now(lab))) == 1
        lab.account._listing._open = frozenset()
        lab.sim.exchange.cancel(old)
        assert await lab.account.orders(contract.now(lab)) == []


async def test_listing_that_failed_is_made_up_for_by_the_next():
    async with coinbase_lab(rules=Rules(update_times=False)) as lab:
        old = contract.stranger(lab, limit="41000")
        hours(lab, 10)
        await lab.account.orders(contract.now(lab))
        lab.sim.exchange.cancel(old)
        hours(lab, 1)
        between = contract.stranger(lab, limit="42000")
        lab.sim.exchange.cancel(between)
        hours(lab, 1)
        lab.fault("error", when="before", method="get_fills", error="UNAVAILABLE")
        with pytest.raises(VenueError):
            await lab.account.orders(contract.now(lab))
        lab.sim.faults.remove()
        listed = await lab.account.orders(contract.now(lab))
        assert [order.venue_order_id for order in listed] == [old.order_id, between.order_id]


async def test_old_order_that_filled_lately_is_listed_the_first_time_too():
    async with coinbase_lab(rules=Rules(update_times=False)) as lab:
        old = contract.stranger(lab, limit="49000")
        hours(lab, 100)
        since = contract.now(lab)
        lab.sim.set_price("BTC/USD", Decimal(48_900))
        hours(lab, 1)
        (listed,) = await lab.account.orders(since)
        assert (listed.venue_order_id, listed.status) == (old.order_id, ExecutionStatus.FILLED)
        assert listed.created_at < since


@pytest.mark.parametrize("status", ["OPEN", "PENDING", "QUEUED"])
async def test_old_stop_that_waits_is_listed_whatever_it_shows(status):
    async with coinbase_lab(rules=Rules(stop_status=status)) as lab:
        placed = await contract.rest(lab, OrderKind.STOP_LIMIT)
        hours(lab, 100)
        for _ in range(2):
            (listed,) = await lab.account.orders(contract.now(lab))
            assert (listed.venue_order_id, listed.status) == (placed.venue_order_id, ExecutionStatus.OPEN)


@pytest.mark.parametrize("refused", ["INVALID_ARGUMENT", "too many"])
async def test_older_history_that_cannot_be_read_is_told_and_does_not_stop_the_list(refused, caplog):
    old = [{**order_object(), "status": "CANCELLED", "created_time": "2026-01-01T00:00:00Z"}]
    none = http({"orders": [], "has_next": False, "cursor": ""})
    odd = http({"error": refused, "message": "no such filter"}, "400 Bad Request")
    if refused == "too many":
        odd = http({"orders": old, "has_next": True, "cursor": "more"})
    answers = (PRODUCTS, none, none, odd, none, http({"fills": [], "cursor": ""}))
    if refused == "INVALID_ARGUMENT":
        answers = (PRODUCTS, none, odd, none, http({"fills": [], "cursor": ""}))
    async with at_raw_server(CLOCK, *answers, options=replace(OPTIONS, pages_max=1)) as (_, account):
        assert await account.orders(account._venue.clock()) == []
        assert "may go unnoticed" in caplog.text


async def test_order_that_is_shown_no_more_fails_one_listing_and_not_the_next(lab):
    placed = await contract.rest(lab, OrderKind.LIMIT)
    await lab.account.orders(contract.now(lab))
    hours(lab, 2)
    lab.sim.books.by_order_id[placed.venue_order_id].visible_at_s = lab.sim.clock() + 1e6
    with pytest.raises(VenueRefusedRead):
        await lab.account.orders(contract.now(lab))
    assert await lab.account.orders(contract.now(lab)) == []


# -- what others placed --------------------------------------------------------------------------------------------

CLOCK = http({})  # none: ours will do
PRODUCTS = http(
    {
        "products": [
            {
                "product_id": "BTC-USD", "base_currency_id": "BTC", "quote_currency_id": "USD",
                "base_increment": "0.00000001", "price_increment": "0.01", "base_min_size": "0.0001",
                "quote_min_size": "1", "status": "online", "product_type": "SPOT",
            }
        ]
    }
)  # fmt: skip


def order_object(configuration=None, **changes):
    return {
        "order_id": "o-1", "client_order_id": "theirs", "product_id": "BTC-USD", "side": "SELL", "status": "OPEN",
        "order_configuration": configuration or {}, "created_time": "2026-01-01T10:00:00.123456789Z",
        "filled_size": "0", "filled_value": "0", "total_fees": "0", "product_type": "SPOT", **changes,
    }  # fmt: skip


async def listed(*orders):
    """What the list makes of these."""
    none = http({"orders": [], "has_next": False, "cursor": ""})
    page = http({"orders": list(orders), "has_next": False, "cursor": ""})
    async with at_raw_server(CLOCK, PRODUCTS, none, none, none, page, http({"fills": [], "cursor": ""})) as made:
        return await made[1].orders(made[1]._venue.clock())


@pytest.mark.parametrize(
    ("configuration", "kind", "quantity", "limit", "stop"),
    [
        ({"market_market_ioc": {"base_size": "2"}}, OrderKind.MARKET, "2", None, None),
        ({"market_market_ioc": {"quote_size": "100"}}, OrderKind.MARKET, "0", None, None),
        ({"sor_limit_ioc": {"base_size": "2", "limit_price": "5"}}, OrderKind.IOC_LIMIT, "2", "5", None),
        ({"limit_limit_fok": {"base_size": "2", "limit_price": "5"}}, OrderKind.IOC_LIMIT, "2", "5", None),
        ({"limit_limit_gtd": {"base_size": "2", "limit_price": "5", "post_only": True}}, OrderKind.POST_ONLY, "2", "5",
         None),
        ({"limit_limit_gtc": {"quote_size": "10", "limit_price": "3"}}, OrderKind.LIMIT, "3.33333333", "3", None),
        ({"stop_limit_stop_limit_gtd": {"base_size": "2", "limit_price": "5", "stop_price": "6",
                                        "stop_direction": DOWN}}, OrderKind.STOP_LIMIT, "2", "5", "6"),
        ({"stop_limit_stop_limit_gtc": {"base_size": "2", "limit_price": "5", "stop_price": "6",
                                        "stop_direction": UP}}, OrderKind.TAKE_PROFIT_LIMIT, "2", "5", "6"),
        ({"trigger_bracket_gtd": {"base_size": "2", "limit_price": "5", "stop_trigger_price": "4"}}, OrderKind.BRACKET,
         "2", "5", "4"),
        ({"twap_limit_gtd": {"base_size": "2", "limit_price": "5", "number_buckets": "4"}}, OrderKind.LIMIT, "2", "5",
         None),
        ({"scaled_limit_gtc": {"base_size": "2", "min_price": "4", "max_price": "6"}}, OrderKind.MARKET, "2", None,
         None),
        ({"of_tomorrow": {"base_size": "2", "limit_price": "5"}}, OrderKind.LIMIT, "2", "5", None),
        ({"stop_market_gtc": {"base_size": "2", "stop_price": "6", "stop_direction": UP}}, OrderKind.TAKE_PROFIT, "2",
         None, "6"),
        ({"stop_market_gtc": {"base_size": "2", "stop_price": "6"}}, OrderKind.STOP, "2", None, "6"),
        ({}, OrderKind.MARKET, "0", None, None),
    ],
)  # fmt: skip
async def test_kinds_of_others_are_the_nearest_of_ours(configuration, kind, quantity, limit, stop):
    (order,) = await listed(order_object(configuration))
    prices = tuple(None if price is None else Price.of(price) for price in (limit, stop))
    assert (order.kind, order.quantity) == (kind, Quantity.of(quantity))
    assert (order.limit_price, order.stop_price) == prices
    assert (order.client_order_id, order.side) == ("theirs", Side.SELL)


async def test_orders_of_other_markets_are_left_out_and_told_of_once(caplog):
    orders = await listed(
        order_object(order_id="o-2", product_id="NO-SUCH"), order_object(order_id="o-3", product_id="NO-SUCH"),
        order_object(order_id="o-4", product_id="BTC-PERP", product_type="FUTURE"), order_object(),
    )  # fmt: skip
    assert [order.venue_order_id for order in orders] == ["o-1"]
    assert caplog.text.count("NO-SUCH") == 1
    assert "PERP" not in caplog.text


async def test_state_that_coinbase_does_not_know_is_not_an_end():
    (order,) = await listed(order_object(status="UNKNOWN_ORDER_STATUS"))
    assert order.status is ExecutionStatus.OPEN


@pytest.mark.parametrize(
    "changes",
    [{"side": "HOLD"}, {"created_time": "yesterday"}, {"created_time": "2026-01-01T10:00:00"}, {"filled_size": "x"},
     {"order_configuration": [7]}, {"order_configuration": {"limit_limit_gtc": 7}},
     {"order_configuration": {"limit_limit_gtc": {"base_size": "-1"}}}, {"client_order_id": 7}, {"order_id": "a/b"}],
    ids=str,
)  # fmt: skip
async def test_order_that_cannot_be_read_makes_the_list_an_error(changes):
    with pytest.raises(VenueUnavailable):
        await listed({**order_object({"limit_limit_gtc": {"base_size": "1", "limit_price": "5"}}), **changes})


@pytest.mark.parametrize("edits_configure", [False, True])
async def test_edited_order_shows_its_new_figures(edits_configure):
    async with coinbase_lab(rules=Rules(edits_configure=edits_configure)) as lab:
        placed = await contract.rest(lab, OrderKind.LIMIT)
        await edit(lab, placed.venue_order_id, price="48000", size="0.02")
        (order,) = await lab.account.orders(contract.now(lab))
        assert (order.limit_price, order.quantity) == (Price.of(48_000), Quantity.of("0.02"))

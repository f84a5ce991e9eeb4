"""The matching engine of all simulated venues: stops, take-profits and brackets, and what they hold meanwhile."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from copytrade.simulator.books import Books
from copytrade.simulator.exchange import Exchange, OrderRefused
from copytrade.simulator.kraken.listing import MARKETS
from copytrade.simulator.orders import CANCELED, CLOSED, NewOrder, Order
from copytrade.simulator.prices import PriceProcess
from copytrade.simulator.storage import Store

BTC = "BTC/USD"
START = Decimal(60_000)


class Ground:
    """One exchange with one account, whose prices move when they are set; `spread` as a fraction."""

    def __init__(self, store: Store | None = None, spread: str = "0", usd: str = "1000", btc: str = "0.01") -> None:
        books = Books(MARKETS, lambda number: f"O{number}", lambda number: f"T{number}", store)
        self.exchange = Exchange(books, PriceProcess(7, MARKETS, 0.0, Decimal(spread)))
        self.now_s = 1_700_000_000.0
        self.wait(0)
        self.account = books.add_account("alice_smith", {"USD": Decimal(usd), "BTC": Decimal(btc)})

    def submit(self, side: str, volume: str = "0.01", **values: object) -> Order:
        wanted = {name: Decimal(value) if name.endswith(("price", "stop")) else value for name, value in values.items()}
        order = self.exchange.submit(NewOrder("alice_smith", BTC, side, Decimal(volume), **wanted))
        self.wait(1)
        return order

    def price(self, price: str) -> None:
        self.exchange.set_price(BTC, Decimal(price))
        self.wait(1)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.exchange.advance(self.now_s)


@pytest.mark.parametrize(
    ("side", "trigger", "stop", "before", "at"),
    [
        ("sell", "stop", "59000", "59000.1", "59000"),
        ("buy", "stop", "61000", "60999.9", "61000"),
        ("sell", "take_profit", "61000", "60999.9", "61000"),
        ("buy", "take_profit", "59000", "59000.1", "59000"),
    ],
)
def test_a_trigger_fires_at_its_price_and_not_before(side, trigger, stop, before, at):
    ground = Ground()
    order = ground.submit(side, trigger=trigger, stop_price=stop)
    ground.price(before)
    assert order.is_open
    assert (order.waits, order.filled) == (True, 0)
    ground.price(at)
    assert (order.status, order.filled, order.cost) == (CLOSED, Decimal("0.01"), Decimal("0.01") * Decimal(at))
    assert order.triggered_at_s is not None
    assert ground.account.holds.get("USD", 0) == ground.account.holds.get("BTC", 0) == 0


@pytest.mark.parametrize(("side", "stop", "last"), [("sell", "59990", "60000"), ("buy", "60010", "60000")])
def test_the_side_of_the_book_that_would_be_hit_counts(side, stop, last):
    ground = Ground(spread="0.0004")  # bid 59988, ask 60012
    order = ground.submit(side, trigger="stop", stop_price=stop)
    assert order.status == CLOSED, last


def test_a_stop_whose_price_is_passed_already_can_be_told_and_is_triggered_at_once():
    ground = Ground()
    request = NewOrder("alice_smith", BTC, "sell", Decimal("0.01"), trigger="stop", stop_price=Decimal("60000"))
    assert ground.exchange.would_trigger(request)
    order = ground.exchange.submit(request)
    assert order.is_open, "acceptance comes before the fill"
    ground.wait(1)
    assert order.status == CLOSED


def test_a_stop_limit_rests_at_its_limit_once_triggered():
    ground = Ground()
    order = ground.submit("sell", trigger="stop", stop_price="59000", limit_price="58900")
    ground.price("58000")
    assert order.triggered_at_s is not None
    assert (order.resting, order.filled) == (True, 0)
    ground.price("58950")
    assert (order.status, order.cost) == (CLOSED, Decimal("589"))


def test_nobody_meets_an_order_that_still_waits_for_its_trigger():
    ground = Ground()
    order = ground.submit("sell", trigger="stop", stop_price="59000", limit_price="58900")
    with pytest.raises(ValueError, match="does not rest"):
        ground.exchange.fill_resting(order, Decimal("0.005"))
    ground.price("58000")
    ground.exchange.fill_resting(order, Decimal("0.005"))
    assert (order.filled, order.is_open) == (Decimal("0.005"), True)


def test_a_triggered_limit_within_reach_fills_at_the_market():
    ground = Ground()
    order = ground.submit("sell", trigger="stop", stop_price="59000", limit_price="58900")
    ground.price("58960")
    assert (order.status, order.cost) == (CLOSED, Decimal("589.60"))


@pytest.mark.parametrize(("reach", "cost"), [("62000", "620"), ("58500", "585")])
def test_a_bracket_ends_at_its_profit_or_at_its_loss_and_sells_once(reach, cost):
    ground = Ground()
    order = ground.submit("sell", limit_price="62000", bracket_stop="59000")
    assert ground.account.available("BTC") == 0, "one hold for both legs"
    ground.price("61000")
    assert (order.is_open, order.filled) == (True, 0)
    ground.price(reach)
    assert (order.status, order.filled, order.cost) == (CLOSED, Decimal("0.01"), Decimal(cost))
    assert (order.triggered_at_s is not None) == (reach == "58500")
    for price in ("62000", "58500", "62000"):
        ground.price(price)
    assert len(order.fills) == 1
    assert ground.account.balances["BTC"] == 0


def test_a_waiting_order_holds_the_most_it_is_known_to_cost():
    ground = Ground(usd="10000")
    stop = ground.submit("buy", trigger="stop", stop_price="62000")
    assert stop.hold == Decimal("620") * Decimal("1.004")
    limited = ground.submit("buy", trigger="stop", stop_price="62000", limit_price="63000")
    assert limited.hold == Decimal("630") * Decimal("1.004")
    free = ground.account.available("USD")
    ground.exchange.cancel(stop)
    assert ground.account.available("USD") == free + Decimal("620") * Decimal("1.004")
    with pytest.raises(OrderRefused):
        ground.submit("sell", "0.011", trigger="stop", stop_price="59000")


def test_an_order_that_holds_at_its_trigger_is_cancelled_there_without_the_money():
    ground = Ground()
    rich = ground.submit("sell", trigger="stop", stop_price="59000", holds_at_trigger=True)
    poor = ground.submit("sell", "0.02", trigger="stop", stop_price="59500", holds_at_trigger=True)
    assert ground.account.available("BTC") == Decimal("0.01")
    ground.price("59500")
    assert (poor.status, poor.reason, rich.status) == (CANCELED, "Insufficient funds", "open")
    ground.price("59000")
    assert rich.status == CLOSED


def test_amending_moves_trigger_limit_and_hold():
    ground = Ground()
    order = ground.submit("buy", trigger="stop", stop_price="61000", limit_price="61100")
    ground.exchange.amend(order, Decimal("0.005"), Decimal("62100"), stop_price=Decimal("62000"))
    assert order.hold == Decimal("310.5") * Decimal("1.004")
    ground.price("61500")
    assert order.waits, "the old trigger no longer counts"
    ground.price("62000")
    assert (order.status, order.cost) == (CLOSED, Decimal("310"))


def test_amending_a_bracket_moves_its_loss():
    ground = Ground()
    order = ground.submit("sell", limit_price="62000", bracket_stop="59000")
    ground.exchange.amend(order, None, None, stop_price=Decimal("58000"))
    ground.price("58500")
    assert order.is_open
    ground.price("58000")
    assert (order.status, order.cost) == (CLOSED, Decimal("580"))


def test_waiting_orders_survive_a_restart(tmp_path: Path):
    store = Store(tmp_path / "venue.sqlite")
    ground = Ground(store)
    waiting = ground.submit("sell", "0.004", trigger="stop", stop_price="59000", limit_price="58000")
    bracket = ground.submit("sell", "0.006", limit_price="62000", bracket_stop="58500")
    store.close()
    again = Ground(Store(tmp_path / "venue.sqlite"))
    waiting, bracket = (again.exchange.books.by_order_id[order.order_id] for order in (waiting, bracket))
    assert (waiting.waits, bracket.armed) == (True, True)
    assert again.account.available("BTC") == 0
    again.price("59000")
    assert (waiting.status, bracket.status) == (CLOSED, "open")
    again.price("58500")
    assert (bracket.status, bracket.cost) == (CLOSED, Decimal("351"))


def test_moving_prices_trigger_on_their_way():
    """Nobody looks for ten minutes; the stop is hit at the first step whose bid is at it, not at the price after."""
    books = Books(MARKETS, lambda number: f"O{number}", lambda number: f"T{number}", None)
    exchange = Exchange(books, PriceProcess(7, MARKETS, 0.001, Decimal(0)))
    exchange.advance(1_700_000_000.0)
    books.add_account("alice_smith", {"BTC": Decimal(1)})
    start = exchange.prices.quote(BTC, exchange.now_s).last
    path = [exchange.prices.quote_at_step(BTC, 1_700_000_000 + step).bid for step in range(1, 601)]
    stop = (min(path) + start) / 2
    stop = stop.quantize(Decimal("0.1"))
    assert min(path) < stop < start, "the seed gives a path that falls"
    request = NewOrder("alice_smith", BTC, "sell", Decimal(1), trigger="stop", stop_price=stop)
    order = exchange.submit(request)
    exchange.advance(1_700_000_600.0)
    assert order.status == CLOSED
    assert order.cost == next(bid for bid in path if bid <= stop)


def test_a_quiet_market_triggers_nothing():
    """The control: without a price that moves, none of the above would end."""
    ground = Ground()
    orders = [
        ground.submit("sell", "0.001", trigger="stop", stop_price="59000"),
        ground.submit("sell", "0.001", trigger="take_profit", stop_price="61000"),
        ground.submit("sell", "0.001", limit_price="62000", bracket_stop="59000"),
    ]
    ground.wait(3600)
    assert all(order.is_open and order.filled == 0 for order in orders)

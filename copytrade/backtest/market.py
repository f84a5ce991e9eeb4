"""The simulated venue of a backtest: one market, its matching engine, and prices that are set and never move alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.simulator.books import Books
from copytrade.simulator.command import make_venue
from copytrade.simulator.exchange import Exchange, OrderRefused
from copytrade.simulator.markets import Market
from copytrade.simulator.orders import NewOrder
from copytrade.simulator.prices import PriceProcess

_TICK_SHARE = Decimal("0.00001")  # a tick coarser than this would move prices that the file has finer
_REFUSED = {OrderRefused.FUNDS: Reason.INSUFFICIENT_FUNDS, OrderRefused.DUPLICATE_CLIENT_ID: Reason.DUPLICATE_ID}


@dataclass(frozen=True, slots=True)
class Fill:
    """What became of an order: `price` is the average, all zero where nothing filled."""

    quantity: Quantity
    cost: Amount
    fee: Amount
    reason: Reason | None = None

    @property
    def price(self) -> float:
        return float(self.cost.value / self.quantity.value) if self.quantity else 0.0


def market_for(venue: str, symbol: str, first_price: float, fee: Decimal | None) -> Market:
    """The venue's market with its rules; one made up for a symbol that its simulated venue does not list.

    Raises `ValueError` for a symbol that is no market.
    """
    base, _, quote = symbol.rpartition("/")
    if not base or not quote:
        raise ValueError(f"{symbol!r} is no market: write it like BTC/USD")
    simulated = make_venue(venue, 0, None, 0.0, 0, rate_limits=False)
    try:
        listed = simulated.exchange.markets.get(symbol)
        known = listed or next(iter(simulated.exchange.markets.values()))
    finally:
        simulated.close()
    price = Decimal(repr(first_price))
    finest = Decimal(1).scaleb((price * _TICK_SHARE).adjusted())
    tick = min(known.tick_size, finest) if listed else finest
    market = replace(
        known, symbol=symbol, base=base, quote=quote, start_price=price, tick_size=tick,
        price_decimals=max(0, -int(tick.as_tuple().exponent)),
    )  # fmt: skip
    if listed is None:
        market = replace(market, lot_decimals=8, order_min=Decimal(1).scaleb(-8), cost_min=Decimal(1), cost_decimals=5)
    return market if fee is None else replace(market, taker_fee=fee, maker_fee=fee)


class _Counted(list[Any]):
    """A list of which only the length is asked: the records of a long run would not fit the memory."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def append(self, item: Any) -> None:
        self._count += 1

    def __len__(self) -> int:
        return self._count


class BacktestMarket:
    """Fills orders at the price that is set, moved against the account by half the spread.

    Balances are the matching engine's own: an account that cannot pay is refused or cut short as a venue would.
    """

    def __init__(self, venue: str, market: Market, slippage: Decimal, seed: int) -> None:
        """`slippage` is the share of the price by which every fill is worse than the candle's price."""
        self.market = market
        self.seed = seed
        self._prices = PriceProcess(seed, [market], 0.0, 2 * slippage)
        self._books = Books([market], "O{}".format, "F{}".format, None)
        self._books.orders, self._books.fills = _Counted(), _Counted()
        self._exchange = Exchange(self._books, self._prices)
        self._price = self._shown = market.start_price
        self.instrument = Instrument(
            venue, market.symbol, market.base, market.quote, market.symbol, market.lot_step, market.tick_size,
            Quantity(market.order_min), Amount(market.cost_min),
        )  # fmt: skip

    def open_account(self, account: AccountId, cash: Amount) -> None:
        self._books.add_account(account, {self.market.quote: cash.value, self.market.base: Decimal(0)})

    def at(self, time_s: float, price: float) -> None:
        """The market's price from now on."""
        self._exchange.advance(time_s)
        self._price = Decimal(repr(price))
        self._set(self._price)

    def quote(self, side: Side, drift: Decimal = Decimal(0)) -> Price:
        """What an order on this side meets; `drift` is the share by which the price has moved against it since."""
        self._set(self._price * (1 + drift if side is Side.BUY else 1 - drift))
        quote = self._prices.quote(self.market.symbol, self._exchange.now_s)
        return Price(quote.ask if side is Side.BUY else quote.bid)

    def drift(self, order: str, most: Decimal) -> Decimal:
        """By how much the price moves against an order on its way: from 0 to `most`, always the same for one order
        and seed."""
        if not most:
            return Decimal(0)
        drawn = hashlib.blake2b(f"{self.seed} {order}".encode(), digest_size=4).digest()
        return (most * int.from_bytes(drawn, "big") / (1 << 32)).quantize(Decimal("1e-9"))

    def trade(
        self, account: AccountId, side: Side, quantity: Quantity, order_id: str, limit: Price | None = None
    ) -> Fill:
        """Place an order at market, or one with a limit that fills at once or not at all, and take it to its end."""
        request = NewOrder(
            account, self.market.symbol, side.value, quantity.value, client_id=order_id,
            limit_price=None if limit is None else limit.value, time_in_force="GTC" if limit is None else "IOC",
        )  # fmt: skip
        try:
            order = self._exchange.submit(request)
        except OrderRefused as refused:
            return Fill(NO_QUANTITY, NO_AMOUNT, NO_AMOUNT, _REFUSED.get(refused.reason, Reason.VENUE_REFUSED))
        self._exchange.advance(self._exchange.now_s)
        self._forget(account)
        return Fill(Quantity(order.filled), Amount(order.cost), Amount(order.fee))

    def cash(self, account: AccountId) -> Amount:
        return Amount(self._books.accounts[account].balances[self.market.quote])

    def held(self, account: AccountId) -> Quantity:
        return Quantity(self._books.accounts[account].balances[self.market.base])

    @property
    def price(self) -> Price:
        """The market's price, without anybody's slippage."""
        return Price(self._price)

    def equity(self, account: AccountId, price: Price | None = None) -> Amount:
        """Cash and the position at this price, the market's own without one."""
        value = self._price if price is None else price.value
        return Amount(self.cash(account).value + self.held(account).value * value)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _set(self, price: Decimal) -> None:
        if price == self._shown:
            return
        self._shown = price
        self._prices.set_price(self.market.symbol, price, self._exchange.now_s)

    def _forget(self, account: AccountId) -> None:
        """An order at its end is known to whoever asked for it, and to nobody else any more."""
        kept = self._books.accounts[account]
        kept.closed_orders.clear()
        kept.fills.clear()
        kept.by_client_id.clear()
        self._books.by_order_id.clear()
        self._books.by_fill_id.clear()

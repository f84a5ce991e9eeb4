"""The matching engine of one simulated venue: orders are accepted, triggered, fill, rest and end, by arrival.

It knows no protocol. A venue's front checks a request against that venue's rules and then calls `submit`,
`cancel` and `amend`. Nothing happens by itself: `advance(now)` brings everything up to `now` (fills that came
due, limit orders the price crossed, stops it reached, orders that expired, dead man's switches), in order of
time, and every venue calls it before it reads or changes anything.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from copytrade.simulator.books import Books
from copytrade.simulator.holds import affordable, hold_for
from copytrade.simulator.orders import CANCELED, CLOSED, EXPIRED, ZERO, Account, NewOrder, Order
from copytrade.simulator.prices import PriceProcess, Quote
from copytrade.simulator.resting import ArmedOrders, RestingOrders

# After a pause (a process that slept, a test that moved the clock) at most this many price steps are looked
# at one by one for limit orders to fill; 3,600 steps of a second take some 0.2 s per market, and an older
# crossing is seen at the present price.
CATCH_UP_STEPS_MAX = 3_600


class OrderRefused(Exception):
    """The matching engine refuses an order; each venue says `reason`, one of the words below, in its own words."""

    FUNDS = "insufficient_funds"
    WOULD_CROSS = "post_only_would_cross"
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    TOO_SMALL = "too_small"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Exchange:
    """Brings orders and prices together and keeps the books.

    `fill_delay_s` passes between acceptance and a fill, 0 meaning: filled by the time of the next request. An
    order fills in `fill_parts` trades, `fill_delay_s` apart.
    """

    def __init__(self, books: Books, prices: PriceProcess, fill_delay_s: float = 0.0, fill_parts: int = 1) -> None:
        if fill_delay_s < 0 or fill_parts < 1:
            raise ValueError(f"fill_delay_s is {fill_delay_s}, fill_parts {fill_parts}: give at least 0 and at least 1")
        self.books = books
        self.markets = books.markets
        self.prices = prices
        self.fill_delay_s = fill_delay_s
        self.fill_parts = fill_parts
        self.on_trigger: Callable[[Order], None] | None = None  # told of every order whose trigger was reached
        self.now_s = 0.0
        self._resting = {symbol: RestingOrders() for symbol in self.markets}
        self._armed = {symbol: ArmedOrders() for symbol in self.markets}
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._due_count = 0
        self._step_seen: int | None = None
        self._prices_set = False
        self._resume()

    # -- time --------------------------------------------------------------------------------------

    def advance(self, now_s: float) -> None:
        """Bring the venue up to `now_s` (unix seconds).

        A clock that goes backwards is taken to stand still.
        """
        now_s = max(now_s, self.now_s)
        step = self.prices.step_of(now_s)
        if self._step_seen is None:
            self._step_seen = step
        if (step != self._step_seen and not self.prices.frozen) or self._prices_set:
            due = self._is_due(now_s)  # an order on its way takes its place now, and the price goes on from there
            for symbol, resting in self._resting.items():
                if resting or self._armed[symbol] or due:
                    self._walk(symbol, self._step_seen, step, now_s)
            self._prices_set = False
        self._step_seen = step
        self._run_due(now_s)
        self.now_s = now_s

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set a market's price as of the last `advance`; resting orders it crosses fill at the next one."""
        self.prices.set_price(symbol, price, self.now_s)
        self._prices_set = True
        self.books.save_prices(self.prices.anchors())

    def at(self, time_s: float, action: Callable[[float], None]) -> None:
        """Do `action(time_s)` when the venue reaches `time_s`."""
        self._due_count += 1
        heapq.heappush(self._due, (time_s, self._due_count, action))

    def _is_due(self, until_s: float) -> bool:
        return bool(self._due) and self._due[0][0] <= until_s

    def _run_due(self, until_s: float) -> None:
        while self._due and self._due[0][0] <= until_s:
            time_s, _, action = heapq.heappop(self._due)
            action(time_s)

    def _walk(self, symbol: str, seen: int, step: int, now_s: float) -> None:
        """Fill and trigger what the price crossed on its way from the step last seen to this one."""
        resting, armed = self._resting[symbol], self._armed[symbol]
        first = step if self.prices.frozen else max(seen + 1, step - CATCH_UP_STEPS_MAX)
        for number in range(min(first, step), step + 1):
            if not resting and not armed and not self._is_due(now_s):
                break
            time_s = min(max(number * self.prices.step_s, self.now_s), now_s)
            self._run_due(time_s)
            quote = self.prices.quote_at_step(symbol, number)
            for order in resting.crossed(quote.bid, quote.ask):
                self._fill_maker(order, order.limit_price, time_s)
            for order in armed.reached(quote.bid, quote.ask):
                self._trigger(order, time_s)

    # -- orders ------------------------------------------------------------------------------------

    def submit(
        self, request: NewOrder, *, hidden_s: float = 0.0, cancel_after_fraction: Decimal | None = None
    ) -> Order:
        """Accept an order, or raise OrderRefused. It never fills in here: acceptance comes before the fill.

        `hidden_s` hides it from lookups for that long; with `cancel_after_fraction` it fills to that share
        and is cancelled.
        """
        account = self.books.accounts[request.account]
        market = self.markets[request.symbol]
        quote = self.prices.quote(request.symbol, self.now_s)
        client_id = request.client_id
        known = account.by_client_id.get(client_id) if client_id is not None else None
        if known and any(order.is_open for order in known):
            raise OrderRefused(OrderRefused.DUPLICATE_CLIENT_ID)
        if request.post_only and not request.trigger and _marketable(request.side, request.limit_price, quote):
            raise OrderRefused(OrderRefused.WOULD_CROSS)
        stop_price = request.bracket_stop if request.bracket_stop is not None else request.stop_price
        worst = _worst_price(request.limit_price, stop_price, quote)
        hold_asset, hold = hold_for(market, request, request.volume, worst)
        if request.holds_at_trigger:
            hold = ZERO
        if account.available(hold_asset) < hold:
            raise OrderRefused(OrderRefused.FUNDS)
        arrival = len(self.books.orders) + 1
        order = Order(
            arrival=arrival,
            order_id=self.books.make_order_id(arrival),
            request=request,
            accepted_at_s=self.now_s,
            hold_asset=hold_asset,
            hold=ZERO,
            volume=request.volume,
            limit_price=request.limit_price,
            stop_price=stop_price,
            visible_at_s=self.now_s + hidden_s,
            parts_left=self.fill_parts,
            cancel_after_fraction=cancel_after_fraction,
        )
        self.books.set_hold(account, order, hold)
        self.books.index(account, order)
        if hidden_s:
            account.hidden_until_s = max(account.hidden_until_s, order.visible_at_s)
        self._schedule(order)
        self.books.save_order(order)
        self.books.streams.publish("new", order, self.now_s)
        return order

    def would_trigger(self, request: NewOrder) -> bool:
        """Whether the price is at an order's trigger already. It is accepted all the same; venues may refuse it."""
        stop_price = request.bracket_stop if request.bracket_stop is not None else request.stop_price
        quote = self.prices.quote(request.symbol, self.now_s)
        price = quote.ask if request.side == "buy" else quote.bid
        rises = (request.side == "buy") == (request.trigger != "take_profit")
        return stop_price is not None and (price >= stop_price if rises else price <= stop_price)

    def cancel(self, order: Order, reason: str | None = "User requested", status: str = CANCELED) -> bool:
        """End an open order; returns whether it was open."""
        if not order.is_open:
            return False
        self.books.close(order, status, self.now_s, reason)
        return True

    def cancel_at(self, order: Order, time_s: float) -> None:
        """Cancel an order when the venue reaches `time_s`, unless it is done by then."""
        self.at(time_s, lambda due_s: self._cancel_if_open(order, due_s))

    def amend(
        self,
        order: Order,
        volume: Decimal | None,
        limit_price: Decimal | None,
        post_only: bool = False,
        stop_price: Decimal | None = None,
    ) -> None:
        """Change volume (total, base units), limit or trigger of an open order that rests. Raises OrderRefused."""
        account = self.books.accounts[order.request.account]
        request = order.request
        volume = order.volume if volume is None else volume
        limit_price = order.limit_price if limit_price is None else limit_price
        stop_price = order.stop_price if stop_price is None else stop_price
        if volume <= order.filled:
            raise OrderRefused(OrderRefused.TOO_SMALL)
        quote = self.prices.quote(request.symbol, self.now_s)
        crosses = not order.waits and _marketable(request.side, limit_price, quote)
        if crosses and (post_only or request.post_only):
            raise OrderRefused(OrderRefused.WOULD_CROSS)
        worst = _worst_price(limit_price, stop_price if order.armed else None, quote)
        _, hold = hold_for(self.markets[request.symbol], request, volume - order.filled, worst)
        if order.waits and request.holds_at_trigger:
            hold = ZERO
        if account.available(order.hold_asset) + order.hold < hold:
            raise OrderRefused(OrderRefused.FUNDS)
        self.books.set_hold(account, order, hold)
        order.volume, order.limit_price, order.stop_price, order.amended = volume, limit_price, stop_price, True
        if order.resting or order.waits:
            # It meets the market anew: the other price may have brought it to where it fills or is triggered.
            order.resting = False
            if crosses or order.waits:
                self.at(self.now_s + self.fill_delay_s, lambda time_s: self._fill_or_rest(order, time_s))
            else:
                self._rest(order)
        self.books.save_order(order)
        self.books.save_account(account)
        self.books.streams.publish("amended", order, self.now_s)

    def cancel_all_at(self, name: str, time_s: float | None) -> None:
        """Arm the dead man's switch of an account for `time_s`, or disarm it with None."""
        account = self.books.accounts[name]
        account.cancel_all_at_s = time_s
        if time_s is not None:
            self.at(time_s, lambda due_s: self._dead_mans_switch(account, due_s))
        self.books.save_account(account)

    # -- inside ------------------------------------------------------------------------------------

    def _schedule(self, order: Order) -> None:
        """Let an open order come to its end: a fill, a rest in the book, an expiry."""
        if order.resting:
            self._rest(order)
        else:
            part = self.fill_parts - order.parts_left
            due_s = order.accepted_at_s + self.fill_delay_s * (part + 1)
            self.at(due_s, lambda time_s: self._fill_or_rest(order, time_s))
        if order.request.expires_at_s is not None:
            self.at(order.request.expires_at_s, lambda time_s: self._expire(order, time_s))

    def _cancel_if_open(self, order: Order, time_s: float) -> None:
        if order.is_open:
            self.books.close(order, CANCELED, time_s, "User requested")

    def _expire(self, order: Order, time_s: float) -> None:
        if order.is_open:
            self.books.close(order, EXPIRED, time_s, "Order expired")

    def _dead_mans_switch(self, account: Account, time_s: float) -> None:
        if account.cancel_all_at_s != time_s:
            return  # armed anew or disarmed since
        account.cancel_all_at_s = None
        for order in list(account.open_orders.values()):
            self.books.close(order, CANCELED, time_s, "Cancel all orders after timeout")
        self.books.save_account(account)

    def _fill_or_rest(self, order: Order, time_s: float) -> None:
        """An order meets the market: a part of it fills, or it takes its place among those that wait."""
        if not order.is_open or order.resting:
            return
        request = order.request
        quote = self.prices.quote(request.symbol, time_s)
        if order.armed and _reached(order, quote):
            self._trigger(order, time_s)
        elif order.waits:
            self._armed[request.symbol].add(order)
        elif _marketable(request.side, order.working_price, quote):
            self._fill_part(order, quote.ask if request.side == "buy" else quote.bid, False, time_s)
            if order.is_open:
                self.at(time_s + self.fill_delay_s, lambda due_s: self._fill_or_rest(order, due_s))
        elif request.time_in_force in ("IOC", "FOK"):
            self.books.close(order, CANCELED, time_s, f"{request.time_in_force} order would not fill")
        else:
            self._rest(order)
            self.books.save_order(order)

    def _rest(self, order: Order) -> None:
        """A limit order takes its place in the book; a bracket's loss is watched for beside it."""
        order.resting = True
        self._resting[order.request.symbol].add(order)
        if order.armed:
            self._armed[order.request.symbol].add(order)

    def _trigger(self, order: Order, time_s: float) -> None:
        """The price reached an order's trigger: from now on it is a market or limit order, with the money for it."""
        order.triggered_at_s = time_s
        order.resting = False
        if self.on_trigger is not None:
            self.on_trigger(order)
        if order.request.holds_at_trigger:
            request = order.request
            account = self.books.accounts[request.account]
            worst = _worst_price(order.working_price, None, self.prices.quote(request.symbol, time_s))
            _, hold = hold_for(self.markets[request.symbol], request, order.volume, worst)
            if account.available(order.hold_asset) < hold:
                self.books.close(order, CANCELED, time_s, "Insufficient funds")
                return
            self.books.set_hold(account, order, hold)
        self.books.save_order(order)
        self.books.streams.publish("triggered", order, time_s)
        self.at(time_s + self.fill_delay_s, lambda due_s: self._fill_or_rest(order, due_s))

    def _fill_maker(self, order: Order, price: Decimal | None, time_s: float) -> None:
        """The market came to a resting order: it fills at its own price, part by part, unless it was moved."""
        if not order.is_open or not order.resting or price is None or order.limit_price != price:
            return
        self._fill_part(order, price, True, time_s)
        if order.is_open:
            self.at(time_s + self.fill_delay_s, lambda due_s: self._fill_maker(order, price, due_s))

    def fill_resting(self, order: Order, volume: Decimal) -> None:
        """Somebody else meets a resting order of this account alone: so much of it fills at its own price.

        Raises ValueError for an order that does not rest.
        """
        if not order.is_open or order.waits or order.limit_price is None or volume <= 0:
            raise ValueError(f"order {order.order_id} does not rest with a limit price, or volume is {volume}")
        self._fill_part(order, order.limit_price, True, self.now_s, most=volume)

    def _fill_part(
        self, order: Order, price: Decimal, maker: bool, time_s: float, most: Decimal | None = None
    ) -> None:
        """Trade one part of an order at `price`, `most` base units at most; end the order if that was the last of it
        or the money ran out."""
        request = order.request
        market = self.markets[request.symbol]
        account = self.books.accounts[request.account]
        left_quote = order.volume - order.cost
        left = order.volume - order.filled
        if request.volume_in_quote:
            left = (left_quote / price).quantize(market.lot_step, rounding=ROUND_DOWN)
        target = left
        if order.cancel_after_fraction is not None:
            target = (left * order.cancel_after_fraction).quantize(market.lot_step, rounding=ROUND_DOWN)
        elif order.parts_left > 1:
            target = (left / order.parts_left).quantize(market.lot_step, rounding=ROUND_DOWN)
        target = target if most is None else min(target, most)
        fee_rate = market.maker_fee if maker else market.taker_fee
        self.books.set_hold(account, order, ZERO)
        volume = affordable(account, market, request, target, price, fee_rate)
        order.parts_left = max(order.parts_left - 1, 1)
        if volume > 0:
            cost = (volume * price).quantize(market.cost_step, rounding=ROUND_HALF_UP)
            last = volume == left
            if maker and request.bracket_ends_at_fill:
                order.stop_price = None
            self.books.trade(order, account, market, volume, price, cost, fee_rate, maker, time_s, last=last)
        if volume == left > 0:
            self.books.close(order, CLOSED, time_s, None)
        elif volume < target or order.cancel_after_fraction is not None or left <= 0:
            reason = "Insufficient funds" if volume < target else "Partial fill, then cancelled by the venue"
            self.books.close(order, CANCELED, time_s, reason)
        else:
            remaining = order.volume - (order.cost if request.volume_in_quote else order.filled)
            quote = self.prices.quote(request.symbol, time_s)
            worst = _worst_price(order.working_price, order.stop_price if order.armed else None, quote)
            _, hold = hold_for(market, request, remaining, worst)
            self.books.set_hold(account, order, min(hold, account.available(order.hold_asset)))
            self.books.save_order(order)
            self.books.save_account(account)

    def _resume(self) -> None:
        """Carry on with what the books had open when they were stored."""
        self.prices.restore(self.books.stored_anchors())
        for account in self.books.accounts.values():
            if account.cancel_all_at_s is not None:
                self.cancel_all_at(account.name, account.cancel_all_at_s)
            for order in account.open_orders.values():
                self._schedule(order)


def _marketable(side: str, limit_price: Decimal | None, quote: Quote) -> bool:
    if limit_price is None:
        return True
    return limit_price >= quote.ask if side == "buy" else limit_price <= quote.bid


def _reached(order: Order, quote: Quote) -> bool:
    """Whether the price is at an armed order's trigger."""
    stop_price = order.stop_price
    price = quote.ask if order.request.side == "buy" else quote.bid
    if stop_price is None:
        return False
    return price >= stop_price if order.rises_to_trigger else price <= stop_price


def _worst_price(limit_price: Decimal | None, stop_price: Decimal | None, quote: Quote) -> Decimal:
    """The most a purchase may have to pay, as far as is known when its money is held."""
    return max((price for price in (limit_price, stop_price) if price is not None), default=quote.ask)

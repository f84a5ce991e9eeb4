"""The matching engine and the money of one simulated venue: accounts, holds, orders and fills, by arrival.

It knows no protocol. A venue's front checks a request against that venue's rules and then calls `submit`,
`cancel` and `amend`. Nothing happens by itself: `advance(now)` brings everything up to `now` (fills that came
due, limit orders the price crossed, orders that expired, dead man's switches), in order of time, and every
venue calls it before it reads or changes anything.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from copytrade.simulator.ids import IdMaker
from copytrade.simulator.markets import Market
from copytrade.simulator.orders import (
    CANCELED,
    CLOSED,
    EXPIRED,
    ZERO,
    Account,
    Fill,
    NewOrder,
    Order,
    fill_from_record,
    fill_to_record,
    order_from_record,
    order_to_record,
)
from copytrade.simulator.prices import PriceProcess
from copytrade.simulator.resting import RestingOrders
from copytrade.simulator.storage import Store

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
    """Accounts and orders of one venue.

    `fill_delay_s` passes between acceptance and a fill, 0 meaning: filled by the time of the next request. An
    order fills in `fill_parts` trades, `fill_delay_s` apart. `make_order_id` and `make_fill_id` turn a number
    into the venue's form of an id.
    """

    def __init__(
        self,
        markets: Iterable[Market],
        prices: PriceProcess,
        make_order_id: IdMaker,
        make_fill_id: IdMaker,
        fill_delay_s: float = 0.0,
        fill_parts: int = 1,
        store: Store | None = None,
    ) -> None:
        if fill_delay_s < 0 or fill_parts < 1:
            raise ValueError(
                f"fill_delay_s is {fill_delay_s}, fill_parts {fill_parts}: give at least 0 and at least 1"
            )
        self.markets = {market.symbol: market for market in markets}
        self.prices = prices
        self.fill_delay_s = fill_delay_s
        self.fill_parts = fill_parts
        self.accounts: dict[str, Account] = {}
        self.orders: list[Order] = []
        self.fills: list[Fill] = []
        self.by_order_id: dict[str, Order] = {}
        self.by_fill_id: dict[str, Fill] = {}
        self.doubles: dict[tuple[str, str], list[Order]] = {}
        self.house: dict[str, Decimal] = {}
        self.fees: dict[str, Decimal] = {}
        self.now_s = 0.0
        self._make_order_id = make_order_id
        self._make_fill_id = make_fill_id
        self._store = store
        self._resting = {symbol: RestingOrders() for symbol in self.markets}
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._due_count = 0
        self._step_seen: int | None = None
        self._prices_set = False
        if store is not None:
            self._load(store)

    # -- accounts ----------------------------------------------------------------------------------

    def add_account(self, name: str, balances: dict[str, Decimal]) -> Account:
        """Make an account with these balances; one that is already there keeps its own."""
        account = self.accounts.get(name)
        if account is None:
            account = Account(name=name)
            self.accounts[name] = account
            for asset, amount in balances.items():
                self.deposit(name, asset, amount)
            self._save_account(account)
        return account

    def deposit(self, name: str, asset: str, amount: Decimal) -> None:
        """Add to a balance (a negative amount takes away).

        Raises KeyError for an unknown account, ValueError below zero.
        """
        account = self.accounts[name]
        if not amount.is_finite() or account.available(asset) + amount < 0:
            raise ValueError(
                f"{asset} of {name} cannot change by {amount}: {account.available(asset)} is free"
            )
        account.balances[asset] = account.balances.get(asset, ZERO) + amount
        account.deposited[asset] = account.deposited.get(asset, ZERO) + amount
        self._save_account(account)

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
            for symbol, resting in self._resting.items():
                if resting:
                    self._walk(symbol, resting, self._step_seen, step, now_s)
            self._prices_set = False
        self._step_seen = step
        self._run_due(now_s)
        self.now_s = now_s

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set a market's price as of the last `advance`; resting orders it crosses fill at the next one."""
        self.prices.set_price(symbol, price, self.now_s)
        self._prices_set = True
        self._save_meta()

    def at(self, time_s: float, action: Callable[[float], None]) -> None:
        """Do `action(time_s)` when the venue reaches `time_s`."""
        self._due_count += 1
        heapq.heappush(self._due, (time_s, self._due_count, action))

    def _run_due(self, until_s: float) -> None:
        while self._due and self._due[0][0] <= until_s:
            time_s, _, action = heapq.heappop(self._due)
            action(time_s)

    def _walk(self, symbol: str, resting: RestingOrders, seen: int, step: int, now_s: float) -> None:
        """Fill what the price crossed on its way from the step last seen to this one."""
        first = step if self.prices.frozen else max(seen + 1, step - CATCH_UP_STEPS_MAX)
        for number in range(min(first, step), step + 1):
            if not resting:
                break
            time_s = min(max(number * self.prices.step_s, self.now_s), now_s)
            self._run_due(time_s)
            quote = self.prices.quote_at_step(symbol, number)
            for order in resting.crossed(quote.bid, quote.ask):
                self._fill_maker(order, order.limit_price, time_s)

    # -- orders ------------------------------------------------------------------------------------

    def submit(
        self, request: NewOrder, *, hidden_s: float = 0.0, cancel_after_fraction: Decimal | None = None
    ) -> Order:
        """Accept an order, or raise OrderRefused. It never fills in here: acceptance comes before the fill.

        `hidden_s` hides it from lookups for that long; with `cancel_after_fraction` it fills to that share
        and is cancelled.
        """
        account = self.accounts[request.account]
        market = self.markets[request.symbol]
        quote = self.prices.quote(request.symbol, self.now_s)
        client_id = request.client_id
        known = account.by_client_id.get(client_id) if client_id is not None else None
        if known and any(order.is_open for order in known):
            raise OrderRefused(OrderRefused.DUPLICATE_CLIENT_ID)
        marketable = self._marketable(request.side, request.limit_price, quote.bid, quote.ask)
        if request.post_only and marketable:
            raise OrderRefused(OrderRefused.WOULD_CROSS)
        hold_asset, hold = self._hold_for(market, request, request.volume, request.limit_price)
        if account.available(hold_asset) < hold:
            raise OrderRefused(OrderRefused.FUNDS)
        arrival = len(self.orders) + 1
        order = Order(
            arrival=arrival,
            order_id=self._make_order_id(arrival),
            request=request,
            accepted_at_s=self.now_s,
            hold_asset=hold_asset,
            hold=ZERO,
            volume=request.volume,
            limit_price=request.limit_price,
            visible_at_s=self.now_s + hidden_s,
            parts_left=self.fill_parts,
            cancel_after_fraction=cancel_after_fraction,
        )
        self._set_hold(account, order, hold)
        self._index(account, order)
        if hidden_s:
            account.hidden_until_s = max(account.hidden_until_s, order.visible_at_s)
        self._schedule(order)
        self._save_order(order)
        return order

    def cancel(self, order: Order, reason: str | None = "User requested", status: str = CANCELED) -> bool:
        """End an open order; returns whether it was open."""
        if not order.is_open:
            return False
        self._close(order, status, self.now_s, reason)
        return True

    def cancel_at(self, order: Order, time_s: float) -> None:
        """Cancel an order when the venue reaches `time_s`, unless it is done by then."""
        self.at(time_s, lambda due_s: self._cancel_if_open(order, due_s))

    def amend(
        self, order: Order, volume: Decimal | None, limit_price: Decimal | None, post_only: bool = False
    ) -> None:
        """Change volume (total, base units) or price of an open limit order. Raises OrderRefused."""
        account = self.accounts[order.request.account]
        market = self.markets[order.request.symbol]
        volume = order.volume if volume is None else volume
        limit_price = order.limit_price if limit_price is None else limit_price
        if volume <= order.filled:
            raise OrderRefused(OrderRefused.TOO_SMALL)
        quote = self.prices.quote(order.request.symbol, self.now_s)
        crosses = self._marketable(order.request.side, limit_price, quote.bid, quote.ask)
        if crosses and (post_only or order.request.post_only):
            raise OrderRefused(OrderRefused.WOULD_CROSS)
        _, hold = self._hold_for(market, order.request, volume - order.filled, limit_price)
        if account.available(order.hold_asset) + order.hold < hold:
            raise OrderRefused(OrderRefused.FUNDS)
        self._set_hold(account, order, hold)
        order.volume, order.limit_price, order.amended = volume, limit_price, True
        if order.resting:
            self._resting[order.request.symbol].add(order)
            if crosses:
                order.resting = False
                self.at(self.now_s + self.fill_delay_s, lambda time_s: self._fill_or_rest(order, time_s))
        self._save_order(order)
        self._save_account(account)

    def cancel_all_at(self, name: str, time_s: float | None) -> None:
        """Arm the dead man's switch of an account for `time_s`, or disarm it with None."""
        account = self.accounts[name]
        account.cancel_all_at_s = time_s
        if time_s is not None:
            self.at(time_s, lambda due_s: self._dead_mans_switch(account, due_s))
        self._save_account(account)

    # -- inside ------------------------------------------------------------------------------------

    @staticmethod
    def _marketable(side: str, limit_price: Decimal | None, bid: Decimal, ask: Decimal) -> bool:
        if limit_price is None:
            return True
        return limit_price >= ask if side == "buy" else limit_price <= bid

    def _hold_for(
        self, market: Market, request: NewOrder, volume: Decimal, limit_price: Decimal | None
    ) -> tuple[str, Decimal]:
        """Which asset an order holds and how much: what it may cost with the taker's fee, the higher one."""
        with_fee = 1 + market.taker_fee
        if request.side == "sell":
            held = volume * with_fee if request.fee_in_base else volume
            return market.base, held.quantize(market.lot_step, rounding=ROUND_HALF_UP)
        if request.volume_in_quote:
            cost = volume
        else:
            price = (
                limit_price if limit_price is not None else self.prices.quote(market.symbol, self.now_s).ask
            )
            cost = (volume * price).quantize(market.cost_step, rounding=ROUND_HALF_UP)
        if request.fee_in_base:
            return market.quote, cost
        return market.quote, cost + (cost * market.taker_fee).quantize(
            market.cost_step, rounding=ROUND_HALF_UP
        )

    def _set_hold(self, account: Account, order: Order, hold: Decimal) -> None:
        account.holds[order.hold_asset] = account.holds.get(order.hold_asset, ZERO) - order.hold + hold
        order.hold = hold

    def _index(self, account: Account, order: Order) -> None:
        request = order.request
        self.orders.append(order)
        self.by_order_id[order.order_id] = order
        if request.client_id is not None:
            same = account.by_client_id.setdefault(request.client_id, [])
            same.append(order)
            if len(same) > 1:
                self.doubles[(account.name, request.client_id)] = same
        if request.user_ref is not None:
            account.by_user_ref.setdefault(request.user_ref, []).append(order)
        if order.is_open:
            account.open_orders[order.arrival] = order
            account.open_by_symbol[request.symbol] = account.open_by_symbol.get(request.symbol, 0) + 1

    def _schedule(self, order: Order) -> None:
        """Let an open order come to its end: a fill, a rest in the book, an expiry."""
        if order.resting:
            self._resting[order.request.symbol].add(order)
        else:
            part = self.fill_parts - order.parts_left
            due_s = order.accepted_at_s + self.fill_delay_s * (part + 1)
            self.at(due_s, lambda time_s: self._fill_or_rest(order, time_s))
        if order.request.expires_at_s is not None:
            self.at(order.request.expires_at_s, lambda time_s: self._expire(order, time_s))

    def _cancel_if_open(self, order: Order, time_s: float) -> None:
        if order.is_open:
            self._close(order, CANCELED, time_s, "User requested")

    def _expire(self, order: Order, time_s: float) -> None:
        if order.is_open:
            self._close(order, EXPIRED, time_s, "Order expired")

    def _dead_mans_switch(self, account: Account, time_s: float) -> None:
        if account.cancel_all_at_s != time_s:
            return  # armed anew or disarmed since
        account.cancel_all_at_s = None
        for order in list(account.open_orders.values()):
            self._close(order, CANCELED, time_s, "Cancel all orders after timeout")
        self._save_account(account)

    def _fill_or_rest(self, order: Order, time_s: float) -> None:
        """An order meets the market: a part of it fills, or a limit order takes its place in the book."""
        if not order.is_open or order.resting:
            return
        request = order.request
        quote = self.prices.quote(request.symbol, time_s)
        if self._marketable(request.side, order.limit_price, quote.bid, quote.ask):
            self._fill_part(order, quote.ask if request.side == "buy" else quote.bid, False, time_s)
            if order.is_open:
                self.at(time_s + self.fill_delay_s, lambda due_s: self._fill_or_rest(order, due_s))
        elif request.time_in_force in ("IOC", "FOK"):
            self._close(order, CANCELED, time_s, f"{request.time_in_force} order would not fill")
        else:
            order.resting = True
            self._resting[request.symbol].add(order)
            self._save_order(order)

    def _fill_maker(self, order: Order, price: Decimal | None, time_s: float) -> None:
        """The market came to a resting order: it fills at its own price, part by part, unless it was moved."""
        if not order.is_open or not order.resting or price is None or order.limit_price != price:
            return
        self._fill_part(order, price, True, time_s)
        if order.is_open:
            self.at(time_s + self.fill_delay_s, lambda due_s: self._fill_maker(order, price, due_s))

    def _fill_part(self, order: Order, price: Decimal, maker: bool, time_s: float) -> None:
        """Trade one part of an order at `price`; end the order if that was the last of it or the money ran out."""
        request = order.request
        market = self.markets[request.symbol]
        account = self.accounts[request.account]
        left_quote = order.volume - order.cost
        left = order.volume - order.filled
        if request.volume_in_quote:
            left = (left_quote / price).quantize(market.lot_step, rounding=ROUND_DOWN)
        target = left
        if order.cancel_after_fraction is not None:
            target = (left * order.cancel_after_fraction).quantize(market.lot_step, rounding=ROUND_DOWN)
        elif order.parts_left > 1:
            target = (left / order.parts_left).quantize(market.lot_step, rounding=ROUND_DOWN)
        fee_rate = market.maker_fee if maker else market.taker_fee
        self._set_hold(account, order, ZERO)
        volume = self._affordable(account, market, request, target, price, fee_rate)
        order.parts_left = max(order.parts_left - 1, 1)
        if volume > 0:
            cost = (volume * price).quantize(market.cost_step, rounding=ROUND_HALF_UP)
            self._trade(order, account, market, volume, price, cost, fee_rate, maker, time_s)
        done = volume == left > 0
        if done:
            self._close(order, CLOSED, time_s, None)
        elif volume < target or order.cancel_after_fraction is not None or left <= 0:
            reason = "Insufficient funds" if volume < target else "Partial fill, then cancelled by the venue"
            self._close(order, CANCELED, time_s, reason)
        else:
            remaining = order.volume - (order.cost if request.volume_in_quote else order.filled)
            _, hold = self._hold_for(market, request, remaining, order.limit_price)
            self._set_hold(account, order, min(hold, account.available(order.hold_asset)))
            self._save_order(order)
            self._save_account(account)

    def _affordable(
        self,
        account: Account,
        market: Market,
        request: NewOrder,
        volume: Decimal,
        price: Decimal,
        fee_rate: Decimal,
    ) -> Decimal:
        """As much of `volume` as the free money pays for; less than all only if the price moved since acceptance."""
        if request.side == "sell":
            unit = 1 + fee_rate if request.fee_in_base else Decimal(1)
            free = account.available(market.base)
            needed = (volume * unit).quantize(market.lot_step, rounding=ROUND_HALF_UP)
        else:
            unit = price if request.fee_in_base else price * (1 + fee_rate)
            free = account.available(market.quote)
            cost = (volume * price).quantize(market.cost_step, rounding=ROUND_HALF_UP)
            fee = (cost * fee_rate).quantize(market.cost_step, rounding=ROUND_HALF_UP)
            needed = cost if request.fee_in_base else cost + fee
        if needed <= free:
            return volume
        # One step is kept back: cost and fee are each rounded up by at most half a step.
        spare = market.lot_step if request.side == "sell" else market.cost_step
        return max(ZERO, ((free - spare) / unit).quantize(market.lot_step, rounding=ROUND_DOWN))

    def _trade(
        self,
        order: Order,
        account: Account,
        market: Market,
        volume: Decimal,
        price: Decimal,
        cost: Decimal,
        fee_rate: Decimal,
        maker: bool,
        time_s: float,
    ) -> None:
        fee = (cost * fee_rate).quantize(market.cost_step, rounding=ROUND_HALF_UP)
        fee_base = ZERO
        if order.request.fee_in_base:
            fee_base = (volume * fee_rate).quantize(market.lot_step, rounding=ROUND_HALF_UP)
        sign = 1 if order.request.side == "buy" else -1
        self._move(account, market.base, sign * volume, fee_base)
        self._move(account, market.quote, -sign * cost, ZERO if order.request.fee_in_base else fee)
        number = len(self.fills) + 1
        fill_id = self._make_fill_id(number)
        fill = Fill(number, fill_id, order.arrival, time_s, price, volume, cost, fee, fee_base, maker)
        self.fills.append(fill)
        self.by_fill_id[fill.fill_id] = fill
        account.fills.append(fill)
        order.fills.append(number)
        order.filled += volume
        order.cost += cost
        order.fee += fee
        if self._store is not None:
            self._store.put("fill", number, fill_to_record(fill))

    def _move(self, account: Account, asset: str, change: Decimal, fee: Decimal) -> None:
        account.balances[asset] = account.balances.get(asset, ZERO) + change - fee
        self.house[asset] = self.house.get(asset, ZERO) - change
        self.fees[asset] = self.fees.get(asset, ZERO) + fee

    def _close(self, order: Order, status: str, time_s: float, reason: str | None) -> None:
        account = self.accounts[order.request.account]
        self._set_hold(account, order, ZERO)
        order.status, order.closed_at_s, order.reason = status, time_s, reason
        order.resting = False
        account.open_orders.pop(order.arrival, None)
        account.open_by_symbol[order.request.symbol] -= 1
        account.closed_orders.append(order)
        self._save_order(order)
        self._save_account(account)

    # -- the store ---------------------------------------------------------------------------------

    def _save_order(self, order: Order) -> None:
        if self._store is not None:
            self._store.put("order", order.arrival, order_to_record(order))

    def _save_account(self, account: Account) -> None:
        if self._store is not None:
            self._store.put(
                "account",
                account.name,
                {
                    "balances": {asset: str(amount) for asset, amount in account.balances.items()},
                    "deposited": {asset: str(amount) for asset, amount in account.deposited.items()},
                    "cancel_all_at_s": account.cancel_all_at_s,
                    "hidden_until_s": account.hidden_until_s,
                },
            )

    def _save_meta(self) -> None:
        if self._store is not None:
            self._store.put("meta", "prices", self.prices.anchors())

    def _load(self, store: Store) -> None:
        for _, anchors in store.load("meta"):
            self.prices.restore(anchors)
        for name, record in store.load("account"):
            account = Account(name=name, cancel_all_at_s=record["cancel_all_at_s"])
            account.balances = {asset: Decimal(amount) for asset, amount in record["balances"].items()}
            account.deposited = {asset: Decimal(amount) for asset, amount in record["deposited"].items()}
            account.hidden_until_s = record["hidden_until_s"]
            self.accounts[name] = account
            if account.cancel_all_at_s is not None:
                self.cancel_all_at(name, account.cancel_all_at_s)
        for arrival, record in store.load("order"):
            order = order_from_record(arrival, record)
            account = self.accounts[order.request.account]
            hold, order.hold = order.hold, ZERO
            self._set_hold(account, order, hold)
            self._index(account, order)
            if order.is_open:
                self._schedule(order)
        ended = [order for order in self.orders if not order.is_open]
        for order in sorted(ended, key=lambda order: (order.closed_at_s or 0.0, order.arrival)):
            self.accounts[order.request.account].closed_orders.append(order)
        for number, record in store.load("fill"):
            self._load_fill(fill_from_record(number, record))

    def _load_fill(self, fill: Fill) -> None:
        order = self.orders[fill.arrival - 1]
        market = self.markets[order.request.symbol]
        self.fills.append(fill)
        self.by_fill_id[fill.fill_id] = fill
        self.accounts[order.request.account].fills.append(fill)
        sign = 1 if order.request.side == "buy" else -1
        for asset, change in ((market.base, sign * fill.volume), (market.quote, -sign * fill.cost)):
            self.house[asset] = self.house.get(asset, ZERO) - change
        asset, fee = (market.base, fill.fee_base) if order.request.fee_in_base else (market.quote, fill.fee)
        self.fees[asset] = self.fees.get(asset, ZERO) + fee

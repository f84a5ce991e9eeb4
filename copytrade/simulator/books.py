"""The books of one simulated venue: accounts, money, holds, orders and fills, and their way into a store and back."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from copytrade.simulator.ids import IdMaker
from copytrade.simulator.markets import Market
from copytrade.simulator.orders import (
    CLOSED,
    ZERO,
    Account,
    Fill,
    Order,
    fill_from_record,
    fill_to_record,
    order_from_record,
    order_to_record,
)
from copytrade.simulator.storage import Store
from copytrade.simulator.streams import Streams

# Far above any fortune, and low enough that amounts with every decimal fit the 28 digits decimals are counted in.
AMOUNT_MAX = Decimal(10) ** 15


class Books:
    """What every account has and did, indexed so that no lookup reads more than it shows.

    History is kept whole and in memory, because it is the evidence of a run: some 2 kB an order.
    `make_order_id` and `make_fill_id` turn a number into the venue's form of an id. `house` is the other side
    of all trades: what accounts paid in equals what they hold plus `house` plus `fees`, for each asset.
    """

    def __init__(
        self, markets: Iterable[Market], make_order_id: IdMaker, make_fill_id: IdMaker, store: Store | None
    ) -> None:
        self.markets = {market.symbol: market for market in markets}
        self.accounts: dict[str, Account] = {}
        self.orders: list[Order] = []
        self.fills: list[Fill] = []
        self.by_order_id: dict[str, Order] = {}
        self.by_fill_id: dict[str, Fill] = {}
        self.doubles: dict[tuple[str, str], list[Order]] = {}
        self.house: dict[str, Decimal] = {}
        self.fees: dict[str, Decimal] = {}
        self.streams = Streams()
        self.make_order_id = make_order_id
        self._make_fill_id = make_fill_id
        self._store = store
        if store is not None:
            self._load(store)

    def add_account(self, name: str, balances: dict[str, Decimal]) -> Account:
        """Make an account with these balances; one that is already there keeps its own."""
        account = self.accounts.get(name)
        if account is None:
            for asset, amount in balances.items():
                _check_amount(f"{asset} of {name}", amount)
            account = Account(name=name)
            self.accounts[name] = account
            for asset, amount in balances.items():
                self.deposit(name, asset, amount)
            self.save_account(account)
        return account

    def deposit(self, name: str, asset: str, amount: Decimal) -> None:
        """Add to a balance (a negative amount takes away).

        Raises KeyError for an unknown account, ValueError below zero.
        """
        account = self.accounts[name]
        _check_amount(f"{asset} of {name}", abs(amount))
        if account.available(asset) + amount < 0:
            raise ValueError(f"{asset} of {name} cannot change by {amount}: {account.available(asset)} is free")
        account.balances[asset] = account.balances.get(asset, ZERO) + amount
        account.deposited[asset] = account.deposited.get(asset, ZERO) + amount
        self.save_account(account)

    def set_hold(self, account: Account, order: Order, hold: Decimal) -> None:
        """Change what an open order holds of its account's money."""
        account.holds[order.hold_asset] = account.holds.get(order.hold_asset, ZERO) - order.hold + hold
        order.hold = hold

    def index(self, account: Account, order: Order) -> None:
        """Enter an order that was accepted."""
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

    def trade(
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
        last: bool = False,
    ) -> None:
        """Book one trade: money moves, the order and the account get their fill.

        Volume in base, cost in quote units. `last` tells the streams that the order is closed with it.
        """
        fee = (cost * fee_rate).quantize(market.cost_step, rounding=ROUND_HALF_UP)
        fee_base = ZERO
        if order.request.fee_in_base:
            fee_base = (volume * fee_rate).quantize(market.base_step, rounding=ROUND_HALF_UP)
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
        self.streams.publish("fill", order, time_s, fill, status=CLOSED if last else order.status)

    def _move(self, account: Account, asset: str, change: Decimal, fee: Decimal) -> None:
        account.balances[asset] = account.balances.get(asset, ZERO) + change - fee
        self.house[asset] = self.house.get(asset, ZERO) - change
        if fee:
            self.fees[asset] = self.fees.get(asset, ZERO) + fee

    def close(self, order: Order, status: str, time_s: float, reason: str | None) -> None:
        """End an open order: its hold is freed, it leaves the open orders and becomes the newest closed one."""
        account = self.accounts[order.request.account]
        self.set_hold(account, order, ZERO)
        order.status, order.closed_at_s, order.reason = status, time_s, reason
        order.resting = False
        account.open_orders.pop(order.arrival, None)
        account.open_by_symbol[order.request.symbol] -= 1
        account.closed_orders.append(order)
        self.save_order(order)
        self.save_account(account)
        self.streams.publish("closed", order, time_s)

    def save_order(self, order: Order) -> None:
        """Note an order for the store."""
        if self._store is not None:
            self._store.put("order", order.arrival, order_to_record(order))

    def save_account(self, account: Account) -> None:
        """Note an account for the store."""
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

    def save_prices(self, anchors: dict[str, str]) -> None:
        """Note the prices' anchors for the store."""
        if self._store is not None:
            self._store.put("meta", "prices", anchors)

    def stored_anchors(self) -> dict[str, str]:
        """The prices' anchors from the store."""
        if self._store is None:
            return {}
        return next((record for name, record in self._store.load("meta") if name == "prices"), {})

    def _load(self, store: Store) -> None:
        for name, record in store.load("account"):
            account = Account(name=name, cancel_all_at_s=record["cancel_all_at_s"])
            account.balances = {asset: Decimal(amount) for asset, amount in record["balances"].items()}
            account.deposited = {asset: Decimal(amount) for asset, amount in record["deposited"].items()}
            account.hidden_until_s = record["hidden_until_s"]
            self.accounts[name] = account
        for arrival, record in store.load("order"):
            order = order_from_record(arrival, record)
            account = self.accounts[order.request.account]
            hold, order.hold = order.hold, ZERO
            self.set_hold(account, order, hold)
            self.index(account, order)
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
        if fee:
            self.fees[asset] = self.fees.get(asset, ZERO) + fee


def _check_amount(what: str, amount: Decimal) -> None:
    if not amount.is_finite() or not 0 <= amount <= AMOUNT_MAX:
        raise ValueError(f"{what} is {amount}: give an amount from 0 to {AMOUNT_MAX:,}")

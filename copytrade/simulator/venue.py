"""What every simulated venue has in common: exchange, faults, counts, and the calls to set it up and look in."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from copytrade.simulator.exchange import Exchange
from copytrade.simulator.faults import Fault, FaultBook
from copytrade.simulator.orders import EXPIRED, NewOrder, Order
from copytrade.simulator.storage import Store
from copytrade.simulator.streams import StreamSession

# Distinct paths and keys that are counted; a client that invents names cannot make the counts grow without
# end.
COUNTED_MAX = 20_000

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key of a simulated account. The secret stays out of the representation, as it must for a real one."""

    key: str
    secret: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Incoming:
    """One request as it arrived: header names in lower case, raw `body`, `arrived_at_s` in unix seconds."""

    verb: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    remote: str
    arrived_at_s: float


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None


class Counts:
    """How many requests came, by path and by key, and which errors went back."""

    def __init__(self) -> None:
        self.total = 0
        self.paths: dict[str, int] = {}
        self.keys: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self.key_errors: dict[str, dict[str, int]] = {}

    def request(self, path: str, key: str | None) -> None:
        """Count one request."""
        self.total += 1
        _count(self.paths, path)
        if key is not None:
            _count(self.keys, key)

    def error(self, text: str, key: str | None) -> None:
        """Count one error answer."""
        _count(self.errors, text)
        if key is not None and (key in self.key_errors or len(self.key_errors) < COUNTED_MAX):
            _count(self.key_errors.setdefault(key, {}), text)


def _count(counts: dict[str, int], name: str) -> None:
    if name in counts or len(counts) < COUNTED_MAX:
        counts[name] = counts.get(name, 0) + 1


class SimulatedVenue(ABC):
    """One venue. Every public method may be called from any thread: a lock keeps them apart from requests."""

    name: str
    currency = "USD"  # what accounts are paid in when a venue is run as a program

    def __init__(self, exchange: Exchange, clock: Clock, seed: int, store: Store | None) -> None:
        self.exchange = exchange
        self.books = exchange.books
        self.faults = FaultBook(seed)
        self.counts = Counts()
        self.clock = clock
        self.seed = seed
        self.lock = threading.RLock()
        self._store = store

    # -- what a venue must say ---------------------------------------------------------------------

    @abstractmethod
    def identify(self, incoming: Incoming) -> tuple[str, str | None, str | None]:
        """Method name, account name and key of a request, before it is checked; for faults and counts."""

    @abstractmethod
    def handle(self, incoming: Incoming, fault: Fault | None) -> Reply:
        """Work on one request. `fault` is one of `faults.ENGINE_KINDS`, or None."""

    def open_stream(self, incoming: Incoming) -> StreamSession | None:
        """A WebSocket is opened at this path: who speaks over it, or None if the venue has no private stream there."""
        return None

    @abstractmethod
    def error_reply(self, text: str) -> Reply:
        """The venue's way of answering with an error text; used for faults."""

    @abstractmethod
    def add_account(
        self,
        name: str,
        balances: Mapping[str, Decimal] | None = None,
        *,
        permissions: list[str] | None = None,
        tier: str | None = None,
        key: str | None = None,
        secret: str | None = None,
    ) -> Credentials:
        """Make an account with a key; if the account exists, add or replace the key and leave its money alone."""

    @abstractmethod
    def keys(self) -> list[dict[str, Any]]:
        """What there is to know about each key but its secret."""

    # -- setting up and looking in -----------------------------------------------------------------

    def deposit(self, name: str, asset: str, amount: Decimal) -> None:
        """Change a balance from outside, `amount` in units of `asset`. Raises KeyError or ValueError."""
        with self.lock:
            self.books.deposit(name, asset, amount)
            self.save()

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set the price of a market (`BTC/USD`) from now on. Raises KeyError or ValueError."""
        with self.lock:
            self.exchange.advance(self.clock())
            self.exchange.set_price(symbol, price)
            self.exchange.advance(self.clock())
            self.save()

    def fill_part(self, order_id: str, volume: Decimal) -> None:
        """Fill `volume` base units of one account's resting order at its own price, and of nobody else's.

        Raises KeyError for an order that is not there, ValueError for one that does not rest.
        """
        with self.lock:
            self.exchange.advance(self.clock())
            self.exchange.fill_resting(self.books.by_order_id[order_id], volume)
            self.save()

    def expire(self, order_id: str) -> None:
        """End one account's open order as the venue does when its time is up: now.

        Raises KeyError for an order that is not there, ValueError for one that is over.
        """
        with self.lock:
            self.exchange.advance(self.clock())
            order = self.books.by_order_id[order_id]
            order.request.expires_at_s = self.exchange.now_s
            if not self.exchange.cancel(order, "Order expired", EXPIRED):
                raise ValueError(f"order {order_id} is over already")
            self.save()

    def add_fault(self, kind: str, **values: Any) -> int:
        """Put a fault in force (see `faults.Fault`); returns its id. Raises ValueError."""
        with self.lock:
            return self.faults.add(Fault.from_json({"kind": kind, **values}))

    def clear_faults(self, fault_id: int | None = None) -> int:
        """End one fault, or all; returns how many."""
        with self.lock:
            return self.faults.remove(fault_id)

    def accounts(self) -> list[dict[str, Any]]:
        """Every account with its money and keys, as JSON values."""
        with self.lock:
            self.exchange.advance(self.clock())
            keys: dict[str, list[dict[str, Any]]] = {}
            for key in self.keys():
                keys.setdefault(key["account"], []).append(key)
            return [
                {
                    "name": account.name,
                    "balances": {asset: str(amount) for asset, amount in account.balances.items()},
                    "holds": {asset: str(amount) for asset, amount in account.holds.items() if amount},
                    "deposited": {asset: str(amount) for asset, amount in account.deposited.items()},
                    "open_orders": len(account.open_orders),
                    "closed_orders": len(account.closed_orders),
                    "fills": len(account.fills),
                    "keys": keys.get(account.name, []),
                }
                for account in self.books.accounts.values()
            ]

    def orders(
        self,
        account: str | None = None,
        client_id: str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Every order ever accepted, by arrival, as JSON values; `after` is an arrival number."""
        with self.lock:
            self.exchange.advance(self.clock())
            found = self.books.orders[max(after, 0) :]
            if account is not None:
                found = [order for order in found if order.request.account == account]
            if client_id is not None:
                found = [order for order in found if order.request.client_id == client_id]
            return [self._order_json(order) for order in (found if limit is None else found[: max(limit, 0)])]

    def doubles(self) -> list[dict[str, Any]]:
        """Client order ids that one account used for more than one accepted order, with those orders."""
        with self.lock:
            return [
                {
                    "account": account,
                    "client_id": client_id,
                    "orders": [self._order_json(order) for order in orders],
                }
                for (account, client_id), orders in self.books.doubles.items()
            ]

    def listeners(self) -> dict[str, int]:
        """How many connections follow each account's private stream."""
        with self.lock:
            return self.books.streams.listeners()

    def requests(self) -> dict[str, Any]:
        """Counts of requests and errors, and the keys with their highest nonces."""
        with self.lock:
            return {
                "total": self.counts.total,
                "paths": dict(self.counts.paths),
                "keys": dict(self.counts.keys),
                "errors": dict(self.counts.errors),
                "key_errors": {key: dict(errors) for key, errors in self.counts.key_errors.items()},
                "faults_struck": dict(self.faults.struck),
                "nonces": {key["key"]: key["nonce"] for key in self.keys() if key.get("nonce") is not None},
            }

    def money(self) -> dict[str, dict[str, str]]:
        """Where the money of each asset is: `deposited` = `held` by accounts + `house` (other side) + `fees`."""
        with self.lock:
            self.exchange.advance(self.clock())
            held: dict[str, Decimal] = {}
            deposited: dict[str, Decimal] = {}
            for account in self.books.accounts.values():
                for total, part in ((held, account.balances), (deposited, account.deposited)):
                    for asset, amount in part.items():
                        total[asset] = total.get(asset, Decimal(0)) + amount
            sums = {
                "deposited": deposited,
                "held": held,
                "house": self.books.house,
                "fees": self.books.fees,
            }
            return {name: {asset: str(amount) for asset, amount in part.items()} for name, part in sums.items()}

    def fault_list(self) -> list[dict[str, Any]]:
        """The faults in force, as JSON values."""
        with self.lock:
            return [asdict(fault) for fault in self.faults.all()]

    @property
    def unsaved(self) -> bool:
        """Whether something waits to be written to the store."""
        return self._store is not None and self._store.unsaved

    def save(self) -> None:
        """Write everything that changed to the store, if there is one. Raises sqlite3.Error."""
        with self.lock:
            if self._store is not None:
                self._store.flush()

    def close(self) -> None:
        """Save and close the store. The venue can still be read, not saved."""
        with self.lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    @staticmethod
    def _order_json(order: Order) -> dict[str, Any]:
        request = order.request
        return {
            "arrival": order.arrival,
            "order_id": order.order_id,
            "account": request.account,
            "client_id": request.client_id,
            "user_ref": request.user_ref,
            "symbol": request.symbol,
            "side": request.side,
            "type": _type(request),
            "volume": str(order.volume),
            "volume_in_quote": request.volume_in_quote,
            "limit_price": None if order.limit_price is None else str(order.limit_price),
            "stop_price": None if order.stop_price is None else str(order.stop_price),
            "triggered_at_s": order.triggered_at_s,
            "status": order.status,
            "filled": str(order.filled),
            "cost": str(order.cost),
            "fee": str(order.fee),
            "accepted_at_s": order.accepted_at_s,
            "closed_at_s": order.closed_at_s,
            "reason": order.reason,
        }


def _type(request: NewOrder) -> str:
    """What an order is, in the words of the admin calls: market, limit, stop, stop_limit, bracket and so on."""
    plain = "market" if request.limit_price is None else "limit"
    if request.bracket_stop is not None:
        return "bracket"
    if not request.trigger:
        return plain
    return request.trigger if request.limit_price is None else f"{request.trigger}_limit"

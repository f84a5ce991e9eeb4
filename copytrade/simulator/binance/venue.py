"""BinanceSimulator: a strict Binance Spot REST v3 on top of the shared exchange."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from copytrade.simulator.binance import errors, params
from copytrade.simulator.binance.call import STATUSES, Call, Desk, PublicCall, Unverified
from copytrade.simulator.binance.errors import BinanceError
from copytrade.simulator.binance.keys import (
    DEFAULT_PERMISSIONS,
    PERMISSIONS,
    ApiKey,
    Signed,
    check_signature,
    check_time,
    known_key,
    require,
    split_signature,
)
from copytrade.simulator.binance.limits import OrderLimit, WeightLimit
from copytrade.simulator.binance.listing import BY_MARKET, MARKETS
from copytrade.simulator.binance.parts import ListIds, Lists, Part, parts_of
from copytrade.simulator.binance.routes import (
    PRIVATE_CALLS,
    PUBLIC_CALLS,
    SIGNED_PARAMS,
    WALLET_CALLS,
    Private,
    Public,
)
from copytrade.simulator.binance.stream import PATH, BinanceStream
from copytrade.simulator.books import Books
from copytrade.simulator.exchange import Exchange
from copytrade.simulator.faults import Fault
from copytrade.simulator.ids import letters_for
from copytrade.simulator.orders import Order
from copytrade.simulator.prices import PriceProcess
from copytrade.simulator.storage import Store
from copytrade.simulator.venue import Clock, Credentials, Incoming, Reply, SimulatedVenue

FIRST_ORDER_ID = 28_000_000_000  # beyond 32 bits, as the exchange's are
FIRST_TRADE_ID = 3_400_000_000
KEY_CHARACTERS = 64
SUBSCRIBE_WEIGHT = 2
LOOPBACK = ("127.0.0.1", "::1")
JSON_TYPE = "application/json;charset=UTF-8"
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class BinanceSimulator(SimulatedVenue):
    """A Binance of made-up money.

    `seed` decides keys, ids, prices and chance. `clock` gives unix seconds. `volatility` and `spread` are those of
    `prices.PriceProcess`. `fill_delay_ms` passes between acceptance and fill: with 0 the answer to an order shows its
    fills, as the exchange's does. `store` is a file to carry on from. `weight_per_minute`, `orders_per_10_s` and
    `orders_per_day` are the limits that `exchangeInfo` names; without `rate_limits` none is enforced. `unverified`
    settles what the documentation leaves open. Raises ValueError for a setting out of bounds.
    """

    name = "binance"
    currency = "USDT"

    def __init__(
        self,
        seed: int = 7,
        clock: Clock = time.time,
        volatility: float = 0.0001,
        spread: Decimal = Decimal("0.0002"),
        price_step_s: float = 1.0,
        fill_delay_ms: int = 0,
        fill_parts: int = 1,
        rate_limits: bool = True,
        weight_per_minute: int = 6_000,
        orders_per_10_s: int = 50,
        orders_per_day: int = 160_000,
        store: Path | None = None,
        unverified: Unverified | None = None,
    ) -> None:
        if min(weight_per_minute, orders_per_10_s, orders_per_day) < 1:
            raise ValueError("weight_per_minute, orders_per_10_s and orders_per_day: give numbers from 1")
        prices = PriceProcess(seed, MARKETS, volatility, spread, price_step_s)
        records = None if store is None else Store(store)
        books = Books(
            MARKETS,
            lambda number: str(FIRST_ORDER_ID + 2 * number),  # every second id is kept for the other order of a list
            lambda number: str(FIRST_TRADE_ID + number),
            records,
        )
        super().__init__(Exchange(books, prices, fill_delay_ms / 1000, fill_parts), clock, seed, records)
        self._keys: dict[str, ApiKey] = {}
        self._weights = WeightLimit(rate_limits, weight_per_minute)
        orders = OrderLimit(rate_limits, orders_per_10_s, orders_per_day)
        self._desk = Desk(orders, Lists(self._save_list), unverified or Unverified(), weight_per_minute)
        if records is not None:
            self._load_keys(records)
            for order_id, record in records.load("list"):
                self._desk.lists.add(books.by_order_id[order_id], ListIds(**record), stored=True)

    # -- accounts and keys -------------------------------------------------------------------------

    def add_account(
        self,
        name: str,
        balances: Mapping[str, Decimal] | None = None,
        *,
        permissions: list[str] | None = None,
        tier: str | None = None,
        key: str | None = None,
        secret: str | None = None,
        ip_allowlist: tuple[str, ...] = LOOPBACK,
        public_key: str | None = None,
    ) -> Credentials:
        """Make an account with a key; if the account exists, add or replace the key and leave its money alone.

        Permissions have the names of `apiRestrictions`; with no addresses the key works from anywhere. Key and secret
        are made from the seed unless given; a secret or public key (PEM, Ed25519 or RSA) that was given is never
        written to the store, so give it again after a restart. `tier` is for other venues. Raises ValueError.
        """
        wanted = DEFAULT_PERMISSIONS if permissions is None else tuple(permissions)
        if unknown := set(wanted) - set(PERMISSIONS):
            raise ValueError(f"permissions {sorted(unknown)} do not exist: give some of {', '.join(PERMISSIONS)}")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise ValueError(f"account name is {name!r}: give a text of 1 to 100 characters")
        made_key = letters_for(self.seed, "binance key", name, count=KEY_CHARACTERS) if key is None else key
        made_secret = self._secret(name) if secret is None else secret
        if not isinstance(made_key, str) or not made_key.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"key of {name} is not a text of letters and digits")
        old = self._keys.get(made_key)
        if old is not None and old.account != name:
            raise ValueError(f"key {made_key[:8]}... already belongs to {old.account}: give another")
        with self.lock:
            self.exchange.advance(self.clock())
            self.books.add_account(name, dict(balances or {}))
            api_key = ApiKey(
                key=made_key,
                secret=made_secret,
                account=name,
                permissions=frozenset(wanted),
                created_at_s=self.clock(),
                ip_allowlist=tuple(ip_allowlist),
                public_key=public_key,
            )
            self._keys[made_key] = api_key
            self._save_key(api_key)
            self.save()
        return Credentials(made_key, made_secret)

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set the price of a market (`BTC/USDT`) from now on. Raises KeyError or ValueError."""
        with self.lock:
            self._desk.candles.clear()
            super().set_price(symbol, price)

    def set_symbol_status(self, symbol: str, status: str) -> None:
        """Put a market (`BTC/USDT`) into `TRADING`, `HALT`, `BREAK` and the like. Raises KeyError or ValueError."""
        if symbol not in BY_MARKET:
            raise KeyError(symbol)
        if status not in STATUSES:
            raise ValueError(f"status of {symbol} is {status!r}: give one of {', '.join(STATUSES)}")
        with self.lock:
            self._desk.statuses[symbol] = status

    def keys(self) -> list[dict[str, Any]]:
        """What there is to know about each key but its secret."""
        return [
            {"key": key.key, "account": key.account, "permissions": sorted(key.permissions)}
            for key in self._keys.values()
        ]

    # -- requests ----------------------------------------------------------------------------------

    def identify(self, incoming: Incoming) -> tuple[str, str | None, str | None]:
        """Method (`POST /api/v3/order`), account and key of a request that is not yet checked."""
        api_key = self._keys.get(incoming.headers.get("x-mbx-apikey", ""))
        method = f"{incoming.verb} {incoming.path}"
        return method, None if api_key is None else api_key.account, None if api_key is None else api_key.key

    def open_stream(self, incoming: Incoming) -> BinanceStream | None:
        """The WebSocket API, which carries the private stream."""
        if incoming.path != PATH:
            return None

        def sign_in(values: params.Params, signed: Signed) -> ApiKey:
            now_s = self.clock()
            self._weights.charge(incoming.remote, SUBSCRIBE_WEIGHT, now_s)
            api_key = known_key(self._keys, values.get("apiKey"), incoming.remote)
            check_time(values, now_s, now_s, self._desk.unverified.recv_window_code)
            check_signature(api_key, signed)
            return api_key

        return BinanceStream(sign_in, self._parts, self.books.accounts.__getitem__, self.clock())

    def _parts(self, order: Order) -> tuple[Part, ...]:
        fills = [self.books.fills[number - 1] for number in order.fills]
        return parts_of(order, self._desk.lists.of(order), fills)

    def error_reply(self, text: str) -> Reply:
        """The error that a text names: see `errors.from_text`."""
        return _error(errors.from_text(text), {})

    def handle(self, incoming: Incoming, fault: Fault | None) -> Reply:
        """Work on one request."""
        with self.lock:
            call = (incoming.verb, incoming.path)
            headers: dict[str, str] = {}
            try:
                if (public := PUBLIC_CALLS.get(call)) is not None:
                    result = self._public(incoming, public)
                elif call in PRIVATE_CALLS:
                    result = self._private(incoming, PRIVATE_CALLS[call], fault, headers)
                elif call in WALLET_CALLS:
                    wallet = Private(WALLET_CALLS[call], lambda values: 1, frozenset(), permission=None)
                    result = self._private(incoming, wallet, fault, headers)
                else:
                    return self._not_found(incoming)
            except BinanceError as error:
                self.counts.error(f"{error.code} {error.message}", self.identify(incoming)[2])
                return _error(error, self._used(incoming))
            return Reply(_encode(result).encode(), 200, JSON_TYPE, {**self._used(incoming), **headers})

    def _public(self, incoming: Incoming, route: Public) -> Any:
        now_s = self.clock()
        values = params.parse(incoming.query, "")
        self._weights.charge(incoming.remote, route.weight(values), now_s)
        self._check_names(values, route.names)
        self.exchange.advance(now_s)
        return route.handler(PublicCall(self.exchange, self._desk, values, self.exchange.now_s))

    def _private(self, incoming: Incoming, route: Private, fault: Fault | None, headers: dict[str, str]) -> Any:
        now_s = self.clock()
        body = "" if incoming.verb == "GET" else incoming.body.decode("utf-8", "surrogateescape")
        values = params.parse(incoming.query, body)
        weight = route.weight(values)
        self._weights.charge(incoming.remote, weight, now_s)
        api_key = known_key(self._keys, incoming.headers.get("x-mbx-apikey"), incoming.remote)
        signed = split_signature(incoming.query, body)
        check_time(values, incoming.arrived_at_s, now_s, self._desk.unverified.recv_window_code)
        check_signature(api_key, signed)
        require(api_key, route.permission)
        if route.handler not in WALLET_CALLS.values():
            self._check_names(values, route.names | SIGNED_PARAMS)
        self.exchange.advance(now_s)
        call = Call(
            exchange=self.exchange,
            desk=self._desk,
            params=values,
            now_s=self.exchange.now_s,
            api_key=api_key,
            account=self.books.accounts[api_key.account],
            fault=fault,
            headers=headers,
        )
        result = route.handler(call)
        if route.free:
            self._weights.give_back(incoming.remote, weight, now_s)
        return result

    def _check_names(self, values: params.Params, known: frozenset[str]) -> None:
        unread = set(values) - known
        if unread and self._desk.unverified.strict_params:
            raise BinanceError(
                -1104,
                f"Not all sent parameters were read; read '{len(values) - len(unread)}' parameter(s) but was sent "
                f"'{len(values)}'.",
            )

    def _used(self, incoming: Incoming) -> dict[str, str]:
        used = str(self._weights.used(incoming.remote, self.clock()))
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}

    def _not_found(self, incoming: Incoming) -> Reply:
        self.counts.error("404", self.identify(incoming)[2])
        shown = {"status": 404, "error": "Not Found", "message": "No message available", "path": incoming.path}
        return Reply(_encode(shown).encode(), 404, JSON_TYPE)

    # -- the store ---------------------------------------------------------------------------------

    def _secret(self, name: str) -> str:
        return letters_for(self.seed, "binance secret", name, count=KEY_CHARACTERS)

    def _save_list(self, order_id: str, ids: ListIds) -> None:
        if self._store is not None:
            self._store.put("list", order_id, {"profit": ids.profit, "loss": ids.loss})

    def _save_key(self, api_key: ApiKey) -> None:
        if self._store is None:
            return
        record = {
            "account": api_key.account,
            "permissions": sorted(api_key.permissions),
            "created_at_s": api_key.created_at_s,
            "ip_allowlist": list(api_key.ip_allowlist),
        }
        self._store.put("key", api_key.key, record)

    def _load_keys(self, store: Store) -> None:
        """Keys whose secret comes from the seed work at once; others wait for `add_account` with their secret."""
        for key, record in store.load("key"):
            self._keys[key] = ApiKey(
                key=key,
                secret=self._secret(record["account"]),
                account=record["account"],
                permissions=frozenset(record["permissions"]),
                created_at_s=record["created_at_s"],
                ip_allowlist=tuple(record["ip_allowlist"]),
            )


def _error(error: BinanceError, headers: Mapping[str, str]) -> Reply:
    return Reply(_encode(error.body()).encode(), error.status, JSON_TYPE, {**headers, **error.headers})

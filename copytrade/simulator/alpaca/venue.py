"""AlpacaSimulator: a strict Alpaca Trading API v2, with its market data on the same port, on the shared exchange."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from copytrade.simulator.alpaca import errors, params
from copytrade.simulator.alpaca.call import (
    KEY_REFUSALS,
    AccountFlags,
    Answer,
    Call,
    Desk,
    PublicCall,
    Unverified,
)
from copytrade.simulator.alpaca.errors import AlpacaError
from copytrade.simulator.alpaca.hours import StockHours
from copytrade.simulator.alpaca.keys import SCOPES, ApiKey, authenticate, require
from copytrade.simulator.alpaca.limits import REQUESTS_PER_MINUTE, MinuteLimit
from copytrade.simulator.alpaca.listing import MARKETS
from copytrade.simulator.alpaca.lists import ListViews, place_exits
from copytrade.simulator.alpaca.matching import SessionExchange
from copytrade.simulator.alpaca.routes import DataRoute, find_data, find_route, method_name
from copytrade.simulator.alpaca.stream import PATH as STREAM_PATH
from copytrade.simulator.alpaca.stream import TradeUpdatesSession
from copytrade.simulator.books import Books
from copytrade.simulator.faults import Fault
from copytrade.simulator.ids import IdMaker, bytes_for, letters_for
from copytrade.simulator.prices import PriceProcess
from copytrade.simulator.storage import Store
from copytrade.simulator.streams import StreamSession
from copytrade.simulator.venue import Clock, Credentials, Incoming, Reply, SimulatedVenue

JSON_TYPE = "application/json; charset=UTF-8"
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=float)
# Alpaca's JSON writes these three as escapes, inside texts, which is the only place where they stand.
_ESCAPES = (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"))


class AlpacaSimulator(SimulatedVenue):
    """An Alpaca of made-up money: cash accounts in dollars, for coins and a few stocks.

    `seed` decides keys, ids, prices and chance. `clock` gives unix seconds. `volatility` and `spread` are those of
    `prices.PriceProcess`. `fill_delay_ms` passes between acceptance and fill, `fill_parts` trades make up a fill.
    Stocks fill in New York's hours, or at any time with `stocks_always_open`. `store` is a file to carry on from.
    `unverified` settles what the documentation leaves open. Raises ValueError for a setting out of bounds.
    """

    name = "alpaca"

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
        requests_per_minute: int = REQUESTS_PER_MINUTE,
        stocks_always_open: bool = False,
        store: Path | None = None,
        unverified: Unverified | None = None,
    ) -> None:
        prices = PriceProcess(seed, MARKETS, volatility, spread, price_step_s)
        records = None if store is None else Store(store)
        books = Books(MARKETS, _id_maker(seed, "order"), _id_maker(seed, "execution"), records)
        hours = StockHours(stocks_always_open)
        self._sessions = SessionExchange(books, prices, hours, fill_delay_ms / 1000, fill_parts)
        super().__init__(self._sessions, clock, seed, records)
        self._keys: dict[str, ApiKey] = {}
        self._limit = MinuteLimit(rate_limits, requests_per_minute)
        self._data_limit = MinuteLimit(rate_limits, requests_per_minute)
        self._desk = Desk(unverified or Unverified())
        self._views = ListViews(self._sessions, self._desk, seed)
        self._sessions.after_advance = lambda: place_exits(self._views)
        self._answers = 0
        if records is not None:
            self._load(records)

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
    ) -> Credentials:
        """Make an account with a key; if the account exists, add or replace the key and leave its money alone.

        Permissions are OAuth scopes; an ordinary key has them all. Key and secret are made from the seed unless given;
        a secret that was given is never written to the store, so give it again after a restart. `tier` is for other
        venues. Raises ValueError.
        """
        wanted = SCOPES if permissions is None else tuple(permissions)
        if unknown := set(wanted) - set(SCOPES):
            raise ValueError(f"permissions {sorted(unknown)} do not exist: give some of {', '.join(SCOPES)}")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise ValueError(f"account name is {name!r}: give a text of 1 to 100 characters")
        made_key = "PK" + letters_for(self.seed, "alpaca key", name, count=24) if key is None else key
        made_secret = self._secret(name) if secret is None else secret
        for what, value in (("key", made_key), ("secret", made_secret)):
            if not isinstance(value, str) or not value.isascii() or not value.isalnum() or len(value) > 200:
                raise ValueError(f"{what} of {name} is not a text of at most 200 letters and digits")
        old = self._keys.get(made_key)
        if old is not None and old.account != name:
            raise ValueError(f"key {made_key[:8]}... already belongs to {old.account}: give another")
        with self.lock:
            self.exchange.advance(self.clock())
            self.books.add_account(name, dict(balances or {}))
            self._put_key(ApiKey(made_key, made_secret, name, frozenset(wanted), self.clock()))
            self.save()
        return Credentials(made_key, made_secret)

    def set_account(self, name: str, **flags: Any) -> None:
        """Change what Alpaca decides about an account, by the fields of `AccountFlags`: `status`, `trading_blocked`...

        Raises KeyError for an unknown account, ValueError for an unknown field.
        """
        with self.lock:
            if name not in self.books.accounts:
                raise KeyError(name)
            known = self._desk.flags_of(name)
            for field, value in flags.items():
                if field not in AccountFlags.__slots__ or type(value) is not type(getattr(known, field)):
                    fields = ", ".join(AccountFlags.__slots__)
                    raise ValueError(f"{field} = {value!r} is no flag of an account: give some of {fields}")
                setattr(known, field, value)
            self._save_desk()
            self.save()

    def keys(self) -> list[dict[str, Any]]:
        """What there is to know about each key but its secret."""
        return [
            {"key": api_key.key, "account": api_key.account, "permissions": sorted(api_key.scopes)}
            for api_key in self._keys.values()
        ]

    # -- requests ----------------------------------------------------------------------------------

    def identify(self, incoming: Incoming) -> tuple[str, str | None, str | None]:
        """Method (`POST /v2/orders`), account and key of a request that is not yet checked."""
        api_key = self._keys.get(incoming.headers.get("apca-api-key-id", ""))
        method = method_name(incoming.verb, incoming.path)
        return method, None if api_key is None else api_key.account, None if api_key is None else api_key.key

    def open_stream(self, incoming: Incoming) -> StreamSession | None:
        """The stream of orders; who listens says so over it."""
        if incoming.path != STREAM_PATH:
            return None
        return TradeUpdatesSession(self._keys, self._views, lambda body: _written(body).encode())

    def error_reply(self, text: str) -> Reply:
        """The error `[status] [code] message` in Alpaca's shape."""
        error = errors.from_text(text)
        return self._reply(error.status, error.body(), {})

    def handle(self, incoming: Incoming, fault: Fault | None) -> Reply:
        """Work on one request."""
        with self.lock:
            now_s = self.clock()
            counted: list[dict[str, str]] = []
            try:
                status, body = self._answer(incoming, fault, now_s, counted)
            except AlpacaError as error:
                self.counts.error(error.text, self.identify(incoming)[2])
                status, body = error.status, error.body()
            headers = counted[0] if counted else {}
            if status == 429 and self._desk.unverified.rate_limit_body == "text":
                return Reply(b"rate limit exceeded\n", 429, "text/plain; charset=utf-8", headers)
            return self._reply(status, body, headers)

    def _answer(
        self, incoming: Incoming, fault: Fault | None, now_s: float, counted: list[dict[str, str]]
    ) -> tuple[int, Any]:
        """Status and body. `counted` gets the headers about the limit, as soon as it is known whose limit it is."""
        data = find_data(incoming.verb, incoming.path)
        if data is not None:
            return 200, self._data(data, incoming, now_s, counted)
        found = find_route(incoming.verb, incoming.path)
        refusal = KEY_REFUSALS[self._desk.unverified.key_refusal]
        api_key = self._admit(incoming, refusal, self._limit, now_s, counted)
        if found is None:
            raise errors.not_found("endpoint not found")
        route, words = found
        require(api_key, route.scope)
        has_body = incoming.verb in ("POST", "PATCH", "PUT")
        values = params.parse_body(incoming.body) if has_body else params.parse_query(incoming.query)
        self.exchange.advance(now_s)
        call = Call(
            exchange=self._sessions,
            desk=self._desk,
            params=values,
            now_s=self.exchange.now_s,
            api_key=api_key,
            account=self.books.accounts[api_key.account],
            fault=fault,
            seed=self.seed,
            words=words,
        )
        result = route.handler(call)
        if incoming.verb != "GET":
            self._save_desk()
        return (result.status, result.body) if isinstance(result, Answer) else (200, result)

    def _data(self, route: DataRoute, incoming: Incoming, now_s: float, counted: list[dict[str, str]]) -> Any:
        if not route.keyless or "apca-api-key-id" in incoming.headers:
            require(self._admit(incoming, errors.FORBIDDEN_BARE, self._data_limit, now_s, counted), route.scope)
        self.exchange.advance(now_s)
        values = params.parse_query(incoming.query)
        return route.handler(PublicCall(self._sessions, self._desk, values, self.exchange.now_s))

    def _admit(
        self,
        incoming: Incoming,
        refusal: tuple[int, int | None, str],
        limit: MinuteLimit,
        now_s: float,
        counted: list[dict[str, str]],
    ) -> ApiKey:
        api_key = authenticate(self._keys, incoming.headers, refusal)
        allowed = limit.allows(api_key.account, now_s)
        counted.append(limit.headers(api_key.account, now_s))
        if not allowed:
            raise AlpacaError(*errors.RATE_LIMITED)
        return api_key

    def _reply(self, status: int, body: Any, headers: dict[str, str]) -> Reply:
        self._answers += 1
        request_id = bytes_for(self.seed, "request", self._answers, size=16).hex()
        headers = {"X-Request-ID": request_id, **headers}
        if body is None:
            return Reply(b"", status, JSON_TYPE, headers)
        return Reply(_written(body).encode(), status, JSON_TYPE, headers)

    # -- the store ---------------------------------------------------------------------------------

    def _secret(self, name: str) -> str:
        return letters_for(self.seed, "alpaca secret", name, count=44)

    def _put_key(self, api_key: ApiKey) -> None:
        self._keys[api_key.key] = api_key
        if self._store is not None:
            record = {
                "account": api_key.account, "scopes": sorted(api_key.scopes), "created_at_s": api_key.created_at_s,
            }  # fmt: skip
            self._store.put("key", api_key.key, record)

    def _save_desk(self) -> None:
        if self._store is not None:
            flags = {name: asdict(each) for name, each in self._desk.flags.items() if each != AccountFlags()}
            self._store.put("desk", "flags", flags)
            self._store.put("desk", "replaced_by", dict(self._desk.replaced_by))
            brackets = {
                entry: [str(each.profit_price), str(each.loss_price)] for entry, each in self._desk.brackets.items()
            }
            self._store.put("desk", "brackets", brackets)

    def _load(self, store: Store) -> None:
        """Keys whose secret comes from the seed work at once; others wait for `add_account` with their secret."""
        for key, record in store.load("key"):
            name = record["account"]
            self._keys[key] = ApiKey(key, self._secret(name), name, frozenset(record["scopes"]), record["created_at_s"])
        kept = dict(store.load("desk"))
        self._desk.flags = {name: AccountFlags(**flags) for name, flags in kept.get("flags", {}).items()}
        self._desk.replaced_by = kept.get("replaced_by", {})
        self._desk.replaces = {new: old for old, new in self._desk.replaced_by.items()}
        for entry, (profit, loss) in kept.get("brackets", {}).items():
            self._views.restore(entry, Decimal(profit), Decimal(loss))
        for order in self.books.orders:
            if order.request.bracket_stop is not None or order.order_id in self._desk.brackets:
                self._views.remember(order)


def _written(body: Any) -> str:
    text = _encoder.encode(body)
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


def _id_maker(seed: int, what: str) -> IdMaker:
    """UUIDs, as Alpaca's orders and executions have."""

    def make(number: int) -> str:
        return str(uuid.UUID(bytes=bytes_for(seed, what, number, size=16), version=4))

    return make

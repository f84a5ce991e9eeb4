"""CoinbaseSimulator: a strict Coinbase Advanced Trade REST v3 on top of the shared exchange."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from copytrade.simulator.books import Books
from copytrade.simulator.coinbase import errors, params
from copytrade.simulator.coinbase.call import PRODUCT_FLAGS, Call, Desk, Rules
from copytrade.simulator.coinbase.errors import CoinbaseError, OrderFailed, json_reply
from copytrade.simulator.coinbase.limits import PRIVATE_PER_S, Windows
from copytrade.simulator.coinbase.listing import BY_ID, BY_SYMBOL, MARKETS, SharedPrices
from copytrade.simulator.coinbase.routes import find_route
from copytrade.simulator.coinbase.tokens import (
    DEFAULT_PERMISSIONS,
    PERMISSIONS,
    ApiKey,
    KeyRing,
    PrivateKey,
    TokenRules,
    made_private_key,
    read_secret,
    secret_text,
)
from copytrade.simulator.coinbase.user_stream import UserStream
from copytrade.simulator.exchange import Exchange
from copytrade.simulator.faults import Fault
from copytrade.simulator.ids import IdMaker, bytes_for
from copytrade.simulator.orders import Account
from copytrade.simulator.storage import Store
from copytrade.simulator.venue import Clock, Credentials, Incoming, Reply, SimulatedVenue

KEY_KINDS = ("ed25519", "ecdsa")


class CoinbaseSimulator(SimulatedVenue):
    """A Coinbase of made-up money.

    `seed` decides keys, ids, prices and chance. `clock` gives unix seconds. `volatility` and `spread` are those of
    `prices.PriceProcess`. `fill_delay_ms` passes between acceptance and fill, `fill_parts` trades make up a fill.
    `store` is a file to carry on from. `private_per_s` limits the signed requests of each account; `public_per_s`,
    which is 10 at Coinbase, those of each address: here everybody has the same one. `rules` and `token_rules` hold
    what Coinbase does not publish.
    Raises ValueError for a setting out of bounds.
    """

    name = "coinbase"

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
        private_per_s: int = PRIVATE_PER_S,
        public_per_s: int | None = None,
        store: Path | None = None,
        rules: Rules | None = None,
        token_rules: TokenRules | None = None,
    ) -> None:
        prices = SharedPrices(seed, volatility, spread, price_step_s)
        records = None if store is None else Store(store)
        books = Books(MARKETS, _uuid_maker(seed, "order"), _uuid_maker(seed, "trade"), records)
        exchange = Exchange(books, prices, fill_delay_ms / 1000, fill_parts)
        super().__init__(exchange, clock, seed, records)
        self._keys = KeyRing(token_rules or TokenRules())
        self._desk = Desk(rules or Rules())
        self._private = Windows(private_per_s) if rate_limits else None
        self._public = Windows(public_per_s) if rate_limits and public_per_s is not None else None
        if records is not None:
            self._load(records)

    # -- accounts and keys ---------------------------------------------------------------------------------------

    def add_account(
        self,
        name: str,
        balances: Mapping[str, Decimal] | None = None,
        *,
        permissions: list[str] | None = None,
        tier: str | None = None,
        key: str | None = None,
        secret: str | None = None,
        kind: str = "ed25519",
    ) -> Credentials:
        """Make an account with a key; if the account exists, add or replace the key and leave its money alone.

        `balances` are by asset. `permissions` are some of view, trade, transfer. `kind` is `ed25519` (secret in
        base64, the venue's default today) or `ecdsa` (secret as a PEM block). Key and secret are made from the seed
        unless given; a secret that was given is never written to the store. `tier` is not used: limits are the same
        for all accounts. Raises ValueError.
        """
        wanted = DEFAULT_PERMISSIONS if permissions is None else tuple(permissions)
        if unknown := set(wanted) - set(PERMISSIONS):
            raise ValueError(f"permissions {sorted(unknown)} do not exist: give some of {', '.join(PERMISSIONS)}")
        if kind not in KEY_KINDS:
            raise ValueError(f"kind is {kind!r}: give one of {', '.join(KEY_KINDS)}")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise ValueError(f"account name is {name!r}: give a text of 1 to 100 characters")
        if key is not None and (not isinstance(key, str) or not 1 <= len(key) <= 200):
            raise ValueError(f"key of {name} is not a text of 1 to 200 characters")
        private = made_private_key(self.seed, name, kind) if secret is None else read_secret(secret)
        with self.lock:
            self.exchange.advance(self.clock())
            self.books.add_account(name, dict(balances or {}))
            api_key = self._made_key(key or _key_name(self.seed, name), name, frozenset(wanted), private, self.clock())
            self._keys.put(api_key)
            if self._store is not None:
                record = {"account": name, "permissions": sorted(wanted), "created_at_s": api_key.created_at_s}
                self._store.put("key", api_key.name, {**record, "kind": api_key.kind})
            self.save()
        return Credentials(api_key.name, secret_text(private) if secret is None else secret)

    def keys(self) -> list[dict[str, Any]]:
        """What there is to know about each key but its secret."""
        return [
            {"key": key.name, "account": key.account, "permissions": sorted(key.permissions), "kind": key.kind}
            for key in self._keys.all()
        ]

    def set_flag(self, product_id: str, flag: str, on: bool = True) -> None:
        """Set one of a product's flags (`cancel_only`, `limit_only`...). Raises KeyError or ValueError."""
        if flag not in PRODUCT_FLAGS:
            raise ValueError(f"flag is {flag!r}: give one of {', '.join(PRODUCT_FLAGS)}")
        product = BY_ID[product_id]
        with self.lock:
            flags = self._desk.flags.setdefault(product.alias or product_id, set())
            (flags.add if on else flags.discard)(flag)

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set the price of a market (`BTC/USD`), and of the one that shares its book. Raises KeyError, ValueError."""
        if symbol not in BY_SYMBOL:
            raise KeyError(symbol)
        super().set_price(symbol, price)

    # -- requests ------------------------------------------------------------------------------------------------

    def identify(self, incoming: Incoming) -> tuple[str, str | None, str | None]:
        """Method, account and key of a request that is not yet checked."""
        key = self._keys.claimed(incoming.headers.get("authorization"))
        found = find_route(incoming.verb, incoming.path)
        method = "unknown" if found is None else found[0].name
        return method, None if key is None else key.account, None if key is None else key.name

    def error_reply(self, text: str) -> Reply:
        """An error by its text; see `errors.as_reply`."""
        return errors.as_reply(text, self._desk.rules.rate_limit_shape)

    def handle(self, incoming: Incoming, fault: Fault | None) -> Reply:
        """Work on one request."""
        with self.lock:
            try:
                return self._answer(incoming, fault)
            except CoinbaseError as error:
                self.counts.error(error.text, self.identify(incoming)[2])
                return error.reply

    def open_stream(self, incoming: Incoming) -> UserStream | None:
        """The stream of users' orders is at the root, as at its own host at Coinbase."""
        if incoming.path not in ("", "/"):
            return None
        return UserStream(self.books, self._desk, self._keys.authenticate_stream, self.clock())

    def _answer(self, incoming: Incoming, fault: Fault | None) -> Reply:
        found = find_route(incoming.verb, incoming.path)
        now_s = self.clock()
        if found is None:
            raise errors.not_found("path")
        route, part = found
        if route.public:
            api_key, account = None, Account(name="")
            limits = self._limit(self._public, incoming.remote, now_s)
        else:
            host = incoming.headers.get("host", "")
            authorization = incoming.headers.get("authorization")
            api_key = self._keys.authenticate(authorization, incoming.verb, incoming.path, host, now_s)
            account = self.books.accounts[api_key.account]
            limits = self._limit(self._private, api_key.account, now_s)
            if route.permission is not None and route.permission not in api_key.permissions:
                raise errors.missing_scopes()
        self.exchange.advance(now_s)
        call = Call(
            exchange=self.exchange,
            desk=self._desk,
            api_key=api_key,
            account=account,
            query=params.parse_query(incoming.query),
            body=params.parse_body(incoming.body),
            path_part=unquote(part),
            now_s=self.exchange.now_s,
            fault=fault,
            keep=self._keep,
        )
        try:
            answer = route.handler(call)
        except OrderFailed as failed:
            self.counts.error(failed.reason, None if api_key is None else api_key.name)
            answer = errors.failed_order(failed.reason, failed.configuration)
        return json_reply(answer, headers=limits)

    def _limit(self, windows: Windows | None, name: str, now_s: float) -> dict[str, str]:
        if windows is None:
            return {}
        allowed, headers = windows.take(name, now_s)
        if not allowed:
            raise errors.rate_limited(self._desk.rules.rate_limit_shape, headers)
        return headers

    # -- the store -----------------------------------------------------------------------------------------------

    def _made_key(
        self, name: str, account: str, permissions: frozenset[str], private: PrivateKey, created_at_s: float
    ) -> ApiKey:
        kind = "ecdsa" if secret_text(private).startswith("-----BEGIN") else "ed25519"
        return ApiKey(name, account, permissions, private.public_key(), kind, created_at_s)

    def _keep(self, order_id: str) -> None:
        if self._store is not None:
            self._store.put("configuration", order_id, self._desk.configurations[order_id])
            if order_id in self._desk.edits:
                self._store.put("edits", order_id, {"edits": self._desk.edits[order_id]})

    def _load(self, store: Store) -> None:
        """Keys whose secret comes from the seed work at once; others wait for `add_account` with their secret."""
        for name, record in store.load("key"):
            private = made_private_key(self.seed, record["account"], record["kind"])
            permissions = frozenset(record["permissions"])
            self._keys.put(self._made_key(name, record["account"], permissions, private, record["created_at_s"]))
        for order_id, configuration in store.load("configuration"):
            self._desk.configurations[order_id] = configuration
        for order_id, record in store.load("edits"):
            self._desk.edits[order_id] = record["edits"]


def _uuid_maker(seed: int, kind: str) -> IdMaker:
    def make(number: int) -> str:
        return str(uuid.UUID(bytes=bytes_for(seed, "coinbase", kind, number, size=16), version=4))

    return make


def _key_name(seed: int, account: str) -> str:
    """A key name in the venue's form, `organizations/{uuid}/apiKeys/{uuid}`."""
    organisation, key = (
        uuid.UUID(bytes=bytes_for(seed, "coinbase", part, account, size=16), version=4) for part in ("org", "key")
    )
    return f"organizations/{organisation}/apiKeys/{key}"

"""KrakenSimulator: a strict Kraken Spot REST v0 on top of the shared exchange."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from copytrade.simulator.books import Books
from copytrade.simulator.exchange import Exchange
from copytrade.simulator.faults import Fault
from copytrade.simulator.ids import IdMaker, bytes_for, letters_for
from copytrade.simulator.kraken import errors, params
from copytrade.simulator.kraken.call import MODES, Call, TradingDesk
from copytrade.simulator.kraken.errors import KrakenError
from copytrade.simulator.kraken.keys import (
    DEFAULT_PERMISSIONS,
    PERMISSIONS,
    ApiKey,
    KeyRing,
    decode_secret,
    require,
)
from copytrade.simulator.kraken.limits import CALL_COST, TIERS, DecayingCounter
from copytrade.simulator.kraken.listing import ASSET_BY_NAME, BY_SYMBOL, MARKETS
from copytrade.simulator.kraken.private import PRIVATE_CALLS
from copytrade.simulator.kraken.public import PUBLIC_CALLS, PublicCall
from copytrade.simulator.kraken.stream import PATH, ExecutionsStream
from copytrade.simulator.kraken.tokens import Tokens
from copytrade.simulator.prices import Candle, PriceProcess
from copytrade.simulator.storage import Store
from copytrade.simulator.streams import StreamSession
from copytrade.simulator.venue import Clock, Credentials, Incoming, Reply, SimulatedVenue

PUBLIC_PATH = "/0/public/"
PRIVATE_PATH = "/0/private/"
DEFAULT_TIER = "intermediate"  # what most verified accounts have
ADDRESSES_MAX = 10_000  # remote addresses with a public counter; then the counters start afresh
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class KrakenSimulator(SimulatedVenue):
    """A Kraken of made-up money.

    `seed` decides keys, ids, prices and chance. `clock` gives unix seconds. `volatility` and `spread` are
    those of `prices.PriceProcess`. `fill_delay_ms` passes between acceptance and fill, `fill_parts` trades
    make up a fill. `store` is a file to carry on from. `public_limit_per_s` limits public calls by address;
    `heartbeat_s` is the time between the signs of life of a quiet stream.
    Raises ValueError for a setting out of bounds.
    """

    name = "kraken"

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
        public_limit_per_s: float | None = None,
        store: Path | None = None,
        heartbeat_s: float = 1.0,
    ) -> None:
        prices = PriceProcess(seed, MARKETS, volatility, spread, price_step_s)
        records = None if store is None else Store(store)
        books = Books(MARKETS, _id_maker(seed, "O"), _id_maker(seed, "T"), records)
        exchange = Exchange(books, prices, fill_delay_ms / 1000, fill_parts)
        super().__init__(exchange, clock, seed, records)
        self._keys = KeyRing()
        self._desk = TradingDesk(rate_limits)
        self._public_limit_per_s = public_limit_per_s
        self._public_counters: dict[str, DecayingCounter] = {}
        self._candles: dict[tuple[str, int], list[Candle]] = {}
        self._tokens = Tokens(seed)
        self._heartbeat_s = heartbeat_s
        if records is not None:
            self._load_keys(records)

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
        nonce_window: int = 0,
        ip_allowlist: tuple[str, ...] = (),
    ) -> Credentials:
        """Make an account with a key; if the account exists, add or replace the key and leave its money alone.

        `balances` are by asset (`USD`, `BTC`, or Kraken's `ZUSD`, `XXBT`). Key and secret are made from the
        seed unless given; a secret that was given is never written to the store, so give it again after a
        restart. Raises ValueError.
        """
        wanted = DEFAULT_PERMISSIONS if permissions is None else tuple(permissions)
        unknown = set(wanted) - set(PERMISSIONS)
        if unknown:
            raise ValueError(f"permissions {sorted(unknown)} do not exist: give some of {', '.join(PERMISSIONS)}")
        if tier is not None and tier not in TIERS:
            raise ValueError(f"tier is {tier!r}: give one of {', '.join(TIERS)}")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise ValueError(f"account name is {name!r}: give a text of 1 to 100 characters")
        if key is not None and (not isinstance(key, str) or not 1 <= len(key) <= 200):
            raise ValueError(f"key of {name} is not a text of 1 to 200 characters")
        made_key = base64.b64encode(bytes_for(self.seed, "kraken key", name, size=42)).decode()
        made_secret = bytes_for(self.seed, "kraken secret", name)
        secret_bytes = made_secret if secret is None else decode_secret(secret)
        with self.lock:
            self.exchange.advance(self.clock())
            self.books.add_account(name, {_asset_name(asset): amount for asset, amount in (balances or {}).items()})
            chosen = TIERS[tier] if tier is not None else self._keys.tiers.get(name, TIERS[DEFAULT_TIER])
            self._keys.tiers[name] = chosen
            api_key = ApiKey(
                key=made_key if key is None else key,
                secret=secret_bytes,
                account=name,
                permissions=frozenset(wanted),
                counter=DecayingCounter(chosen.calls_max, chosen.calls_decay),
                created_at_s=self.clock(),
                nonce_window=nonce_window,
                ip_allowlist=ip_allowlist,
            )
            self._keys.put(api_key)
            self._save_key(api_key)
            self.save()
        return Credentials(api_key.key, base64.b64encode(secret_bytes).decode())

    def deposit(self, name: str, asset: str, amount: Decimal) -> None:
        """Change a balance from outside. Raises KeyError or ValueError."""
        super().deposit(name, _asset_name(asset), amount)

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set the price of a market (`BTC/USD`) from now on. Raises KeyError or ValueError."""
        with self.lock:
            self._candles.clear()
            super().set_price(symbol, price)

    def set_market_mode(self, symbol: str, mode: str) -> None:
        """Put a market (`BTC/USD`) into `online`, `cancel_only`, `post_only` or `limit_only`.

        Raises KeyError or ValueError.
        """
        if symbol not in BY_SYMBOL:
            raise KeyError(symbol)
        if mode not in MODES:
            raise ValueError(f"market mode is {mode!r}: give one of {', '.join(MODES)}")
        with self.lock:
            self._desk.modes[symbol] = mode

    def keys(self) -> list[dict[str, Any]]:
        """What there is to know about each key but its secret."""
        return [
            {
                "key": api_key.key,
                "account": api_key.account,
                "permissions": sorted(api_key.permissions),
                "tier": self._keys.tiers[api_key.account].name,
                "nonce": api_key.nonce,
                "nonce_window": api_key.nonce_window,
            }
            for api_key in self._keys.all()
        ]

    # -- requests ----------------------------------------------------------------------------------

    def identify(self, incoming: Incoming) -> tuple[str, str | None, str | None]:
        """Method, account and key of a request that is not yet checked."""
        api_key = self._keys.get(incoming.headers.get("api-key"))
        method = incoming.path.rsplit("/", 1)[-1]
        return method, None if api_key is None else api_key.account, None if api_key is None else api_key.key

    def error_reply(self, text: str) -> Reply:
        """HTTP 200 with one error, as Kraken answers all of them."""
        return Reply(_encode({"error": [text]}).encode())

    def handle(self, incoming: Incoming, fault: Fault | None) -> Reply:
        """Work on one request."""
        with self.lock:
            try:
                if incoming.path.startswith(PRIVATE_PATH):
                    result = self._private(incoming, fault)
                elif incoming.path.startswith(PUBLIC_PATH):
                    result = self._public(incoming)
                else:
                    raise KrakenError(errors.UNKNOWN_METHOD)
            except KrakenError as error:
                self.counts.error(error.text, self.identify(incoming)[2])
                return self.error_reply(error.text)
        return Reply(_encode({"error": [], "result": result}).encode())

    def open_stream(self, incoming: Incoming) -> StreamSession | None:
        """A connection to the private WebSocket, version 2."""
        if incoming.path != PATH:
            return None
        return ExecutionsStream(self._tokens, self.books.accounts.__getitem__, self.books.orders, self._heartbeat_s)

    def _private(self, incoming: Incoming, fault: Fault | None) -> Any:
        method = incoming.path[len(PRIVATE_PATH) :]
        if method not in PRIVATE_CALLS or incoming.verb != "POST":
            raise KrakenError(errors.UNKNOWN_METHOD)
        handler, permissions = PRIVATE_CALLS[method]
        headers = incoming.headers
        now_s = self.clock()
        try:
            values = params.parse_body(incoming.body, headers.get("content-type", ""))
            nonce = params.text(values, "nonce")
        except KrakenError:
            if self._keys.get(headers.get("api-key")) is None:
                values, nonce = {}, ""  # who asks comes before what is asked: the answer is about the key
            else:
                raise
        api_key = self._keys.authenticate(
            incoming.path, headers.get("api-key"), headers.get("api-sign"), nonce, incoming.body, now_s
        )
        if self._store is not None:
            self._store.put("nonce", api_key.key, {"nonce": api_key.nonce})
        require(api_key, *permissions)
        if self._desk.rate_limits and not api_key.counter.allows(CALL_COST.get(method, 1), now_s):
            raise KrakenError(errors.RATE_LIMIT)
        self.exchange.advance(now_s)
        call = Call(
            exchange=self.exchange,
            desk=self._desk,
            api_key=api_key,
            account=self.books.accounts[api_key.account],
            tier=self._keys.tiers[api_key.account],
            params=values,
            arrived_s=incoming.arrived_at_s,
            now_s=self.exchange.now_s,
            fault=fault,
            token=lambda: self._tokens.issue(api_key, now_s),
        )
        return handler(call)

    def _public(self, incoming: Incoming) -> Any:
        call = PUBLIC_CALLS.get(incoming.path[len(PUBLIC_PATH) :])
        if call is None or incoming.verb != "GET":
            raise KrakenError(errors.UNKNOWN_METHOD)
        now_s = self.clock()
        if self._public_limit_per_s is not None:
            if len(self._public_counters) >= ADDRESSES_MAX:
                self._public_counters.clear()
            limit = self._public_limit_per_s
            counter = self._public_counters.setdefault(incoming.remote, DecayingCounter(max(limit, 1), limit))
            if not counter.allows(1, now_s):
                raise KrakenError(errors.RATE_LIMIT)
        self.exchange.advance(now_s)
        values = params.parse_query(incoming.query)
        return call(PublicCall(self.exchange, self._desk, values, self.exchange.now_s, self._candles))

    # -- the store ---------------------------------------------------------------------------------

    def _save_key(self, api_key: ApiKey) -> None:
        if self._store is None:
            return
        record = {
            "account": api_key.account,
            "permissions": sorted(api_key.permissions),
            "tier": self._keys.tiers[api_key.account].name,
            "created_at_s": api_key.created_at_s,
            "nonce_window": api_key.nonce_window,
            "ip_allowlist": list(api_key.ip_allowlist),
        }
        self._store.put("key", api_key.key, record)

    def _load_keys(self, store: Store) -> None:
        """Keys whose secret comes from the seed work at once; others wait for `add_account` with their secret."""
        nonces = {key: record["nonce"] for key, record in store.load("nonce")}
        for key, record in store.load("key"):
            tier = TIERS[record["tier"]]
            self._keys.tiers[record["account"]] = tier
            api_key = ApiKey(
                key=key,
                secret=bytes_for(self.seed, "kraken secret", record["account"]),
                account=record["account"],
                permissions=frozenset(record["permissions"]),
                counter=DecayingCounter(tier.calls_max, tier.calls_decay),
                created_at_s=record["created_at_s"],
                nonce=nonces.get(key, 0),
                nonce_window=record["nonce_window"],
                ip_allowlist=tuple(record["ip_allowlist"]),
            )
            self._keys.put(api_key)


def _asset_name(text: str) -> str:
    """Our name of an asset given as `BTC`, `XXBT` or `XBT`; one that no market trades (`ADA.S`) keeps its own."""
    from_kraken = {asset.key: name for name, asset in ASSET_BY_NAME.items()}
    from_altname = {asset.altname: name for name, asset in ASSET_BY_NAME.items()}
    return text if text in ASSET_BY_NAME else from_kraken.get(text) or from_altname.get(text) or text


def _id_maker(seed: int, first: str) -> IdMaker:
    """Ids in Kraken's form, `OUF4EM-FRGI2-MQMWZD`; the first letter tells orders from trades."""

    def make(number: int) -> str:
        letters = letters_for(seed, first, number, count=16)
        return f"{first}{letters[:5]}-{letters[5:10]}-{letters[10:]}"

    return make

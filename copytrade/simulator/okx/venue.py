"""OkxSimulator: a strict OKX v5 (spot, REST) on top of the shared exchange."""

from __future__ import annotations

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
from copytrade.simulator.okx import params
from copytrade.simulator.okx.algobook import Algo, AlgoBook
from copytrade.simulator.okx.call import Call, Rows, TradingDesk
from copytrade.simulator.okx.errors import ALL_FAILED, ERRORS, SOME_FAILED, OkxError
from copytrade.simulator.okx.keys import DEFAULT_PERMISSIONS, PERMISSIONS, ApiKey, KeyRing
from copytrade.simulator.okx.limits import ADDRESS, CANCEL_ALGOS, LIMITS, USER_INSTRUMENT
from copytrade.simulator.okx.listing import BY_SYMBOL, MARKETS
from copytrade.simulator.okx.place import STATES
from copytrade.simulator.okx.private import PRIVATE_CALLS
from copytrade.simulator.okx.public import PUBLIC_CALLS, PublicCall
from copytrade.simulator.okx.streams import PATHS, OkxSession
from copytrade.simulator.prices import Candle, PriceProcess
from copytrade.simulator.storage import Store
from copytrade.simulator.venue import Clock, Credentials, Incoming, Reply, SimulatedVenue

ROOT = "/api/v5"
# OKX's order ids are whole numbers of some nineteen digits that rise with time.
FIRST_ORDER_ID = 1_800_000_000_000_000_000
ORDER_ID_STEP = 4_096
FIRST_TRADE_ID = 700_000_000
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class OkxSimulator(SimulatedVenue):
    """An OKX of made-up money.

    `seed` decides keys, ids, prices and chance. `clock` gives unix seconds. `volatility`, `spread` and `price_step_s`
    are those of `prices.PriceProcess`. `fill_delay_ms` passes between acceptance and fill, `fill_parts` trades make
    up a fill. `store` is a file to carry on from. Where OKX's documentation is silent there is a setting:
    `timestamp_window_s` (how far a timestamp may be off), `market_buy_extra` (what a market purchase by base size
    needs above its cost), `price_band`, `unfilled_kept_s` (how long a cancelled order without a fill is shown),
    `rate_limit_status` (HTTP status of code 50011: 429 or 200). Raises ValueError for a setting out of bounds.
    """

    name = "okx"
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
        store: Path | None = None,
        *,
        timestamp_window_s: float = 30.0,
        market_buy_extra: Decimal = Decimal("0.05"),
        price_band: Decimal = Decimal("0.05"),
        unfilled_kept_s: float = 7_200.0,
        rate_limit_status: int = 429,
    ) -> None:
        if rate_limit_status not in (200, 429):
            raise ValueError(f"rate_limit_status is {rate_limit_status}: give 200 or 429")
        prices = PriceProcess(seed, MARKETS, volatility, spread, price_step_s)
        records = None if store is None else Store(store)
        books = Books(MARKETS, _order_ids(seed), lambda number: str(FIRST_TRADE_ID + number), records)
        exchange = Exchange(books, prices, fill_delay_ms / 1000, fill_parts)
        super().__init__(exchange, clock, seed, records)
        self._keys = KeyRing(timestamp_window_s)
        algos = AlgoBook(exchange, records)
        self._desk = TradingDesk(rate_limits, market_buy_extra, price_band, unfilled_kept_s, records, algos)
        self._desk.load()
        self._rate_limit_status = rate_limit_status
        self._days: dict[str, tuple[int, list[Candle]]] = {}
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
        passphrase: str | None = None,
        ip_allowlist: tuple[str, ...] = (),
        demo: bool = False,
    ) -> Credentials:
        """Make an account with a key; if the account exists, add or replace the key and leave its money alone.

        Key, secret and passphrase are made from the seed unless given; a secret or passphrase that was given is
        never written to the store, so give it again after a restart. `tier` changes nothing: OKX's limits are the
        same for all. A `demo` key works with the header `x-simulated-trading: 1` only. Raises ValueError.
        """
        wanted = DEFAULT_PERMISSIONS if permissions is None else tuple(permissions)
        unknown = set(wanted) - set(PERMISSIONS)
        if unknown:
            raise ValueError(f"permissions {sorted(unknown)} do not exist: give some of {', '.join(PERMISSIONS)}")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise ValueError(f"account name is {name!r}: give a text of 1 to 100 characters")
        for what, value in (("key", key), ("secret", secret), ("passphrase", passphrase)):
            if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= 200):
                raise ValueError(f"{what} of {name} is not a text of 1 to 200 characters")
        api_key = ApiKey(
            key=self._made_key(name) if key is None else key,
            secret=self._made_secret(name) if secret is None else secret,
            passphrase=self._made_passphrase(name) if passphrase is None else passphrase,
            account=name,
            permissions=tuple(each for each in PERMISSIONS if each in wanted),
            ip_allowlist=ip_allowlist,
            demo=demo,
        )
        with self.lock:
            self.exchange.advance(self.clock())
            self.books.add_account(name, dict(balances or {}))
            self._keys.put(api_key)
            self._save_key(api_key)
            self.save()
        return Credentials(api_key.key, api_key.secret, api_key.passphrase)

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set the price of a market (`BTC/USDT`) from now on. Raises KeyError or ValueError."""
        with self.lock:
            self._days.clear()
            super().set_price(symbol, price)

    def set_market_state(self, symbol: str, state: str) -> None:
        """Put a market (`BTC/USDT`) into `live`, `suspend`, `preopen` or `test`. Raises KeyError or ValueError."""
        if symbol not in BY_SYMBOL:
            raise KeyError(symbol)
        if state not in STATES:
            raise ValueError(f"market state is {state!r}: give one of {', '.join(STATES)}")
        with self.lock:
            self._desk.states[symbol] = state

    def algos(self, account: str) -> list[Algo]:
        """Every order of an account that waits or waited for a price, the oldest first."""
        with self.lock:
            self.exchange.advance(self.clock())
            return list(self._desk.algos.of(account))

    def keys(self) -> list[dict[str, Any]]:
        """What there is to know about each key but its secret and passphrase."""
        return [
            {"key": each.key, "account": each.account, "permissions": list(each.permissions), "demo": each.demo}
            for each in self._keys.all()
        ]

    # -- requests ----------------------------------------------------------------------------------

    def identify(self, incoming: Incoming) -> tuple[str, str | None, str | None]:
        """Method (`POST /trade/order`), account and key of a request that is not yet checked."""
        api_key = self._keys.get(incoming.headers.get("ok-access-key"))
        method = f"{incoming.verb} {incoming.path.removeprefix(ROOT)}"
        return method, None if api_key is None else api_key.account, None if api_key is None else api_key.key

    def error_reply(self, text: str) -> Reply:
        """The answer for a fault: `50001` (or `50001:words`) about the request, `1:51008` in the row of an order."""
        in_row = text.startswith("1:")
        code, _, words = text.removeprefix("1:").partition(":")
        if code not in ERRORS and not code.isdigit():
            code, words = "50001", text
        error = OkxError(code, message=words or None)
        if not in_row:
            return self._error(error)
        row = {"clOrdId": "", "ordId": "", "tag": "", "sCode": error.code, "sMsg": error.message}
        return _reply(ALL_FAILED, "All operations failed", [row])

    def handle(self, incoming: Incoming, fault: Fault | None) -> Reply:
        """Work on one request."""
        with self.lock:
            method, _, key = self.identify(incoming)
            try:
                known = incoming.path.startswith(ROOT + "/")
                if known and method in PUBLIC_CALLS:
                    return _reply("0", "", self._public(incoming, method))
                if known and method in PRIVATE_CALLS:
                    return self._rows(self._private(incoming, method, fault), incoming, key)
                paths = {each.partition(" ")[2] for each in (*PUBLIC_CALLS, *PRIVATE_CALLS)}
                raise OkxError("50115" if known and incoming.path.removeprefix(ROOT) in paths else "404")
            except OkxError as error:
                self.counts.error(error.code, key)
                return self._error(error)

    def open_stream(self, incoming: Incoming) -> OkxSession | None:
        """The private streams: ordinary orders at one path, waiting ones at the other."""
        channel = PATHS.get(incoming.path)
        if channel is None:
            return None
        demo = incoming.headers.get("x-simulated-trading") == "1"
        return OkxSession(self._keys, self._desk, self.books, channel, incoming.remote, demo, self.clock())

    def _private(self, incoming: Incoming, method: str, fault: Fault | None) -> list[Any] | Rows:
        handler, permission = PRIVATE_CALLS[method]
        now_s = self.clock()
        target = f"{incoming.path}?{incoming.query}" if incoming.query else incoming.path
        api_key = self._keys.authenticate(
            incoming.headers, incoming.verb, target, incoming.body, incoming.remote, incoming.arrived_at_s
        )
        if permission not in api_key.permissions:
            raise OkxError("50120")
        body: Any
        if incoming.verb == "GET":
            body = params.parse_query(incoming.query)
        else:
            body = params.parse_body(incoming.body, incoming.headers.get("content-type", ""))
        self._limit(method, api_key.account, body, now_s)
        self.exchange.advance(now_s)
        call = Call(
            exchange=self.exchange,
            desk=self._desk,
            api_key=api_key,
            account=self.books.accounts[api_key.account],
            body=body,
            arrived_s=incoming.arrived_at_s,
            now_s=self.exchange.now_s,
            expires_ms=params.whole({"expTime": incoming.headers.get("exptime")}, "expTime"),
            fault=fault,
        )
        return handler(call)

    def _public(self, incoming: Incoming, method: str) -> list[Any]:
        now_s = self.clock()
        values = params.parse_query(incoming.query)
        self._limit(method, incoming.remote, values, now_s)
        self.exchange.advance(now_s)
        return PUBLIC_CALLS[method](PublicCall(self.exchange, self._desk, values, self.exchange.now_s, self._days))

    def _limit(self, method: str, who: str, values: Any, now_s: float) -> None:
        """Count a request. Raises OkxError over the limit; batches count by their orders."""
        limit = LIMITS.get(method)
        if limit is None or not self._desk.rate_limits:
            return
        most, by = limit
        rows = values if isinstance(values, list) and method != CANCEL_ALGOS else [values]
        first = values[0] if isinstance(values, list) and values else values
        inst_id = first.get("instId") if by == USER_INSTRUMENT and isinstance(first, dict) else ""
        scope = (method, "address" if by == ADDRESS else "user", who, str(inst_id))
        if not self._desk.windows.allows(scope, most, now_s, len(rows)):
            raise OkxError("50011")

    def _rows(self, answer: list[Any] | Rows, incoming: Incoming, key: str | None) -> Reply:
        if not isinstance(answer, Rows):
            return _reply("0", "", answer)
        failed = [row for row in answer.rows if row["sCode"] != "0"]
        for row in failed:
            self.counts.error(row["sCode"], key)
        code, message = "0", ""
        if failed:
            everything = len(failed) == len(answer.rows)
            code = ALL_FAILED if everything else SOME_FAILED
            message = "All operations failed" if everything else "Bulk operation partially succeeded."
        times = {"inTime": str(int(incoming.arrived_at_s * 1e6)), "outTime": str(int(self.clock() * 1e6))}
        return _reply(code, message, answer.rows, times)

    def _error(self, error: OkxError) -> Reply:
        status = self._rate_limit_status if error.code == "50011" else error.status
        return _reply(error.code, error.message, [], status=status)

    # -- keys and the store ------------------------------------------------------------------------

    def _made_key(self, name: str) -> str:
        digits = bytes_for(self.seed, "okx key", name, size=16).hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _made_secret(self, name: str) -> str:
        return bytes_for(self.seed, "okx secret", name, size=16).hex().upper()

    def _made_passphrase(self, name: str) -> str:
        return f"Sim-{letters_for(self.seed, 'okx passphrase', name, count=16)}"

    def _save_key(self, api_key: ApiKey) -> None:
        if self._store is not None:
            record = {
                "account": api_key.account,
                "permissions": list(api_key.permissions),
                "ip_allowlist": list(api_key.ip_allowlist),
                "demo": api_key.demo,
            }
            self._store.put("key", api_key.key, record)

    def _load_keys(self, store: Store) -> None:
        """Keys whose secret comes from the seed work at once; others wait for `add_account` with their secret."""
        for key, record in store.load("key"):
            name = record["account"]
            self._keys.put(
                ApiKey(
                    key=key,
                    secret=self._made_secret(name),
                    passphrase=self._made_passphrase(name),
                    account=name,
                    permissions=tuple(record["permissions"]),
                    ip_allowlist=tuple(record["ip_allowlist"]),
                    demo=record["demo"],
                )
            )


def _reply(
    code: str, message: str, data: list[Any], times: Mapping[str, str] | None = None, status: int = 200
) -> Reply:
    return Reply(_encode({"code": code, "msg": message, "data": data, **(times or {})}).encode(), status)


def _order_ids(seed: int) -> IdMaker:
    """Whole numbers that rise; the seed moves the first, so that two venues do not share ids."""
    first = FIRST_ORDER_ID + seed % 1_000_000 * 1_000_000_000

    def make(number: int) -> str:
        return str(first + number * ORDER_ID_STEP)

    return make

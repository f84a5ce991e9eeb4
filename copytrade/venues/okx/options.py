"""How an account at OKX is used: deadlines, limits, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

NAME = "okx"

# Where the private streams of OKX's own addresses are, live and demo.
STREAMS = {
    "www.okx.com": ("wss://ws.okx.com:8443", "wss://wspap.okx.com:8443"),
    "eea.okx.com": ("wss://wseea.okx.com:8443", "wss://wseeapap.okx.com:8443"),
    "my.okx.com": ("wss://wseea.okx.com:8443", "wss://wseeapap.okx.com:8443"),
}

# How far a request's timestamp may be from OKX's clock. Documented for the WebSocket login, reported for REST.
TIMESTAMP_WINDOW_S = 30.0

# Share of the order budget that only exits may use.
EXIT_RESERVE = 0.25

# Requests in two seconds (the "Rate Limit" line of each call's page of OKX's v5 documentation). Orders and the look-up
# of one order count by user and instrument, the other signed reads by user, the public ones by address. Signed calls
# are named as in the SDK.
ORDERS_PER_2_S = 60
ALGO_ORDERS_PER_2_S = 20
ACCOUNT_ORDERS_PER_2_S = 1_000
READS_PER_2_S = {
    "cancel_order": 60,
    "get_order": 60,
    "get_order_list": 60,
    "get_orders_history": 40,
    "get_orders_history_archive": 20,
    "get_fills": 60,
    "get_fills_history": 10,
    "cancel_algo_order": 20,
    "get_algo_order_details": 20,
    "order_algos_list": 20,
    "order_algos_history": 20,
    "get_account_balance": 10,
    "get_account_config": 5,
    "get_instruments": 20,
}
CANCELS = frozenset({"cancel_order", "cancel_algo_order"})
PUBLIC_PER_2_S = {
    "/api/v5/public/time": 10,
    "/api/v5/public/instruments": 20,
    "/api/v5/market/ticker": 20,
    "/api/v5/market/tickers": 20,
    "/api/v5/market/candles": 40,
}


@dataclass(frozen=True, slots=True)
class OkxOptions:
    """Settings of the venue.

    `currency`: what accounts are measured in. `demo`: the keys are those of demo trading. `order_deadline_s`: OKX
    drops an order that reaches it later (header `expTime`); below the 30 s of the timestamp's window, so that an order
    whose `expTime` got lost on the way is still impossible half a minute on. `absence_settle_s`: how long after the
    deadline an order may take to show up in look-ups. `stream_url`: scheme, host and port of the private streams;
    None is what belongs to the base URL. `stream_ping_s`: OKX ends a stream on which nothing happens for 30 s, so after
    this much silence it is asked for a sign of life, and has as long again to give one. `stream_connects_per_s`: how
    fast streams of all accounts may be opened ("Connection limit: 3 requests per second (based on IP)").
    """

    currency: str = "USDT"
    demo: bool = False
    max_connections: int = 250
    # OKX does not say when it closes an idle connection; half a minute is short of what proxies usually allow.
    keepalive_s: float = 30.0
    request_timeout_s: float = 10.0
    order_deadline_s: float = 5.0
    absence_settle_s: float = 2.0
    clock_skew_max_s: float = 2.0
    # The list of instruments is the longest answer: some 800 of about 1 kB.
    body_max_bytes: int = 4_000_000
    read_attempts_max: int = 3
    read_total_s: float = 30.0
    # 100 orders or trades a page: 2,000 of one account and instrument within a few minutes are no follower's.
    pages_max: int = 20
    clock_refresh_s: float = 300.0
    stream_url: str | None = None
    stream_ping_s: float = 12.0
    stream_connects_per_s: float = 3.0

    def __post_init__(self) -> None:
        if not 1 <= self.order_deadline_s <= 25:
            raise ValueError(f"venues.okx.order_deadline_s is {self.order_deadline_s}: give 1 to 25")
        if not self.currency.isalnum():
            raise ValueError(f"venues.okx.currency is {self.currency!r}: give a currency such as USDT or USD")

    @property
    def flag(self) -> str:
        """The header `x-simulated-trading`: `0` trades real money. The SDK's default is `1`."""
        return "1" if self.demo else "0"

    def stream_origin(self, base_url: str) -> str:
        """Scheme, host and port of the private streams that belong to a base URL."""
        if self.stream_url:
            return self.stream_url.rstrip("/")
        parts = urlsplit(base_url)
        known = STREAMS.get(parts.hostname or "")
        if known is not None and parts.scheme == "https":
            return known[self.demo]
        return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"

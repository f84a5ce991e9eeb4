"""How an account at Coinbase is used: lifetimes, limits, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

NAME = "coinbase"
# Where users' orders are streamed (docs.cdp.coinbase.com, "WebSocket overview"), for Coinbase's own address.
STREAM_URL = "wss://advanced-trade-ws-user.coinbase.com"
_HOST = "api.coinbase.com"
# docs.cdp.coinbase.com, "JWT authentication": a token is good for two minutes at most.
TOKEN_LIFE_MAX_S = 120.0

# Share of an account's budget that only exits may use.
EXIT_RESERVE = 0.25


@dataclass(frozen=True, slots=True)
class CoinbaseOptions:
    """Settings of the venue.

    `token_life_s`: how long the token of one request is good. It is the deadline of an order: Coinbase has no other,
    and a request that arrives with an expired token is turned away. Coinbase's own CDP SDK has this as an option
    (`expires_in`). `absence_settle_s`: how long after that an order that was let in may take to show up in look-ups.
    `calls_per_s`: signed calls of one account. Coinbase's older page allows 30 a second to each user, today's figure
    is not published; a third of it is more than one account needs. `public_calls_per_s`: the older page allows 10 a
    second to each address. `stream_url`: scheme, host and port of the stream of orders; None is what belongs to the
    base URL. `stream_silence_s`: a stream on which nothing comes for so long is given up; Coinbase's heartbeats come
    every second. `stream_connects_per_s`: how fast streams of all accounts may be opened; Coinbase allows 8 a second
    to each address. `orders_lookback_s`: how old an order can be at most for its end to be noticed by the first
    listing of a run, when it was cancelled meanwhile and nothing of it had filled.
    """

    currency: str = "USD"
    max_connections: int = 250
    keepalive_s: float = 60.0
    request_timeout_s: float = 10.0
    token_life_s: float = 10.0
    absence_settle_s: float = 5.0
    clock_skew_max_s: float = 2.0
    # A page of 250 products has some 300 kB; an answer that ignores the limit has all of them, some 1 MB.
    body_max_bytes: int = 4_000_000
    calls_per_s: float = 10.0
    calls_burst: float = 10.0
    public_calls_per_s: float | None = 10.0
    public_burst: int = 5
    read_attempts_max: int = 3
    read_total_s: float = 30.0
    # 100 orders a page: 2,000 orders of one account within a few minutes would be no account of a follower's.
    pages_max: int = 20
    clock_refresh_s: float = 300.0
    stream_url: str | None = None
    stream_silence_s: float = 15.0
    stream_connects_per_s: float = 6.0
    orders_lookback_s: float = 30 * 86_400.0

    def __post_init__(self) -> None:
        longest_s = TOKEN_LIFE_MAX_S - self.clock_skew_max_s
        if not 2 <= self.token_life_s <= longest_s:
            raise ValueError(
                f"venues.coinbase.token_life_s is {self.token_life_s}: give 2 to {longest_s:g} (two minutes less "
                "clock_skew_max_s)"
            )
        if self.calls_burst < 1:
            raise ValueError(f"venues.coinbase.calls_burst is {self.calls_burst}: give at least 1")

    @property
    def late_s(self) -> float:
        """How long after an order was signed it may still be let in: whole seconds are stamped, so one is added."""
        return self.token_life_s + 1

    @property
    def absence_wait_s(self) -> float:
        """How long after an order was signed a look-up that finds nothing proves that it never arrived."""
        return self.late_s + self.clock_skew_max_s + self.absence_settle_s

    def stream_base(self, base_url: str) -> str:
        """Where the stream of orders is when REST is at `base_url`."""
        if self.stream_url is not None:
            return self.stream_url
        parts = urlsplit(base_url)
        if parts.hostname == _HOST:
            return STREAM_URL
        return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"

"""How an account at Alpaca is used: limits, waits, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

NAME = "alpaca"
TRADING_HOSTS_SUFFIX = ".alpaca.markets"
DATA_URL = "https://data.alpaca.markets"

# Shares of an account's requests a minute: reads leave some to orders, entries leave some to exits. What is left over
# covers what other programs ask with the same account while their answers' headers have not told us yet.
EXIT_SHARE = 0.95
ENTRY_SHARE = 0.80
READ_SHARE = 0.60


@dataclass(frozen=True, slots=True)
class AlpacaOptions:
    """Settings of the venue.

    Alpaca checks no time and knows no deadline, so nothing makes a late order impossible. What it does: a client order
    id names one order of an account for ever, so sending the same order again under its id never makes a second one
    ("client_order_id must be unique"). The waits below therefore guard against something else, an order that is given
    up as absent and arrives after all. An entry may be given up (it expires), so it is called absent only after
    `late_order_s`, longer than gateways hold a request on to. An exit is sent again until it is answered, under the
    same id, and that is itself the look-up: it waits `late_exit_s`, just long enough for a slow look-up.

    `requests_per_minute`: of one account (alpaca.markets/support/usage-limit-api-calls); answers' headers correct it.
    `public_calls_per_s`: market data for all accounts together, from the 200 a minute of the free plan.
    `crypto_fee_rate`: of the highest tier. Alpaca enters fees at the end of the day and no answer tells them before;
    with a rate that is too high some dust stays, with one that is too low an exit would ask for more than is held.
    `stream_url`: origin of the stream of orders; the trading API's own without it. `stream_heartbeat_s`: how often it
    is pinged; half of that without an answer is silence. Alpaca documents no heartbeat, its SDK pings every 10 s.
    `history_pages_max`: pages of 500 orders that are read back at most to find the open ones of the last 90 days.
    `stocks`: list US stocks beside coins; `stock_feed`: where their prices come from (`iex` is free, `sip` is not).
    """

    currency: str = "USD"
    max_connections: int = 250
    keepalive_s: float = 60.0
    request_timeout_s: float = 10.0
    late_order_s: float = 30.0
    late_exit_s: float = 5.0
    clock_skew_max_s: float = 2.0
    body_max_bytes: int = 2_000_000
    # Some 11,000 stocks of about 600 bytes each, and room to grow.
    listing_max_bytes: int = 32_000_000
    data_url: str | None = None
    stream_url: str | None = None
    stream_heartbeat_s: float = 20.0
    requests_per_minute: int = 200
    public_calls_per_s: float | None = 3.0
    public_burst: int = 10
    crypto_fee_rate: Decimal = Decimal("0.0025")
    stocks: bool = True
    stock_feed: str = "iex"
    read_attempts_max: int = 3
    read_total_s: float = 30.0
    # 500 orders or 100 fills a page: 1,000 fills of one account within minutes would be no account of a follower's.
    pages_max: int = 10
    history_pages_max: int = 40
    clock_refresh_s: float = 300.0
    listing_refresh_s: float = 3_600.0

    def __post_init__(self) -> None:
        if self.requests_per_minute < 10:
            raise ValueError(
                f"venues.alpaca.requests_per_minute is {self.requests_per_minute}: Alpaca allows 200 and more, give 10 "
                "at least"
            )
        if not self.late_order_s >= self.late_exit_s > 0:
            raise ValueError(
                f"venues.alpaca.late_exit_s is {self.late_exit_s} and late_order_s {self.late_order_s}: give both "
                "above 0, and the second no lower than the first"
            )
        if not 0 <= self.crypto_fee_rate < Decimal("0.1"):
            raise ValueError(
                f"venues.alpaca.crypto_fee_rate is {self.crypto_fee_rate}: give a fraction such as 0.0025 (25 bps)"
            )

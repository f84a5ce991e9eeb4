"""How an account at Binance is used: limits, deadlines, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

NAME = "binance"

# Where the WebSocket API of Binance's own addresses is: the real one (which has several), test net and demo.
_STREAM_ORIGINS = {
    **dict.fromkeys(
        [f"{name}.binance.com" for name in ("api", "api-gcp", "api1", "api2", "api3", "api4")],
        "wss://ws-api.binance.com:443",
    ),
    "testnet.binance.vision": "wss://ws-api.testnet.binance.vision",
    "demo-api.binance.com": "wss://demo-ws-api.binance.com",
}

# Shares of a limit that are kept back from less urgent calls. Of the unfilled orders of an account, a quarter is for
# exits alone. Of the weight of an address, reads leave room for orders and their look-ups, and those for exits.
ENTRY_ORDERS_RESERVE = 0.25
READ_RESERVE = 0.30
ENTRY_RESERVE = 0.10
EXIT_RESERVE = 0.0
# What calls weigh on the limit of the address (Binance's REST page). An order that succeeds weighs nothing.
ORDER_WEIGHT = 1
QUERY_ORDER_WEIGHT = 4
ALL_ORDERS_WEIGHT = 20
QUERY_LIST_WEIGHT = 4
OPEN_ORDERS_WEIGHT = 80  # of all markets
ORDER_TRADES_WEIGHT = 5
TRADES_WEIGHT = 20
STREAM_WEIGHT = 4  # 2 to connect, 2 to subscribe
ACCOUNT_WEIGHT = 20
BOOK_TICKER_WEIGHT = 4
EXCHANGE_INFO_WEIGHT = 20
LIGHT_WEIGHT = 1


@dataclass(frozen=True, slots=True)
class BinanceOptions:
    """Settings of the venue.

    `currency`: what equity is counted in; Binance has no dollars, most of its markets are quoted in USDT.
    `order_deadline_s`: the receive window of orders. Binance refuses an order that reaches its matching engine later
    than that after its timestamp, and takes windows up to 60 s; python-binance always asks for ten seconds. A short one
    proves an order absent sooner. `read_window_s`: the same for reads, which prove nothing by coming late.
    `absence_settle_s`: how long after the deadline an order may take to show up in look-ups; Binance serves them from
    memory first and names no time, so this is a guess on the safe side. `weight_per_minute`, `orders_per_10_s`,
    `orders_per_day`, `requests_per_5_min`: the documented defaults, used until `exchangeInfo` names the real ones.
    `exchange_info_max_bytes`: the list of some 3,000 symbols, by far the longest answer. `require_ip_restriction`: a
    key that works from any address is refused; Binance takes trading away from such keys after a while anyway.
    `stream_url`: scheme, host and port of the WebSocket API, which has the private stream; None is what belongs to the
    base URL. `stream_ping_s`: Binance pings a connection every 20 s; after this much silence we ping, and it has as
    long again to answer. `stream_connects_per_s`: how fast streams of all accounts may be opened; Binance allows an
    address 300 in five minutes.
    """

    currency: str = "USDT"
    max_connections: int = 250
    keepalive_s: float = 50.0
    request_timeout_s: float = 10.0
    order_deadline_s: float = 2.0
    read_window_s: float = 5.0
    absence_settle_s: float = 2.0
    clock_skew_max_s: float = 1.0
    clock_refresh_s: float = 300.0
    body_max_bytes: int = 2_000_000
    exchange_info_max_bytes: int = 64_000_000
    weight_per_minute: int = 6_000
    orders_per_10_s: int = 50
    orders_per_day: int = 160_000
    requests_per_5_min: int = 300_000
    require_ip_restriction: bool = True
    read_attempts_max: int = 3
    read_total_s: float = 30.0
    # 1,000 entries a page: an account of a follower does not place 10,000 orders in one market within minutes.
    pages_max: int = 10
    # Prices of all symbols come in one answer; accounts that are valued at about the same time share it.
    valuation_max_age_s: float = 2.0
    stream_url: str | None = None
    stream_ping_s: float = 25.0
    stream_connects_per_s: float = 0.9

    def __post_init__(self) -> None:
        for name in ("order_deadline_s", "read_window_s"):
            if not 0.1 <= getattr(self, name) <= 60:
                raise ValueError(
                    f"venues.binance.{name} is {getattr(self, name)}: Binance takes up to 60, give 0.1 to 60"
                )
        if not self.currency:
            raise ValueError("venues.binance.currency is empty: give the asset that equity is counted in, such as USDT")

    def stream_origin(self, base_url: str) -> str:
        """Scheme, host and port of the WebSocket API that belongs to a base URL."""
        if self.stream_url is not None:
            return self.stream_url.rstrip("/")
        parts = urlsplit(base_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return _STREAM_ORIGINS.get(parts.netloc, f"{scheme}://{parts.netloc}")

    @property
    def absence_wait_s(self) -> float:
        """How long after an order was signed a look-up that finds nothing proves that it never arrived."""
        return self.order_deadline_s + self.clock_skew_max_s + self.absence_settle_s

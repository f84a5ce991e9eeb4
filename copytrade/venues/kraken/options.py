"""How an account at Kraken is used: limits by tier, deadlines, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

NAME = "kraken"
# Where private streams are (docs.kraken.com, "Executions"), for Kraken's own address.
STREAM_URL = "wss://ws-auth.kraken.com"
_HOST = "api.kraken.com"


@dataclass(frozen=True, slots=True)
class Tier:
    """Rate limits of a verification tier (docs.kraken.com, "Spot rate limits" and "Trading limits").

    `rest_*` is the counter per API key, `trading_*` the one of the matching engine, per account and pair.
    """

    rest_max: float
    rest_decay_per_s: float
    trading_max: float
    trading_decay_per_s: float


TIERS = {
    "starter": Tier(15, 0.33, 60, 1.0),
    "intermediate": Tier(20, 0.5, 125, 2.34),
    "pro": Tier(20, 1.0, 180, 3.75),
}

# Share of the trading counter that only exits may use.
EXIT_RESERVE = 0.25

# After `EAPI:Invalid nonce`: ten seconds cover another program that counts in milliseconds as well, ten minutes a
# clock that was wrong, a day one that was very wrong. Finer counting programs are beyond any jump.
NONCE_STEPS_MS = (10_000, 600_000, 86_400_000)


@dataclass(frozen=True, slots=True)
class KrakenOptions:
    """Settings of the venue.

    `order_deadline_s`: the matching engine drops an order that arrives later; Kraken takes 2 to 60 s from its own
    now, so what is sent stays half a second inside that. `absence_settle_s`: how long after the deadline an order
    may take to show up in look-ups. `public_calls_per_s`: Kraken documents about one public call a second and IP;
    the burst is this service's own guess. `ip_orders_per_s`: None, as Kraken publishes no such limit. `stream_url`:
    scheme, host and port of the private streams; None is what belongs to the base URL. `stream_silence_s`: a stream on
    which nothing comes for so long is given up; Kraken's heartbeats come about every second. `stream_connects_*`: how
    fast streams of all accounts are opened: Kraken bans an address for ten minutes that tries more than some 150 times
    in ten minutes, and this is a little less.
    """

    tier: str = "starter"
    currency: str = "USD"
    max_connections: int = 250
    keepalive_s: float = 60.0
    request_timeout_s: float = 10.0
    order_deadline_s: float = 5.0
    absence_settle_s: float = 2.0
    clock_skew_max_s: float = 2.0
    body_max_bytes: int = 2_000_000
    ip_orders_per_s: float | None = None
    public_calls_per_s: float | None = 1.0
    public_burst: int = 4
    nonce_jumps_max: int = 3
    read_attempts_max: int = 3
    read_total_s: float = 30.0
    # 50 orders a page: 1,000 orders of one account within a few minutes would be no account of a follower's.
    pages_max: int = 20
    clock_refresh_s: float = 300.0
    stream_url: str | None = None
    stream_silence_s: float = 15.0
    stream_connects_per_s: float = 0.15
    stream_connects_burst: int = 50
    stream_message_max_bytes: int = 2_000_000

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            raise ValueError(f"venues.kraken.tier is {self.tier!r}: give one of {', '.join(TIERS)}")
        if not 2 <= self.order_deadline_s <= 60:
            raise ValueError(f"venues.kraken.order_deadline_s is {self.order_deadline_s}: Kraken takes 2 to 60")
        if not 0 <= self.nonce_jumps_max <= len(NONCE_STEPS_MS):
            raise ValueError(f"nonce_jumps_max is {self.nonce_jumps_max}: give 0 to {len(NONCE_STEPS_MS)}")

    @property
    def limits(self) -> Tier:
        return TIERS[self.tier]

    @property
    def deadline_s(self) -> float:
        return min(max(self.order_deadline_s, 2.5), 59.5)

    @property
    def absence_wait_s(self) -> float:
        """How long after an order was signed a look-up that finds nothing proves that it never arrived."""
        return self.deadline_s + self.clock_skew_max_s + self.absence_settle_s

    def stream_base(self, base_url: str) -> str:
        """Scheme, host and port of the private streams when REST is at `base_url`."""
        if self.stream_url is not None:
            return self.stream_url.rstrip("/")
        parts = urlsplit(base_url)
        if parts.hostname == _HOST:
            return STREAM_URL
        return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"

"""The settings of the five venues.

Each has the names and defaults of its adapter's options (`copytrade/venues/<venue>/options.py`, which say why and give
sources); a test holds the two against each other. What is not written down here is not the operator's to choose.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from .fields import BaseUrl, CurrencyName, Seconds, Section, StreamUrl, Switch, Venue, Whole, exact

Rate = Annotated[Decimal, BeforeValidator(exact), Field(gt=0, le=10_000, allow_inf_nan=False)]


def _keepalive(default: float) -> Any:
    return Field(default=default, ge=1, le=600, description="An unused connection is closed after this.")


def _clock_skew(default: float) -> Any:
    return Field(default=default, ge=0.1, le=30, description="The check complains when our clock is further off.")


def _body_max(default: int) -> Any:
    description = "A longer answer is not read: it is no answer of a venue."
    return Field(default=default, ge=10_000, le=100_000_000, description=description)


def _settle(default: float) -> Any:
    description = "Wait after the deadline before an order that is nowhere to be found counts as absent."
    return Field(default=default, ge=0, le=60, description=description)


def _public_rate(default: str | None) -> Any:
    value = None if default is None else Decimal(default)
    return Field(default=value, description="Unsigned calls per second of all accounts together; `null`: no limit.")


def _stream_url() -> Any:
    description = "Where its private stream is; `null`: the one that belongs to `base_url`."
    return Field(default=None, description=description)


class VenueSettings(Section):
    """How a venue is reached."""

    base_url: BaseUrl = Field(description="Where the venue's API is.")
    max_connections: Whole = Field(
        default=250,
        ge=1,
        le=5000,
        description="Open connections at most; orders beyond that wait for a free one.",
    )
    keepalive_s: Seconds = _keepalive(60.0)
    request_timeout_s: Seconds = Field(
        default=10.0, ge=1, le=120, description="A request without an answer is given up after this."
    )
    clock_skew_max_s: Seconds = _clock_skew(2.0)
    body_max_bytes: Whole = _body_max(2_000_000)


class KrakenSettings(VenueSettings):
    """Kraken Spot REST."""

    base_url: BaseUrl = Field(default="https://api.kraken.com", description="Where Kraken's API is.")
    stream_url: StreamUrl | None = _stream_url()
    tier: Literal["starter", "intermediate", "pro"] = Field(
        default="starter",
        description="Verification level, which sets Kraken's rate limits. The lowest is always safe.",
    )
    order_deadline_s: Seconds = Field(
        default=5.0,
        ge=2,
        le=60,
        description="Kraken itself refuses an order that reaches it later than this (it allows 2 to 60).",
    )
    absence_settle_s: Seconds = _settle(2.0)
    ip_orders_per_s: Rate | None = Field(
        default=None,
        description="Orders per second of all accounts together; `null`: no limit, as Kraken publishes none.",
    )


class CoinbaseSettings(VenueSettings):
    """Coinbase Advanced Trade."""

    base_url: BaseUrl = Field(default="https://api.coinbase.com", description="Where Coinbase's API is.")
    stream_url: StreamUrl | None = _stream_url()
    currency: CurrencyName = Field(
        default="USD", description="What equity is counted in, and what the markets that are copied are quoted in."
    )
    body_max_bytes: Whole = _body_max(4_000_000)
    # Coinbase takes tokens of two minutes at most, clock_skew_max_s included, and that may be 30.
    token_life_s: Seconds = Field(
        default=10.0,
        ge=2,
        le=90,
        description="Coinbase itself refuses an order that reaches it later than this: its token has expired by then.",
    )
    absence_settle_s: Seconds = _settle(5.0)
    calls_per_s: Rate = Field(
        default=Decimal(10), description="Signed calls per second of one account; Coinbase does not publish its limit."
    )
    public_calls_per_s: Rate | None = _public_rate("10")


class AlpacaSettings(VenueSettings):
    """Alpaca Trading API. Keys of paper trading work at `https://paper-api.alpaca.markets` only."""

    base_url: BaseUrl = Field(default="https://api.alpaca.markets", description="Where Alpaca's API is.")
    stream_url: StreamUrl | None = _stream_url()
    late_order_s: Seconds = Field(
        default=30.0,
        ge=0.5,
        le=600,
        description="Wait before an entry that is nowhere to be found counts as absent; Alpaca knows no deadline.",
    )
    late_exit_s: Seconds = Field(
        default=5.0,
        ge=0.5,
        le=600,
        description="The same for an exit, which is then sent again under its own id. No longer than `late_order_s`.",
    )
    requests_per_minute: Whole = Field(
        default=200, ge=10, le=100_000, description="Requests a minute of one account; its answers tell if it is more."
    )
    public_calls_per_s: Rate | None = _public_rate("3")
    crypto_fee_rate: Annotated[Decimal, BeforeValidator(exact), Field(ge=0, lt=Decimal("0.1"))] = Field(
        default=Decimal("0.0025"),
        description="The account's taker fee for coins (0.0025 is 25 bps), as Alpaca takes fees late and tells none.",
    )
    stocks: Switch = Field(default=True, description="List US stocks beside coins.")
    stock_feed: Literal["iex", "sip"] = Field(
        default="iex", description="Where prices of stocks come from; `sip` has to be paid for."
    )

    @model_validator(mode="after")
    def _exit_first(self) -> AlpacaSettings:
        if self.late_exit_s > self.late_order_s:
            raise ValueError(
                f"late_exit_s is {self.late_exit_s:g} and late_order_s {self.late_order_s:g} | "
                "Make late_order_s the longer one"
            )
        return self


class OkxSettings(VenueSettings):
    """OKX API v5, spot, trading account."""

    base_url: BaseUrl = Field(default="https://www.okx.com", description="Where OKX's API is.")
    stream_url: StreamUrl | None = _stream_url()
    currency: CurrencyName = Field(
        default="USDT", description="What equity is counted in, and what the markets that are copied are quoted in."
    )
    demo: Switch = Field(default=False, description="The keys are those of OKX's demo trading.")
    keepalive_s: Seconds = _keepalive(30.0)
    body_max_bytes: Whole = _body_max(4_000_000)
    order_deadline_s: Seconds = Field(
        default=5.0, ge=1, le=25, description="OKX itself refuses an order that reaches it later than this."
    )
    absence_settle_s: Seconds = _settle(2.0)


class BinanceSettings(VenueSettings):
    """Binance Spot."""

    base_url: BaseUrl = Field(default="https://api.binance.com", description="Where Binance's API is.")
    stream_url: StreamUrl | None = _stream_url()
    currency: CurrencyName = Field(
        default="USDT", description="What equity is counted in, and what the markets that are copied are quoted in."
    )
    keepalive_s: Seconds = _keepalive(50.0)
    clock_skew_max_s: Seconds = _clock_skew(1.0)
    order_deadline_s: Seconds = Field(
        default=2.0,
        ge=0.5,
        le=60,
        description="Binance itself refuses an order that reaches it later than this (it allows 60 at most).",
    )
    absence_settle_s: Seconds = _settle(2.0)
    require_ip_restriction: Switch = Field(
        default=True,
        description="Refuse a key that works from any address; `false` warns only. Binance takes trading away from "
        "such keys after a while.",
    )


class VenuesSettings(Section):
    """One block for each venue. `<VENUE>_BASE_URL` in the environment replaces its `base_url`."""

    kraken: KrakenSettings = KrakenSettings()
    coinbase: CoinbaseSettings = CoinbaseSettings()
    alpaca: AlpacaSettings = AlpacaSettings()
    okx: OkxSettings = OkxSettings()
    binance: BinanceSettings = BinanceSettings()

    def of(self, venue: Venue) -> VenueSettings:
        settings: VenueSettings = getattr(self, venue)
        return settings

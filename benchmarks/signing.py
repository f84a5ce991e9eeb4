"""One order's request as each adapter's own signer builds it, and what that costs.

The bare client of `five_venues` sends these requests; `python -m benchmarks.signing` (and `five_venues` itself) takes
their CPU time. Keys are made up here for the table; nothing is sent.
"""

from __future__ import annotations

import base64
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from copytrade.domain.account import AccountId
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.venue import OrderTicket

VENUES = ("kraken", "coinbase", "alpaca", "okx", "binance")
# How BTC/USD is written there, or the market that stands in for it. Decides nothing but the text that is signed.
MARKETS = {
    "kraken": "XXBTZUSD", "coinbase": "BTC-USD", "alpaca": "BTC/USD", "okx": "BTC-USDT", "binance": "BTCUSDT",
}  # fmt: skip
DEADLINE_S = 10  # for all, so that a machine that is busy with other things refuses nobody's order
BUILDS, ROUNDS = 500, 8


@dataclass(frozen=True, slots=True)
class Request:
    """Ready to send."""

    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]


Build = Callable[[str], Request]
"""From a client order id to the signed request that places the order."""


class _Nonces:
    """Rising milliseconds, kept nowhere: the bare client has no record of anything."""

    def __init__(self) -> None:
        self._last = int(time.time() * 1000)

    def next(self) -> int:
        self._last = max(self._last + 1, int(time.time() * 1000))
        return self._last

    def jump(self, ahead_ms: int) -> int:
        self._last += ahead_ms
        return self._last

    def raise_to(self, nonce: int) -> None:
        self._last = max(self._last, nonce)


def make_build(venue: str, keys: Mapping[str, str], host: str, quantity: str) -> Build:
    """The builder of one account's orders: the adapter's signer, made once, and the adapter's own order fields.

    `keys` has `key`, `secret` and at OKX `passphrase`; `host` is where Coinbase's tokens are for.
    """
    return _BUILDERS[venue](keys, host, _instrument(venue), Quantity(Decimal(quantity)))


def _kraken(keys: Mapping[str, str], host: str, instrument: Instrument, quantity: Quantity) -> Build:
    from copytrade.venues.kraken.orders import order_fields
    from copytrade.venues.kraken.signer import KrakenSigner

    signer = KrakenSigner(keys["key"], keys["secret"], _Nonces())

    def build(order_id: str) -> Request:
        deadline = datetime.now(UTC) + timedelta(seconds=DEADLINE_S)
        signed = signer.sign("AddOrder", order_fields(_ticket(instrument, quantity, order_id), deadline))
        return Request("POST", signed.path, signed.body, signed.headers)

    return build


def _coinbase(keys: Mapping[str, str], host: str, instrument: Instrument, quantity: Quantity) -> Build:
    from copytrade.venues.coinbase.signer import CoinbaseSigner

    signer = CoinbaseSigner(keys["key"], keys["secret"], host, time.time, life_s=DEADLINE_S, early_s=2)

    def build(order_id: str) -> Request:
        signed = signer.sign_order(_ticket(instrument, quantity, order_id))
        return Request(signed.method, signed.target, signed.body, signed.headers)

    return build


def _alpaca(keys: Mapping[str, str], host: str, instrument: Instrument, quantity: Quantity) -> Build:
    from copytrade.venues.alpaca.signer import AlpacaSigner
    from copytrade.venues.alpaca.tickets import order_fields

    signer = AlpacaSigner(keys["key"], keys["secret"])

    def build(order_id: str) -> Request:
        signed = signer.sign("POST", "/v2/orders", body=order_fields(_ticket(instrument, quantity, order_id)))
        return Request(signed.method, signed.target, signed.body, signed.headers)

    return build


def _okx(keys: Mapping[str, str], host: str, instrument: Instrument, quantity: Quantity) -> Build:
    from copytrade.venues.okx.orders import order_fields
    from copytrade.venues.okx.signer import OkxSigner

    signer = OkxSigner(keys["key"], keys["secret"], keys["passphrase"])

    def build(order_id: str) -> Request:
        now = datetime.now(UTC)
        fields = order_fields(_ticket(instrument, quantity, order_id))
        signed = signer.sign("place_order", fields, now, expires=now + timedelta(seconds=DEADLINE_S))
        return Request("POST", signed.target, signed.body, signed.headers)

    return build


def _binance(keys: Mapping[str, str], host: str, instrument: Instrument, quantity: Quantity) -> Build:
    from copytrade.venues.binance.signer import NEW_ORDER, BinanceSigner
    from copytrade.venues.binance.tickets import order_fields

    signer = BinanceSigner(keys["key"], keys["secret"], lambda: datetime.now(UTC))

    def build(order_id: str) -> Request:
        fields = order_fields(_ticket(instrument, quantity, order_id))
        signed = signer.sign(NEW_ORDER, fields, window_ms=DEADLINE_S * 1000)
        return Request(signed.method, signed.target, signed.body, signed.headers)

    return build


_BUILDERS: Mapping[str, Callable[[Mapping[str, str], str, Instrument, Quantity], Build]] = {
    "kraken": _kraken, "coinbase": _coinbase, "alpaca": _alpaca, "okx": _okx, "binance": _binance,
}  # fmt: skip


def _instrument(venue: str) -> Instrument:
    step = Decimal("0.00000001")
    return Instrument(venue, "BTC/USD", "BTC", "USD", MARKETS[venue], step, step, Quantity(step), Amount(step))


def _ticket(instrument: Instrument, quantity: Quantity, order_id: str) -> OrderTicket:
    account = AccountId(f"{instrument.venue}:bob_jones")
    return OrderTicket(order_id, account, instrument, Side.BUY, Effect.ENTRY, OrderKind.MARKET, quantity)


# -- what it costs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """CPU time of one signed order, µs: median and least of the rounds; and of making the signer, once a key."""

    venue: str
    how: str
    order_us: float
    order_us_min: float
    signer_us: float
    headers_bytes: int
    body_bytes: int


def measure() -> list[Cost]:
    """Every way of signing, `ROUNDS` rounds of `BUILDS` orders each, in turns."""
    ways = [(venue, how, keys) for venue, how, keys in _ways()]
    builds = [make_build(venue, keys, "127.0.0.1", "0.00016665") for venue, _, keys in ways]
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for place, build in enumerate(builds):
            taken[place].append(_cpu_us(lambda number, build=build: build(f"{number:020d}"), BUILDS))  # type: ignore[misc]
    costs = []
    for (venue, how, keys), build, rounds in zip(ways, builds, taken, strict=True):
        made = build("0" * 20)
        signer_us = _cpu_us(lambda _, venue=venue, keys=keys: make_build(venue, keys, "127.0.0.1", "1"), 50)  # type: ignore[misc]
        headers = sum(len(name) + len(value) + 4 for name, value in made.headers.items())
        costs.append(
            Cost(venue, how, statistics.median(rounds), min(rounds), signer_us, headers, len(made.body or b""))
        )
    return costs


def _ways() -> Iterator[tuple[str, str, dict[str, str]]]:
    text = base64.b64encode(os.urandom(64)).decode()
    yield "kraken", "SHA-256, HMAC-SHA-512", {"key": "alice", "secret": text}
    name = "organizations/5b0ffd94-8197-4147-8da6-c36f3403ab17/apiKeys/94785dd8-88d3-4c64-b4b8-c664f10d1c66"
    ed_key = ed25519.Ed25519PrivateKey.generate()
    raw, public = ed_key.private_bytes_raw(), ed_key.public_key().public_bytes_raw()
    yield "coinbase", "JWT, EdDSA", {"key": name, "secret": base64.b64encode(raw + public).decode()}
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    yield "coinbase", "JWT, ES256", {"key": name, "secret": pem.decode()}
    yield "alpaca", "none: key and secret as headers", {"key": "PKALICE", "secret": "x" * 44}
    yield "okx", "HMAC-SHA-256, base64", {"key": "alice", "secret": "A" * 32, "passphrase": "made-up"}
    yield "binance", "HMAC-SHA-256, hex", {"key": "A" * 64, "secret": "B" * 64}


def _cpu_us(work: Callable[[int], Any], times: int) -> float:
    gc.collect()
    begin = time.process_time()
    for number in range(times):
        work(number)
    return (time.process_time() - begin) / times * 1e6


def table(costs: list[Cost]) -> str:
    """A Markdown table."""
    lines = [
        ("venue", "signed by", "µs/order", "least", "µs/signer, once a key", "headers, bytes", "body, bytes"),
        ("---", "---") + ("---:",) * 5,
    ]
    for cost in costs:
        lines.append((
            cost.venue, cost.how, f"{cost.order_us:.0f}", f"{cost.order_us_min:.0f}", f"{cost.signer_us:.0f}",
            str(cost.headers_bytes), str(cost.body_bytes),
        ))  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    print(table(measure()))

"""What the tests of the Binance adapter share: the simulated venue around real parts, a server that says anything."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kraken_lab import RawServer, Time, http, utc_now

from copytrade.domain.account import AccountId
from copytrade.domain.ids import fact_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.venue import OrderTicket
from copytrade.simulator.binance import BinanceSimulator
from copytrade.simulator.faults import Fault
from copytrade.simulator.server import SimulatorServer
from copytrade.venues.binance.account import BinanceAccount
from copytrade.venues.binance.options import BinanceOptions
from copytrade.venues.binance.public import BinanceVenue

ALICE = AccountId("binance:alice_smith")
# Key and secret of the examples in Binance's documentation.
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PLACE = "POST /api/v3/order"

BTC_USDT = Instrument(
    venue="binance", symbol="BTC/USDT", base="BTC", quote="USDT", venue_symbol="BTCUSDT", lot_step=Decimal("0.00001"),
    tick=Decimal("0.01"), min_quantity=Quantity.of("0.00001"), min_cost=Amount.of(5),
)  # fmt: skip
# Fast where a test waits for a limit on purpose.
OPTIONS = BinanceOptions(request_timeout_s=5.0, read_total_s=20.0, max_connections=20)


def ticket(
    name: str = "one",
    *,
    side: Side = Side.BUY,
    quantity: str = "0.001",
    limit: str | None = None,
    account: AccountId = ALICE,
    instrument: Instrument = BTC_USDT,
) -> OrderTicket:
    return OrderTicket(
        order_id=fact_id("test", account, name),
        account=account,
        instrument=instrument,
        side=side,
        effect=Effect.ENTRY if side is Side.BUY else Effect.EXIT,
        kind=OrderKind.MARKET if limit is None else OrderKind.IOC_LIMIT,
        quantity=Quantity.of(quantity),
        limit_price=None if limit is None else Price.of(limit),
    )


@dataclass
class Lab:
    """The simulated Binance, our adapter on it, and one account of each."""

    sim: BinanceSimulator
    url: str
    venue: BinanceVenue
    account: BinanceAccount
    time: Time
    key: str
    secret: str

    passing_error = "-1001 Internal error; unable to process your request. Please try again."

    def fault(self, kind: str, **settings: Any) -> None:
        self.sim.faults.add(Fault(kind, **settings))

    def order(self, name: str = "one", **settings: Any) -> OrderTicket:
        return ticket(name, **settings)

    def orders(self) -> list[dict[str, Any]]:
        """What the venue has, with ids as the adapter keeps them."""
        orders = self.sim.orders()
        return [{**each, "order_id": f"{each['symbol'].replace('/', '')}:{each['order_id']}"} for each in orders]


@asynccontextmanager
async def binance_lab(options: BinanceOptions = OPTIONS, **settings: Any) -> AsyncIterator[Lab]:
    key_settings = {name: settings.pop(name) for name in ("permissions", "ip_allowlist") if name in settings}
    money = settings.pop("money", {"USDT": Decimal(10_000), "BTC": Decimal(1)})
    time = Time()
    settings.setdefault("clock", lambda: time.utc().timestamp())
    sim = BinanceSimulator(volatility=0.0, spread=Decimal(0), **settings)
    sim.set_price("BTC/USDT", Decimal(50_000))
    keys = sim.add_account("alice_smith", money, **key_settings)
    server = SimulatorServer([sim])
    await server.start()
    url = server.url("binance")
    venue = BinanceVenue(url, options, clock=time.utc, monotonic=time, rng=random.Random(7), sleep=time.sleep)
    account = venue.connect_account(ALICE, keys.key, keys.secret)
    try:
        await venue.load_instruments()
        yield Lab(sim, url, venue, account, time, keys.key, keys.secret)
    finally:
        await account.close()
        await venue.close()
        await server.stop()
        sim.close()


@asynccontextmanager
async def at_raw_server(
    *script: bytes | None, options: BinanceOptions = OPTIONS
) -> AsyncIterator[tuple[RawServer, BinanceAccount, BinanceVenue]]:
    """A Binance account whose venue says what the script says; it knows the market of `ticket()`."""
    async with RawServer(*script) as server:
        time = Time()
        venue = BinanceVenue(
            server.url, options, clock=utc_now, monotonic=time, rng=random.Random(7), sleep=time.sleep
        )
        venue.symbols.add(BTC_USDT)
        venue.compare_clock(round(utc_now().timestamp() * 1000), utc_now(), utc_now())
        try:
            yield server, venue.connect_account(ALICE, KEY, SECRET), venue
        finally:
            await venue.close()


def order_answer(client_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """An answer to the order of `ticket()`, as Binance words it."""
    fill = {"price": "50000.00", "qty": "0.001", "commission": "0.000001", "commissionAsset": "BTC", "tradeId": 56}
    return {
        "symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": client_id or ticket().order_id,
        "transactTime": 1507725176595, "price": "0.00000000", "origQty": "0.00100000", "executedQty": "0.00100000",
        "origQuoteOrderQty": "0.000000", "cummulativeQuoteQty": "50.00000000", "status": "FILLED",
        "timeInForce": "GTC", "type": "MARKET", "side": "BUY", "workingTime": 1507725176595,
        "selfTradePreventionMode": "NONE", "fills": [fill], **changes,
    }  # fmt: skip


def refused(code: int, message: str = "words", status: str = "400 Bad Request", headers: str = "") -> bytes:
    return http({"code": code, "msg": message}, status, headers)


def order_row(**changes: Any) -> dict[str, Any]:
    """An order as Binance's lists show it."""
    return {
        "symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "web_28", "price": "49000.00000000",
        "origQty": "0.00100000", "executedQty": "0.00000000", "cummulativeQuoteQty": "0.00000000", "status": "NEW",
        "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "stopPrice": "0.00000000", "icebergQty": "0.00000000",
        "time": 1784635200000, "updateTime": 1784635200000, "isWorking": True, "workingTime": 1784635200000,
        "origQuoteOrderQty": "0.00000000", "selfTradePreventionMode": "EXPIRE_MAKER", **changes,
    }  # fmt: skip

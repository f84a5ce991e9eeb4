"""OKX's spot instruments with realistic rules (as of 2025), under the names OKX has for them: `BTC-USDT`.

Fees are those of a regular user: 0.10 % taker, 0.08 % maker, of what is received (the base asset when buying).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from copytrade.simulator.markets import Market

TAKER_FEE = Decimal("0.0010")
MAKER_FEE = Decimal("0.0008")
COST_DECIMALS = 10
# Fees are taken out of the base asset in finer steps than a quantity may have.
BASE_DECIMALS = 12
MAX_LIMIT_SIZE = Decimal(9_999_999_999)
MAX_MARKET_SIZE = Decimal(1_000_000)

# symbol, start price, tick, lot, smallest size
_ROWS = (
    ("BTC/USDT", "60000", "0.1", "0.00000001", "0.00001"),
    ("ETH/USDT", "3000", "0.01", "0.000001", "0.001"),
    ("SOL/USDT", "150", "0.01", "0.000001", "0.01"),
    ("XRP/USDT", "0.6", "0.0001", "0.000001", "1"),
    ("ADA/USDT", "0.45", "0.0001", "0.0001", "1"),
    ("DOGE/USDT", "0.12", "0.00001", "0.000001", "10"),
    ("LTC/USDT", "80", "0.01", "0.000001", "0.01"),
    ("DOT/USDT", "6", "0.001", "0.000001", "0.1"),
    ("LINK/USDT", "14", "0.001", "0.000001", "0.1"),
    ("AVAX/USDT", "35", "0.01", "0.000001", "0.1"),
    ("USDC/USDT", "1", "0.0001", "0.000001", "1"),
    ("BTC/USDC", "60000", "0.1", "0.00000001", "0.00001"),
    ("ETH/USDC", "3000", "0.01", "0.000001", "0.001"),
    ("BTC/USD", "60000", "0.1", "0.00000001", "0.00001"),
    ("ETH/USD", "3000", "0.01", "0.000001", "0.001"),
    ("SOL/USD", "150", "0.01", "0.000001", "0.01"),
    ("USDT/USD", "1", "0.0001", "0.000001", "1"),
    ("BTC/EUR", "55000", "0.1", "0.00000001", "0.00001"),
    ("ETH/EUR", "2750", "0.01", "0.000001", "0.001"),
    ("ETH/BTC", "0.05", "0.00001", "0.000001", "0.001"),
)


@dataclass(frozen=True, slots=True)
class OkxInstrument:
    """A market with the text OKX gives for its steps."""

    market: Market
    inst_id: str
    tick: str
    lot: str
    min_size: str


def _decimals(step: str) -> int:
    return len(step.partition(".")[2])


def _instrument(row: tuple[str, str, str, str, str]) -> OkxInstrument:
    symbol, price, tick, lot, min_size = row
    base, _, quote = symbol.partition("/")
    market = Market(
        symbol=symbol,
        base=base,
        quote=quote,
        start_price=Decimal(price),
        tick_size=Decimal(tick),
        price_decimals=_decimals(tick),
        lot_decimals=_decimals(lot),
        cost_decimals=COST_DECIMALS,
        order_min=Decimal(min_size),
        cost_min=Decimal(0),
        taker_fee=TAKER_FEE,
        maker_fee=MAKER_FEE,
        base_decimals=BASE_DECIMALS,
    )
    return OkxInstrument(market, f"{base}-{quote}", tick, lot, min_size)


INSTRUMENTS: tuple[OkxInstrument, ...] = tuple(_instrument(row) for row in _ROWS)
MARKETS: tuple[Market, ...] = tuple(instrument.market for instrument in INSTRUMENTS)
BY_INST_ID: dict[str, OkxInstrument] = {instrument.inst_id: instrument for instrument in INSTRUMENTS}
BY_SYMBOL: dict[str, OkxInstrument] = {instrument.market.symbol: instrument for instrument in INSTRUMENTS}
CURRENCIES: tuple[str, ...] = tuple(dict.fromkeys(name for market in MARKETS for name in (market.base, market.quote)))

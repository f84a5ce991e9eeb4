"""Binance's markets: names from its own list, rules from its filters."""

from __future__ import annotations

import copy
import json
from decimal import Decimal

import pytest
from binance_lab import at_raw_server
from kraken_lab import http

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.instrument import MarketStatus
from copytrade.domain.money import Amount, Quantity
from copytrade.simulator.binance.listing import SYMBOLS, symbol_info
from copytrade.venues.binance.instruments import read_instruments, read_limits
from copytrade.venues.binance.names import order_reference, split_reference

INFO = {"symbols": [symbol_info(symbol, "TRADING") for symbol in SYMBOLS]}


def changed(**fields):
    entry = copy.deepcopy(INFO["symbols"][0])
    for name, value in fields.items():
        for rule in entry["filters"]:
            if name in rule:
                rule[name] = value
        if name in entry:
            entry[name] = value
    return {"symbols": [entry]}


@pytest.mark.parametrize("spelling", ["BTCUSDT", "btcusdt", "BTC/USDT", " btc/usdt "])
def test_market_is_found_by_either_spelling(spelling):
    assert read_instruments(INFO).find(spelling).symbol == "BTC/USDT"


def test_names_are_not_cut_out_of_the_text():
    """`USDCUSDT` and a base asset that ends like a quote: only the list knows where one ends."""
    names = read_instruments(INFO)
    assert {names.find(text).symbol for text in ("USDCUSDT", "FDUSDUSDT", "BTCFDUSD")} == {
        "USDC/USDT", "FDUSD/USDT", "BTC/FDUSD",
    }  # fmt: skip
    odd = changed(symbol="AUSDTUSDT", baseAsset="AUSDT", quoteAsset="USDT")
    assert read_instruments(odd).find("AUSDTUSDT").base == "AUSDT"
    assert names.find("BTC") is None
    assert names.find("BTCUSD") is None


def test_rules_come_from_the_filters():
    found = read_instruments(INFO).find("BTC/USDT")
    assert (found.lot_step, found.tick) == (Decimal("0.00001"), Decimal("0.01"))
    assert (found.min_quantity, found.min_cost) == (Quantity.of("0.00001"), Amount.of(5))
    assert read_instruments(INFO).find("LTC/BTC").min_cost == Amount.of("0.0001")  # MIN_NOTIONAL
    assert found.status is MarketStatus.ONLINE


def test_rule_of_zero_is_off():
    found = read_instruments(changed(stepSize="0", tickSize="0.0")).find("BTCUSDT")
    assert (found.lot_step, found.tick) == (Decimal("1E-8"), Decimal("1E-8"))


def test_stricter_of_two_steps_counts():
    entry = changed()
    for rule in entry["symbols"][0]["filters"]:
        if rule["filterType"] == "MARKET_LOT_SIZE":
            rule["stepSize"], rule["minQty"] = "0.001", "0.005"
    found = read_instruments(entry).find("BTCUSDT")
    assert (found.lot_step, found.min_quantity) == (Decimal("0.001"), Quantity.of("0.005"))


@pytest.mark.parametrize("status", ["HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY", "A_NEW_WORD"])
def test_market_that_does_not_trade_is_closed(status):
    assert read_instruments(changed(status=status)).find("BTCUSDT").status is MarketStatus.CLOSED


def test_market_without_market_orders_is_limited():
    assert read_instruments(changed(orderTypes=["LIMIT"])).find("BTCUSDT").status is MarketStatus.LIMITED


def test_symbol_that_is_not_for_spot_is_left_out():
    assert not len(read_instruments(changed(isSpotTradingAllowed=False)))


@pytest.mark.parametrize(
    "broken",
    [{}, None, 7, "x", {"symbol": "BTCUSDT"}, changed(stepSize="much")["symbols"][0],
     changed(minQty="-1")["symbols"][0], changed(baseAssetPrecision="8")["symbols"][0],
     changed(baseAsset="")["symbols"][0]],
    ids=range(9),
)  # fmt: skip
def test_broken_symbol_is_left_out_and_told(broken, caplog):
    names = read_instruments({"symbols": [*INFO["symbols"][1:], broken]})
    assert len(names) == len(SYMBOLS) - 1
    assert "cannot be used" in caplog.text


@pytest.mark.parametrize("answer", [None, [], {}, {"symbols": {}}])
def test_answer_without_symbols_is_an_error(answer):
    with pytest.raises(VenueUnavailable):
        read_instruments(answer)


def test_limits_that_are_none_are_left_out():
    entries = [{"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 9}, {}, 7, {"limit": "x"}]
    assert read_limits({"rateLimits": entries}) == {("ORDERS", "DAY", 1): 9}
    assert read_limits(None) == {}


async def test_last_good_list_stays(caplog):
    now = http({"serverTime": 1})
    answers = (now, http(json.dumps(INFO)), now, http({"symbols": []}))
    async with at_raw_server(*answers) as (_, _account, venue):
        assert await venue.load_instruments() == len(SYMBOLS)
        with pytest.raises(VenueError):
            await venue.load_instruments()
        assert venue.instrument("ETHUSDT") is not None


async def test_prices_that_cannot_be_used_are_left_out():
    tickers = [
        {"symbol": "BTCUSDT", "bidPrice": "0.00", "askPrice": "0.00"}, {"symbol": "ETHUSDT", "bidPrice": "3"},
        {"symbol": "SOLUSDT", "bidPrice": "5", "askPrice": "4"}, 7,
    ]  # fmt: skip
    async with at_raw_server(http(json.dumps(tickers))) as (_, _account, venue):
        assert await venue.quotes([venue.instrument("BTCUSDT")]) == {}


def test_reference_of_an_order_is_read_back():
    assert split_reference(order_reference("BTCUSDT", 28)) == ("BTCUSDT", "28")
    for odd in ("", "28", ":28", "BTCUSDT:", "BTCUSDT:x", "BTCUSDT:-1", "OAAA-BBB"):
        with pytest.raises(ValueError, match="order reference"):
            split_reference(odd)

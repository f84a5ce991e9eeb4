"""Every spelling of a pair leads to one instrument, and a broken entry harms no other."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrade.domain.instrument import MarketStatus
from copytrade.venues.kraken.instruments import read_instruments
from copytrade.venues.kraken.names import AssetNames

ASSETS = {
    "XXBT": {"altname": "XBT"}, "ZUSD": {"altname": "USD"}, "XXDG": {"altname": "XDG"}, "ADA": {"altname": "ADA"},
    "XETH": {"altname": "ETH"}, "USDT": {"altname": "USDT"}, "ZEUR": {"altname": "EUR"}, "XBT.M": {"altname": "XBT.M"},
}  # fmt: skip


def pair(altname: str, base: str, quote: str, **more):
    return {
        "altname": altname, "wsname": None, "base": base, "quote": quote, "pair_decimals": 1, "lot_decimals": 8,
        "lot_multiplier": 1, "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online", **more,
    }  # fmt: skip


PAIRS = {
    "XXBTZUSD": pair("XBTUSD", "XXBT", "ZUSD", wsname="XBT/USD"),
    "XDGUSD": pair("XDGUSD", "XXDG", "ZUSD", wsname="XDG/USD", lot_decimals=0, tick_size=None, pair_decimals=7),
    "XETHXXBT": pair("ETHXBT", "XETH", "XXBT", wsname="ETH/XBT"),
    "XBTUSDT": pair("XBTUSDT", "XXBT", "USDT", wsname="XBT/USDT", ordermin=None, costmin=None, status="limit_only"),
}
NAMES = AssetNames.from_listing(ASSETS)


@pytest.mark.parametrize(
    ("spelling", "symbol"),
    [
        ("XXBTZUSD", "BTC/USD"), ("XBTUSD", "BTC/USD"), ("XBT/USD", "BTC/USD"), ("BTC/USD", "BTC/USD"),
        ("btc/usd", "BTC/USD"), ("xbtusd", "BTC/USD"), (" BTC/USD ", "BTC/USD"), ("XDGUSD", "DOGE/USD"),
        ("doge/usd", "DOGE/USD"), ("XETHXXBT", "ETH/BTC"), ("ETH/XBT", "ETH/BTC"), ("XBTUSDT", "BTC/USDT"),
    ],
)  # fmt: skip
def test_spellings(spelling, symbol):
    assert read_instruments(PAIRS, NAMES).find(spelling).symbol == symbol


@pytest.mark.parametrize("spelling", ["", "BTC", "USD", "BTC/EUR", "XXBTZUSDX", "XBTUS", "BTC-USD"])
def test_what_is_not_listed_is_not_guessed(spelling):
    assert read_instruments(PAIRS, NAMES).find(spelling) is None


def test_rules_of_a_pair():
    pairs = read_instruments(PAIRS, NAMES)
    bitcoin, doge, tether = (pairs.find(each) for each in ("BTC/USD", "DOGE/USD", "BTC/USDT"))
    assert (bitcoin.lot_step, bitcoin.tick, bitcoin.venue_symbol) == (Decimal("1E-8"), Decimal("0.1"), "XBTUSD")
    assert (str(bitcoin.min_quantity), str(bitcoin.min_cost), bitcoin.status) == ("0.00005", "0.5", MarketStatus.ONLINE)
    assert (doge.lot_step, doge.tick) == (1, Decimal("1E-7"))
    assert (tether.min_quantity.value, tether.min_cost.value) == (tether.lot_step, 0)
    assert tether.status is MarketStatus.LIMITED
    assert pairs.key("BTC/USD") == "XXBTZUSD"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("cancel_only", MarketStatus.CLOSED),
        ("reduce_only", MarketStatus.REDUCE_ONLY),
        ("new_word", MarketStatus.CLOSED),
    ],
)
def test_market_status(status, expected):
    pairs = read_instruments({"ADAUSD": pair("ADAUSD", "ADA", "ZUSD", status=status)}, NAMES)
    assert pairs.find("ADA/USD").status is expected


@pytest.mark.parametrize(
    "broken",
    [
        None, 7, {}, pair("", "ADA", "ZUSD"), pair("ADAUSD", "UNLISTED", "ZUSD"), pair("ADAUSD", "ADA", None),
        pair("ADAUSD", "ADA", "ZUSD", lot_decimals="8"), pair("ADAUSD", "ADA", "ZUSD", lot_decimals=-1),
        pair("ADAUSD", "ADA", "ZUSD", lot_decimals=True), pair("ADAUSD", "ADA", "ZUSD", lot_decimals=400),
        pair("ADAUSD", "ADA", "ZUSD", ordermin="NaN"), pair("ADAUSD", "ADA", "ZUSD", ordermin="-1"),
        pair("ADAUSD", "ADA", "ZUSD", tick_size="0"), pair("ADAUSD", "ADA", "ZUSD", costmin="much"),
        pair("ADAUSD", "ADA", "ZUSD", lot_multiplier=10), pair("ADAUSD", ["ADA"], "ZUSD"),
    ],
)  # fmt: skip
def test_broken_entry_is_left_out_with_a_warning_and_harms_no_other(broken, caplog):
    with caplog.at_level(logging.WARNING):
        pairs = read_instruments(PAIRS | {"ADAUSD": broken}, NAMES)
    assert len(pairs) == len(PAIRS)
    assert pairs.find("ADA/USD") is None
    assert "ADAUSD" in caplog.text


def test_dark_pool_does_not_take_the_name_of_the_market():
    dark = {"XXBTZUSD.d": pair("XBTUSD.d", "XXBT", "ZUSD")}
    pairs = read_instruments(dark | PAIRS, NAMES)
    assert pairs.find("BTC/USD").venue_symbol == "XBTUSD"


def test_asset_without_altname_is_left_out(caplog):
    names = AssetNames.from_listing({"BAD": {}, "WORSE": None, **ASSETS})
    assert names.plain("BAD") is None
    assert (names.plain("XXBT"), names.plain("XBT"), names.plain("ZUSD")) == ("BTC", "BTC", "USD")
    assert (names.key("USD"), names.key("BTC"), names.key("NEW")) == ("ZUSD", "XXBT", "NEW")
    assert "BAD" in caplog.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4), st.dictionaries(st.text(max_size=8), json_values))
def test_no_listing_breaks_the_reader(pairs, assets):
    found = read_instruments(pairs | PAIRS, AssetNames.from_listing(assets | ASSETS))
    assert len(found) >= len(PAIRS), "what can be used is read, whatever stands beside it"


@given(st.fixed_dictionaries(dict.fromkeys(pair("", "", ""), json_values)))
def test_no_entry_breaks_the_reader(entry):
    assert len(read_instruments(PAIRS | {"ODD": entry}, NAMES)) >= len(PAIRS)

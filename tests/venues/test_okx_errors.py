"""The table of errors, the list of markets, balances and keys: nothing OKX may say breaks a reader or is over-read."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from okx_lab import ALICE, utc_now

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import MarketStatus
from copytrade.domain.reasons import Reason
from copytrade.venues.okx.balances import as_balances, read_holdings
from copytrade.venues.okx.clock import ClockOffset
from copytrade.venues.okx.errors import DUPLICATES, Ambiguous, Refusal, classify
from copytrade.venues.okx.instruments import read_instruments
from copytrade.venues.okx.keys import read_config
from copytrade.venues.okx.options import OkxOptions


@pytest.mark.parametrize("code", ["50001", "50004", "50013", "50026", "59999", "", "0", "1", "nonsense", "60009"])
@pytest.mark.parametrize("row", [False, True])
def test_code_that_leaves_the_outcome_open(code, row):
    assert isinstance(classify(code, "some words", row=row), Ambiguous)


@pytest.mark.parametrize("code", sorted(DUPLICATES))
@pytest.mark.parametrize("row", [False, True])
def test_repeated_client_id_is_never_a_refusal(code, row):
    assert isinstance(classify(code, "", row=row), Ambiguous)


def test_new_code_of_the_order_family_is_a_refusal_in_a_row_alone():
    assert isinstance(classify("51777", "You cannot trade this", row=True), Refusal)
    assert isinstance(classify("51777", "You cannot trade this"), Ambiguous)
    for words in ("Request timed out", "already exists", "System busy", "try again later", "Internal error"):
        assert isinstance(classify("51777", words, row=True), Ambiguous)


@given(st.text(max_size=8), st.text(max_size=60), st.booleans())
def test_no_code_breaks_the_table(code, message, row):
    verdict = classify(code, message, row=row)
    if isinstance(verdict, Refusal):
        assert len(code) == 5
        assert verdict.reason in Reason


# -- markets -----------------------------------------------------------------------------------------------------------


def market(inst_id="BTC-USDT", base="BTC", quote="USDT", **changes):
    return {
        "instType": "SPOT", "instId": inst_id, "baseCcy": base, "quoteCcy": quote, "lotSz": "0.00000001",
        "tickSz": "0.1", "minSz": "0.00001", "state": "live", **changes,
    }  # fmt: skip


LIST = [market(), market("BTC-USD", "BTC", "USD"), market("1INCH-USDT", "1INCH", state="suspend", lotSz="1")]


@pytest.mark.parametrize(
    ("spelling", "symbol"),
    [
        ("BTC-USDT", "BTC/USDT"), ("btc-usdt", "BTC/USDT"), ("BTC/USDT", "BTC/USDT"), (" btc/usd ", "BTC/USD"),
        ("1inch-usdt", "1INCH/USDT"),
    ],
)  # fmt: skip
def test_spellings(spelling, symbol):
    assert read_instruments(LIST).find(spelling).symbol == symbol


@pytest.mark.parametrize("spelling", ["", "BTC", "USDT", "BTCUSDT", "BTC-EUR", "BTC_USDT", "BTC-USDT-SWAP"])
def test_what_is_not_listed_is_not_guessed(spelling):
    assert read_instruments(LIST).find(spelling) is None


def test_symbol_comes_from_the_currencies_and_not_from_the_spelling():
    odd = read_instruments([market("BTCX-USDTX", "BTC", "USDT")]).find("BTC/USDT")
    assert (odd.venue_symbol, odd.base, odd.quote) == ("BTCX-USDTX", "BTC", "USDT")


def test_rules_of_a_market():
    names = read_instruments(LIST)
    bitcoin, inch = names.find("BTC/USDT"), names.find("1INCH/USDT")
    assert (bitcoin.lot_step, bitcoin.tick, bitcoin.status) == (Decimal("1E-8"), Decimal("0.1"), MarketStatus.ONLINE)
    assert (str(bitcoin.min_quantity), bitcoin.min_cost.value) == ("0.00001", 0)
    assert (inch.lot_step, inch.status) == (1, MarketStatus.CLOSED)


def test_of_two_markets_of_one_pair_the_open_one_counts():
    names = read_instruments([market("OLD-USDT", state="suspend"), market()])
    assert names.find("BTC/USDT").venue_symbol == "BTC-USDT"
    assert names.find("OLD-USDT") is None


@pytest.mark.parametrize(
    "broken",
    [
        None, 7, {}, market(instType="SWAP"), market(baseCcy=""), market(quoteCcy=None), market(instId=7),
        market(lotSz=""), market(lotSz="0"), market(tickSz="-1"), market(minSz="NaN"), market(minSz=0.1),
        {"instId": "X-Y"}, market(baseCcy="B\nTC"),
    ],
    ids=repr,
)  # fmt: skip
def test_broken_entry_is_left_out_with_a_warning_and_harms_no_other(broken, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(read_instruments([broken, *LIST])) == len(LIST)
    assert "left out" in caplog.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values | st.fixed_dictionaries(dict.fromkeys(market(), json_values)), max_size=4))
def test_no_listing_breaks_the_reader(entries):
    assert len(read_instruments([*entries, *LIST])) >= len(LIST)


# -- money and keys ----------------------------------------------------------------------------------------------------


def detail(ccy="BTC", cash="1", free="1", dollars="50000"):
    return {"ccy": ccy, "cashBal": cash, "availBal": free, "eqUsd": dollars}


def test_holding_without_any_price_is_left_out_of_equity_aloud(caplog):
    holdings = read_holdings([{"details": [detail("USDT", "10", "4", "10"), detail("ODD", "5", "5", "")]}])
    balances = as_balances(ALICE, "USDT", holdings, {}, utc_now())
    assert (str(balances.equity), str(balances.cash), str(balances.held)) == ("10", "4", "6")
    assert balances.holdings == {"USDT": 10, "ODD": 5}
    assert "ODD" in caplog.text


def test_dollars_are_turned_into_the_currency_at_okxs_own_rate():
    holdings = read_holdings([{"details": [detail("EUR", "100", "100", "110"), detail("GBP", "10", "10", "13.2")]}])
    assert as_balances(ALICE, "EUR", holdings, {}, utc_now()).equity.value == 112
    only = read_holdings([{"details": [detail("GBP", "10", "10", "13.2")]}])
    assert as_balances(ALICE, "EUR", only, {}, utc_now()).equity.value == 0, "no euro is held: no rate is known"
    assert as_balances(ALICE, "USDT", only, {}, utc_now()).equity.value == Decimal("13.2")


def test_empty_figures_are_none():
    assert read_holdings([{"details": [detail(cash="", free="", dollars="")]}])["BTC"] == (0, 0, None)
    assert read_holdings([{"details": []}]) == {}


@given(json_values | st.lists(st.fixed_dictionaries({"details": st.lists(json_values)}), max_size=2))
def test_no_balance_breaks_the_reader(data):
    try:
        read_holdings(data)
    except VenueUnavailable as error:
        assert "cannot be read" in str(error)  # noqa: PT017


def config(**changes):
    return [{"perm": "read_only,trade", "ip": "192.0.2.1", "acctLv": "1", **changes}]


def test_key_that_is_fit():
    report = read_config(ALICE, config())
    assert (report.permissions, report.problems, report.warnings) == (("read_only", "trade"), (), ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"perm": "read_only,trade,withdraw"}, "withdraw"), ({"perm": "trade, withdraw"}, "withdraw"),
        ({"perm": "read_only"}, "lacks the permission trade"), ({"acctLv": "3"}, "borrow"),
        ({"acctLv": "4"}, "borrow"), ({"acctLv": ""}, "unknown"), ({"acctLv": None}, "None"),
    ],
)  # fmt: skip
def test_key_that_is_not(changes, words):
    assert any(words in problem for problem in read_config(ALICE, config(**changes)).problems)


@pytest.mark.parametrize("data", [[], [None], [{}], config() * 2, config(perm=None), config(ip=None), ["x"]])
def test_key_about_which_nothing_is_said_is_an_error(data):
    with pytest.raises(VenueUnavailable):
        read_config(ALICE, data)


# -- options and clock -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"order_deadline_s": 0.5}, {"order_deadline_s": 26}, {"currency": "US D"}])
def test_option_out_of_bounds_is_refused(settings):
    with pytest.raises(ValueError, match=r"venues\.okx"):
        OkxOptions(**settings)


def test_clock_is_not_corrected_by_guess():
    clock, now = ClockOffset(), utc_now()
    clock.observe(int(now.timestamp() * 1000), now, now)
    assert (clock.offset.total_seconds(), clock.known) == (0, True)
    clock.observe(int(now.timestamp() * 1000) + 5_000, now, now)
    assert abs(clock.offset.total_seconds() - 5) < 0.01

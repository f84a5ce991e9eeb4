"""The Coinbase adapter against the simulated Coinbase: the contract of every venue, and what is Coinbase's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from account_contract import AccountContract, before, let_through
from coinbase_lab import ALICE, OPTIONS, at_raw_server, coinbase_lab
from kraken_lab import http

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import MarketStatus
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, RefusedByVenue, Unknown
from copytrade.simulator.coinbase.call import Rules


@pytest.fixture(params=["ed25519", "ecdsa"])
async def lab(request):
    async with coinbase_lab(replace(OPTIONS, request_timeout_s=1.0), kind=request.param) as made:
        yield made


class TestCoinbaseAccount(AccountContract):
    place_method = "create_order"
    lookup_methods = ("list_orders", "get_fills")


# -- an order whose answer was lost --------------------------------------------------------------------------------


async def test_order_whose_answer_hangs_is_unknown_within_the_time_limit_and_found(lab):
    lab.fault("hang", when="after", method="create_order", count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Unknown)
    assert outcome.at - outcome.sent_at < timedelta(seconds=5)
    assert await lab.account.find(lab.order(), outcome.sent_at, ()) is not None


async def test_word_of_a_bad_key_after_the_order_was_taken_is_not_believed(lab):
    lab.fault("error", when="after", method="create_order", error="Unauthorized", count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Unknown)
    assert (await lab.account.find(lab.order(), before(), ())).status is ExecutionStatus.FILLED


@pytest.mark.parametrize("duplicates", ["returned", "refused"])
async def test_second_send_under_one_id_creates_nothing(duplicates):
    """What makes a send after a look-up that found nothing safe, whichever way Coinbase answers it."""
    async with coinbase_lab(rules=Rules(duplicates=duplicates)) as lab:
        lab.fault("hide", method="create_order", hide_s=60, count=1)
        lab.fault("drop", when="after", method="create_order", count=1)
        first = await lab.account.place(lab.order(), let_through)
        assert isinstance(first, Accepted)
        assert await lab.account.find(lab.order(), before(), ()) is None  # a history that lags
        again = await lab.account.place(lab.order(), let_through)
        assert isinstance(again, Unknown)  # its answer was dropped
        again = await lab.account.place(lab.order(), let_through)
        assert len(lab.orders()) == 1
        if duplicates == "returned":
            assert again.venue_order_id == first.venue_order_id
        else:
            assert isinstance(again, Unknown)
            lab.time.now_s += 61
            assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == first.venue_order_id


async def test_request_that_is_kept_back_past_its_token_is_turned_away(lab):
    """What a look-up that finds nothing rests on: after the token's life nothing can arrive any more."""
    request = lab.account._signer.sign_order(lab.order())
    lab.time.now_s += OPTIONS.late_s + 1
    async with lab.venue.wire.slot():
        reply = await lab.venue.wire.request(request.method, request.target, request.headers, request.body)
    assert (reply.status, reply.body) == (401, b"Unauthorized")
    assert lab.orders() == []
    assert lab.account.absence_wait_s > OPTIONS.late_s + 1


async def test_hidden_order_is_found_once_the_venue_shows_it(lab):
    lab.fault("hide", method="create_order", hide_s=3, count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert await lab.account.find(lab.order(), outcome.sent_at, ()) is None
    lab.time.now_s += 4
    assert (await lab.account.find(lab.order(), outcome.sent_at, ())).venue_order_id == outcome.venue_order_id


async def test_filter_that_is_ignored_changes_nothing(lab):
    other = await lab.account.place(lab.order("other"), let_through)
    ours = await lab.account.place(lab.order(), let_through)
    lab.fault("ignore_filter")
    assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == ours.venue_order_id
    assert (await lab.account.find(lab.order("other"), before(), ())).venue_order_id == other.venue_order_id
    assert await lab.account.find(lab.order("never"), before(), ()) is None


async def test_look_up_reads_every_page():
    async with coinbase_lab(rate_limits=False) as lab:
        for number in range(230):
            await lab.account.place(lab.order(str(number)), let_through)
        lab.time.now_s += 30  # the budget that these orders took without asking
        assert await lab.account.find(lab.order("0"), before(), ()) is not None
        assert await lab.account.find(lab.order("never"), before(), ()) is None


async def test_look_up_without_end_proves_nothing():
    async with coinbase_lab(replace(OPTIONS, pages_max=1), rate_limits=False) as lab:
        for number in range(101):
            await lab.account.place(lab.order(str(number)), let_through)
        with pytest.raises(VenueError, match="has no end"):
            await lab.account.find(lab.order("never"), before(), ())
        assert await lab.account.find(lab.order("100"), before(), ()) is not None


async def test_double_at_the_venue_is_told_loudly(caplog):
    async with coinbase_lab(rules=Rules(id_retention_s=0.0)) as lab:  # a venue that forgets ids
        for _ in range(2):
            assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
            await lab.account.balances()
            lab.time.now_s += 1
        assert len(lab.orders()) == 2
        assert (await lab.account.find(lab.order(), before(), ())).status is ExecutionStatus.FILLED
        assert "double" in caplog.text


async def test_pending_order_is_open_and_found(lab):
    lab.sim.exchange.fill_delay_s = 60.0
    outcome = await lab.account.place(lab.order(), let_through)
    execution = await lab.account.execution(outcome.venue_order_id)
    assert (execution.status, execution.quantity.value) == (ExecutionStatus.OPEN, 0)
    assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == outcome.venue_order_id


async def test_cancel_that_is_queued_is_open_until_it_is_done(lab):
    lab.sim.exchange.fill_delay_s = 60.0
    outcome = await lab.account.place(lab.order(), let_through)
    lab.fault("cancel_pending", delay_ms=2_000)
    await lab.account.cancel(outcome.venue_order_id)
    await lab.account.cancel(outcome.venue_order_id)
    assert (await lab.account.execution(outcome.venue_order_id)).status is ExecutionStatus.OPEN
    lab.time.now_s += 3
    assert (await lab.account.execution(outcome.venue_order_id)).status is ExecutionStatus.CANCELLED


async def test_cancel_of_an_order_that_is_not_shown_is_an_error(lab):
    with pytest.raises(VenueUnavailable, match="does not show"):
        await lab.account.cancel("11111111-0000-0000-0000-000000000001")


@pytest.mark.parametrize(("status", "fine"), [("OPEN", False), ("CANCEL_QUEUED", False), ("FILLED", True)])
async def test_cancel_that_fails_is_an_error_only_while_the_order_is_open(status, fine):
    refused = http({"results": [{"success": False, "failure_reason": "COMMANDER_REJECTED", "order_id": "o-1"}]})
    order = {"order_id": "o-1", "status": status, "filled_size": "1", "filled_value": "1", "total_fees": "0"}
    async with at_raw_server(refused, http({"order": order})) as (_, account):
        if fine:
            await account.cancel("o-1")
        else:
            with pytest.raises(VenueRefusedRead, match="COMMANDER_REJECTED"):
                await account.cancel("o-1")


async def test_answer_to_a_cancel_that_speaks_of_another_order_is_an_error():
    async with at_raw_server(http({"results": [{"success": True, "order_id": "o-2"}]})) as (_, account):
        with pytest.raises(VenueUnavailable, match="does not speak"):
            await account.cancel("o-1")


# -- keys, clock, money, products ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "word"),
    [(["view", "trade", "transfer"], "can_transfer"), (["view"], "can_trade"), (["trade"], "can_view")],
)
async def test_key_that_may_too_much_or_too_little_is_refused(permissions, word):
    async with coinbase_lab(permissions=permissions) as lab:
        report = await lab.account.check_key()
        assert [problem for problem in report.problems if word in problem]


@pytest.mark.parametrize("answer", [{}, {"can_view": True, "can_trade": True}, {"can_transfer": "false"}], ids=str)
async def test_key_whose_permissions_are_not_told_is_an_error(answer):
    async with at_raw_server(http(answer)) as (_, account):
        with pytest.raises(VenueError, match="does not tell"):
            await account.check_key()


async def test_key_without_a_permission_is_refused_by_the_venue():
    async with coinbase_lab(permissions=["view"]) as lab:
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert (outcome.reason, outcome.parks_account) == (Reason.NO_PERMISSION, True)
    async with coinbase_lab(permissions=["trade"]) as lab:
        with pytest.raises(CredentialsRejected, match="View and Trade"):
            await lab.account.balances()


async def test_wrong_key_is_told_apart_from_a_passing_fault(lab):
    wrong = lab.venue.connect_account(ALICE, "organizations/o/apiKeys/unknown", lab.secret)
    with pytest.raises(CredentialsRejected):
        await wrong.check_key()
    outcome = await wrong.place(lab.order(), let_through)
    assert (outcome.reason, outcome.parks_account) == (Reason.BAD_KEY, True)


@pytest.mark.parametrize("ahead_s", [-400, 400])
async def test_clock_that_is_off_is_corrected_in_the_tokens(ahead_s, caplog):
    def venue_clock() -> float:
        return datetime.now(UTC).timestamp() + ahead_s

    async with coinbase_lab(clock=venue_clock) as lab:
        assert abs(lab.venue.offset.total_seconds() - ahead_s) < 1
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Accepted), outcome
        assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == outcome.venue_order_id
        assert "set the clock" in caplog.text


async def test_clock_that_is_set_while_running_is_noticed_by_the_first_refused_token():
    ahead = [0.0]

    def venue_clock() -> float:
        return datetime.now(UTC).timestamp() + ahead[0]

    async with coinbase_lab(clock=venue_clock) as lab:
        ahead[0] = 900.0
        assert (await lab.account.balances()).cash == Amount.of(10_000)
        ahead[0] = 1_800.0
        outcome = await lab.account.place(lab.order(), let_through)
        assert (outcome.reason, outcome.parks_account) == (Reason.DEADLINE_ELAPSED, False)
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)


async def test_usd_and_usdc_are_two_wallets_and_one_equity():
    wallets = {"USD": Decimal(1_000), "USDC": Decimal(500), "BTC": Decimal("0.01"), "WIF": Decimal(7)}
    async with coinbase_lab(balances=wallets) as lab:
        balances = await lab.account.balances()
        assert (balances.cash, balances.equity) == (Amount.of(1_000), Amount.of(2_000))
        assert balances.holdings["USDC"] == 500
        usdc = lab.venue.instrument("BTC/USDC")
        outcome = await lab.account.place(lab.order(quantity="0.015", instrument=usdc), let_through)
        assert outcome.reason is Reason.INSUFFICIENT_FUNDS  # the dollars next door are no help
        await lab.account.place(lab.order("two", quantity="0.002", instrument=usdc), let_through)
        assert (await lab.account.balances()).cash == Amount.of(1_000)
        assert lab.venue.instrument("btc-usdc") is usdc
        assert lab.venue.instrument("BTCUSD") is None


async def test_holding_without_a_price_is_told_once(caplog):
    async with coinbase_lab(balances={"USD": Decimal(1_000), "WIF": Decimal(7)}) as lab:
        for _ in range(3):
            assert (await lab.account.balances()).equity == Amount.of(1_000)
        assert caplog.text.count("no price for WIF") == 1


async def test_every_page_of_wallets_is_read():
    many = {f"COIN{number}": Decimal(1) for number in range(300)} | {"USD": Decimal(5)}
    async with coinbase_lab(balances=many) as lab:
        assert len((await lab.account.balances()).holdings) == 301


@pytest.mark.parametrize(
    ("flag", "status"),
    [
        ("trading_disabled", MarketStatus.CLOSED), ("is_disabled", MarketStatus.CLOSED),
        ("cancel_only", MarketStatus.CLOSED), ("view_only", MarketStatus.CLOSED),
        ("limit_only", MarketStatus.LIMITED), ("post_only", MarketStatus.LIMITED),
        ("auction_mode", MarketStatus.LIMITED),
    ],
)  # fmt: skip
async def test_flags_of_a_product(lab, flag, status):
    lab.sim.set_flag("BTC-USD", flag)
    await lab.venue.load_instruments()
    assert lab.venue.instrument("BTC/USD").status is status
    outcome = await lab.account.place(lab.order(), let_through)
    assert (outcome.reason, outcome.retry_after_s) == (Reason.MARKET_CLOSED, 60)


async def test_products_are_read_by_their_fields(lab):
    ada = lab.venue.instrument("ADA/USD")
    assert (ada.base, ada.quote, ada.venue_symbol) == ("ADA", "USD", "ADA-USD")
    assert (ada.tick, ada.lot_step) == (Decimal("0.0001"), Decimal("0.00000001"))
    assert (ada.min_quantity, ada.min_cost) == (Quantity.of("0.00000001"), Amount.of(1))


def product(**changes):
    return {
        "product_id": "BTC-USD", "base_currency_id": "BTC", "quote_currency_id": "USD", "base_increment": "0.00000001",
        "price_increment": "0.01", "quote_increment": "0.05", "base_min_size": "0.0001", "quote_min_size": "1",
        "status": "online", "product_type": "SPOT", **changes,
    }  # fmt: skip


async def test_list_of_products_page_by_page_and_without_what_cannot_be_used(caplog):
    page = [product(product_id=f"C{n}-USD", base_currency_id=f"C{n}") for n in range(249)] + [product()]
    last = [
        product(product_id="X-USD", base_currency_id="X", price_increment="0"),
        product(product_id="F", base_currency_id="F", product_type="FUTURE"),
        product(product_id="Y-USD", base_currency_id="Y", cancel_only="no"),
        {"product_id": "Z"},
    ]
    time = http({"epochMillis": "1"})
    async with at_raw_server(time, http({"products": page}), http({"products": last})) as (server, account):
        venue = account._venue
        assert await venue.load_instruments() == 251
        assert "2 Coinbase products cannot be used" in caplog.text
        assert venue.instrument("Y/USD").status is MarketStatus.CLOSED
        assert venue.instrument("BTC/USD").tick == Decimal("0.01")
        assert "offset=250" in server.heard[2].head


async def test_list_that_ignores_the_limit_ends():
    page = [product(product_id=f"C{n}-USD", base_currency_id=f"C{n}") for n in range(250)]
    async with at_raw_server(http({"epochMillis": "1"}), http({"products": page})) as (server, account):
        assert await account._venue.load_instruments() == 250
        assert len(server.heard) == 3


async def test_reads_keep_within_the_accounts_budget(lab):
    for _ in range(20):
        await lab.account.balances()
    assert sum(lab.time.slept) > 0
    assert "rate_limit_exceeded" not in lab.sim.requests()["errors"]


async def test_rate_limited_read_says_when_to_come_again(lab):
    lab.fault("error", when="before", method="get_order", error="rate_limit_exceeded")
    with pytest.raises(VenueRefusedRead) as error:
        await lab.account.execution("11111111-0000-0000-0000-000000000001")
    assert error.value.retry_after_s > 0


async def test_warming_the_venue_asks_for_nothing_but_the_clock(lab):
    assert await lab.venue.warm(10) == 10
    assert await lab.venue.warm(10) == 10
    assert set(lab.sim.requests()["paths"]) == {f"/api/v3/brokerage/{each}" for each in ("time", "market/products")}

"""The Kraken adapter against the simulated Kraken: the contract of every venue, and what is Kraken's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from account_contract import AccountContract, before, let_through
from kraken_lab import ALICE, OPTIONS, Nonces, at_raw_server, http, kraken_lab, refused, ticket

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead
from copytrade.domain.money import Amount
from copytrade.domain.order import Side
from copytrade.domain.venue import Accepted, ExecutionStatus, Unknown

TRADING = ["query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades"]


@pytest.fixture
async def lab(tmp_path):
    async with kraken_lab(tmp_path, replace(OPTIONS, request_timeout_s=1.0)) as made:
        yield made


class TestKrakenAccount(AccountContract):
    place_method = "AddOrder"
    lookup_methods = ("OpenOrders", "ClosedOrders", "TradesHistory")


async def test_nonces_at_the_venue_are_the_stores_and_rise(lab):
    for number in range(5):
        await lab.account.place(lab.order(str(number)), let_through)
        await lab.account.balances()
    highest = lab.sim.keys()[0]["nonce"]
    assert highest < lab.nonces.next()
    assert "Invalid nonce" not in str(lab.sim.requests())


async def test_order_whose_answer_hangs_is_unknown_within_the_time_limit_and_found(lab):
    lab.fault("hang", when="after", method="AddOrder", count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Unknown)
    assert outcome.at - outcome.sent_at < timedelta(seconds=5)
    assert await lab.account.find(lab.order(), outcome.sent_at, ()) is not None


async def test_hidden_order_is_found_once_the_venue_shows_it(lab):
    lab.fault("hide", method="AddOrder", hide_s=3, count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Accepted)
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


async def test_double_at_the_venue_is_told_loudly(lab, caplog):
    for _ in range(2):  # Kraken keeps ids unique among open orders only, so this fills twice
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
    assert (await lab.account.find(lab.order(), before(), ())).status is ExecutionStatus.FILLED
    assert "double" in caplog.text


async def test_nonce_of_another_program_is_overtaken_by_a_jump(lab):
    ahead = Nonces(last=int(datetime.now(UTC).timestamp() * 1000) + 300_000)
    stranger = lab.venue.connect_account(ALICE, lab.key, lab.secret, ahead)
    assert isinstance(await stranger.place(lab.order("theirs"), let_through), Accepted)
    assert isinstance(await lab.account.place(lab.order("ours"), let_through), Accepted)
    assert len(lab.orders()) == 2


async def test_reads_jump_as_well(lab):
    ahead = Nonces(last=int(datetime.now(UTC).timestamp() * 1000) + 300_000)
    await lab.venue.connect_account(ALICE, lab.key, lab.secret, ahead).balances()
    assert (await lab.account.balances()).equity == Amount.of(60_000)


async def test_key_check_takes_note_of_the_last_nonce(lab):
    ahead = Nonces(last=int(datetime.now(UTC).timestamp() * 1000) + 5_000)
    await lab.venue.connect_account(ALICE, lab.key, lab.secret, ahead).check_key()
    lab.nonces.jump(10_000)
    await lab.account.check_key()
    assert lab.nonces.next() > ahead.last


@pytest.mark.parametrize("permission", ["withdraw-funds", "add-withdraw-address", "update-withdraw-address"])
async def test_key_that_could_lose_the_money_is_refused(tmp_path, permission):
    async with kraken_lab(tmp_path, permissions=[*TRADING, permission]) as lab:
        report = await lab.account.check_key()
        assert [problem for problem in report.problems if permission in problem]


@pytest.mark.parametrize("missing", TRADING)
async def test_key_that_cannot_trade_is_told_what_it_lacks(tmp_path, missing):
    async with kraken_lab(tmp_path, permissions=[each for each in TRADING if each != missing]) as lab:
        report = await lab.account.check_key()
        assert [problem for problem in report.problems if missing in problem]


@pytest.mark.parametrize(
    ("answer", "fit"),
    [
        (refused("EGeneral:Permission denied"), True),
        (http({"error": [], "result": []}), False),
        (refused("EFunding:Unknown asset"), False),
    ],
    ids=["denied", "answered", "unclear"],
)
async def test_key_check_without_key_info_asks_whether_it_may_withdraw(answer, fit):
    async with at_raw_server(refused("EGeneral:Unknown method"), answer) as (server, account, _):
        report = await account.check_key()
        assert (report.problems == ()) == fit
        assert [heard.head.split()[1] for heard in server.heard] == [
            "/0/private/GetApiKeyInfo", "/0/private/WithdrawMethods",
        ]  # fmt: skip


async def test_key_warnings():
    info = {"permissions": [*TRADING, "add-funds"], "nonceWindow": 5000, "ipAllowlist": [], "validUntil": "1"}
    async with at_raw_server(http({"error": [], "result": info})) as (_, account, _):
        report = await account.check_key()
        text = " ".join(report.warnings)
        assert all(word in text for word in ("add-funds", "nonce window", "any address", "ends by itself"))


async def test_wrong_key_is_told_apart_from_a_passing_fault(lab):
    wrong = lab.venue.connect_account(ALICE, "wrong-key", lab.secret, Nonces())
    with pytest.raises(CredentialsRejected, match="Invalid key"):
        await wrong.check_key()
    with pytest.raises(CredentialsRejected):
        await wrong.balances()


async def test_trade_balance_that_is_denied_is_summed_from_bids(lab, caplog):
    lab.fault("error", when="before", method="TradeBalance", error="EGeneral:Permission denied")
    balances = await lab.account.balances()
    assert balances.equity == Amount.of(60_000)
    assert "summed" in caplog.text


async def test_trade_balance_that_fails_is_an_error(lab):
    lab.fault("error", when="before", method="TradeBalance", error="EService:Unavailable")
    with pytest.raises(VenueError):
        await lab.account.balances()


async def test_plain_balance_where_the_extended_one_is_unknown(lab):
    lab.fault("error", when="before", method="BalanceEx", error="EGeneral:Unknown method")
    balances = await lab.account.balances()
    assert (balances.cash, balances.holdings["BTC"]) == (Amount.of(10_000), Decimal(1))


async def test_rate_limited_read_says_when_to_come_again(lab):
    lab.fault("error", when="before", method="QueryOrders", error="EAPI:Rate limit exceeded")
    with pytest.raises(VenueRefusedRead) as error:
        await lab.account.execution("OAAAAA-BBBBB-CCCCCC")
    assert error.value.retry_after_s > 0


async def test_reads_keep_within_the_keys_budget(lab):
    for _ in range(12):  # twice as many calls as the counter of 20 holds
        await lab.account.balances()
    assert sum(lab.time.slept) > 0


async def test_resting_order_is_cancelled(lab):
    placed = await lab.account.place(replace(lab.order(limit="49000"), order_id="restingorderofuser"), let_through)
    await lab.account.cancel(placed.venue_order_id)
    assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.CANCELLED


async def test_fills_delayed_by_the_venue_are_open_until_then(tmp_path):
    async with kraken_lab(tmp_path, fill_delay_ms=60_000) as lab:
        outcome = await lab.account.place(lab.order(), let_through)
        execution = await lab.account.execution(outcome.venue_order_id)
        assert (execution.status, execution.quantity.value) == (ExecutionStatus.OPEN, 0)
        assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == outcome.venue_order_id
        await lab.account.cancel(outcome.venue_order_id)


@pytest.mark.parametrize("ahead_s", [-40, 40])
async def test_clock_that_is_off_is_corrected_in_the_deadline(tmp_path, ahead_s, caplog):
    def venue_clock() -> float:
        return datetime.now(UTC).timestamp() + ahead_s

    async with kraken_lab(tmp_path, clock=venue_clock) as lab:
        assert abs(lab.venue.offset.total_seconds() - ahead_s) <= 1
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Accepted), outcome
        assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == outcome.venue_order_id
        assert "set the clock" in caplog.text


async def test_look_up_without_end_proves_nothing(tmp_path):
    async with kraken_lab(tmp_path, replace(OPTIONS, pages_max=1), rate_limits=False) as lab:
        for number in range(51):
            assert isinstance(await lab.account.place(lab.order(str(number)), let_through), Accepted)
        with pytest.raises(VenueError, match="has no end"):
            await lab.account.find(lab.order("never"), before(), ())
        assert await lab.account.find(lab.order("0"), before(), ()) is not None


async def test_look_up_reads_every_page(tmp_path):
    async with kraken_lab(tmp_path, rate_limits=False) as lab:
        for number in range(120):
            await lab.account.place(lab.order(str(number)), let_through)
        lab.fault("ignore_filter")
        assert await lab.account.find(lab.order("0"), before(), ()) is not None
        assert await lab.account.find(lab.order("never"), before(), ()) is None


def listing(**orders: dict) -> bytes:
    return http({"error": [], "result": {"closed": orders, "open": {}, "trades": {}}})


def closed(**changes):
    return {
        "status": "closed", "vol": "0.001", "vol_exec": "0.001", "cost": "50", "fee": "0.2", "oflags": "fciq",
        "opentm": datetime.now(UTC).timestamp(), "descr": {"pair": "XBTUSD", "type": "buy"}, **changes,
    }  # fmt: skip


async def test_without_client_ids_an_order_is_known_by_its_shape():
    async with at_raw_server(listing(OLIKE=closed(), OOTHER=closed(vol="0.002"))) as (_, account, _):
        found = await account.find(ticket(), datetime.now(UTC) - timedelta(seconds=1), ("OKNOWN",))
        assert found.venue_order_id == "OLIKE"
        assert await account.find(ticket(), datetime.now(UTC), ("OLIKE",)) is None
        assert await account.find(ticket(side=Side.SELL), datetime.now(UTC), ()) is None


async def test_with_client_ids_shape_proves_nothing():
    async with at_raw_server(listing(OLIKE=closed(), OWITH=closed(cl_ord_id="somebodyelsesorder"))) as (_, account, _):
        assert await account.find(ticket(), datetime.now(UTC), ()) is None


async def test_fee_in_base_is_told_apart():
    order = closed(oflags="fcib", fee="0.000004")
    async with at_raw_server(http({"error": [], "result": {"OX": order}})) as (_, account, _):
        execution = await account.execution("OX")
        assert (execution.fee.value, execution.fee_base.value) == (0, Decimal("0.000004"))


@pytest.mark.parametrize(
    "order",
    [closed(status="new word"), closed(vol_exec="-1"), closed(cost="much"), closed(fee=None), {}, [], None],
    ids=["status", "filled", "cost", "fee", "no fields", "a list", "nothing"],
)
async def test_order_that_cannot_be_read_is_an_error(order):
    async with at_raw_server(http({"error": [], "result": {"OX": order}})) as (_, account, _):
        with pytest.raises(VenueError):
            await account.execution("OX")


async def test_warming_the_venue_asks_for_nothing_but_the_clock(lab):
    assert await lab.venue.warm(10) == 10
    assert await lab.venue.warm(10) == 10
    assert set(lab.sim.requests()["paths"]) == {f"/0/public/{each}" for each in ("Time", "Assets", "AssetPairs")}

"""Placing an order against a venue that says anything: the outcome never claims more than was answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from kraken_lab import (
    OPTIONS,
    Nonces,
    RawServer,
    accepted,
    at_raw_server,
    counting_gate,
    http,
    open_gate,
    refused,
    ticket,
)

from copytrade.domain.errors import NonceUnavailable, SendStopped
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, NotSent, RefusedByVenue, Unknown

STOP = SendStopped(Reason.KILL_SWITCH, "for the test")
QUICK = replace(OPTIONS, request_timeout_s=0.3)
HTML = "<html><body>502 Bad Gateway</body></html>"


async def test_fields_of_a_market_order():
    async with at_raw_server(accepted()) as (server, account, nonces):
        outcome = await account.place(ticket(quantity="0.00012300"), open_gate)
        assert isinstance(outcome, Accepted)
        assert outcome.venue_order_id == "OAAAAA-BBBBB-CCCCCC"
        fields = server.heard[0].fields
        deadline = datetime.fromisoformat(fields.pop("deadline"))
        assert timedelta(seconds=3) < deadline - datetime.now(UTC) <= timedelta(seconds=5)
        assert fields == {
            "ordertype": "market", "type": "buy", "volume": "0.000123", "pair": "XBTUSD", "oflags": "fciq",
            "cl_ord_id": ticket().order_id, "nonce": str(nonces.handed[0]),
        }  # fmt: skip
        assert outcome.sent_at <= outcome.at


async def test_fields_of_a_limit_order_that_fills_at_once_or_not():
    async with at_raw_server(accepted()) as (server, account, _):
        await account.place(ticket(side=Side.SELL, limit="49750.1"), open_gate)
        fields = server.heard[0].fields
        assert (fields["ordertype"], fields["timeinforce"], fields["price"]) == ("limit", "IOC", "49750.1")
        assert fields["type"] == "sell"
        assert "validate" not in fields


@pytest.mark.parametrize(
    "answer",
    [
        http(HTML), http(HTML, "502 Bad Gateway"), http("", "504 Gateway Timeout"), http(HTML, "429 Too Many Requests"),
        http({"error": ["EOrder:Insufficient funds"]}, "502 Bad Gateway"), http({"error": []}, "404 Not Found"),
        http("", "302 Found", "Location: /elsewhere\r\n"), b"HTTP/1.1 204 No Content\r\n\r\n",
        http(""), http('{"error":[],"result":{"tx'), http(b"\xff\xfe"), http("[]"), http("null"), http("7"),
        http("{}"), http({"result": {"txid": ["OAAAAA-BBBBB-CCCCCC"]}}), http({"error": "EOrder:x", "result": {}}),
        http({"error": [7]}), http({"error": []}), http({"error": [], "result": None}),
        http({"error": [], "result": {"txid": []}}), http({"error": [], "result": {"txid": ["a", "b"]}}),
        http({"error": [], "result": {"txid": "OAAAAA"}}), http({"error": [], "result": {"txid": [7]}}),
        http({"error": [], "result": {"descr": {"order": "validated only"}}}),
        http({"error": ["EOrder:Insufficient funds"], "result": {"txid": ["OAAAAA-BBBBB-CCCCCC"]}}),
        http("[" * 100_000), http('{"error":[],"result":{"txid":["O"],"n":' + "9" * 5000 + "}}"),
        refused("EService:Unavailable"), refused("EService:Busy"), refused("EGeneral:Internal error"),
        refused("EOrder:Duplicate order"), refused("ENew:Thing"), refused("EOrder:Insufficient funds", "EService:Busy"),
        http(b"x" * 10_000_000), b"nonsense\r\n\r\n", None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", RawServer.hang,
    ],
    ids=lambda answer: "drop" if answer is None else repr(answer[:40].partition(b"\r\n")[0]) + str(len(answer)),
)  # fmt: skip
async def test_no_trustworthy_answer_is_unknown_and_is_not_sent_again(answer):
    before = datetime.now(UTC)
    async with at_raw_server(answer, options=QUICK) as (server, account, nonces):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, Unknown), outcome
        assert len(server.heard) == len(nonces.handed) == 1
        assert before <= outcome.sent_at <= outcome.at
        expected = before + timedelta(seconds=account.absence_wait_s)
        assert expected <= outcome.absent_after <= expected + timedelta(seconds=5)
        assert account.absence_wait_s == 5 + 2 + 2


async def test_warning_beside_an_order_id_is_an_accepted_order(caplog):
    answer = http({"error": ["WGeneral:Danger"], "result": {"txid": ["OAAAAA-BBBBB-CCCCCC"]}})
    async with at_raw_server(answer) as (_, account, _):
        assert isinstance(await account.place(ticket(), open_gate), Accepted)
    assert "WGeneral:Danger" in caplog.text


async def test_answer_given_before_is_not_the_answer_to_another_order():
    async with at_raw_server(accepted()) as (_, account, _):
        assert isinstance(await account.place(ticket("one"), open_gate), Accepted)
        outcome = await account.place(ticket("two"), open_gate)
        assert isinstance(outcome, Unknown)
        assert "given before" in outcome.detail


async def test_error_in_a_4xx_envelope_is_the_venues_word():
    answer = http({"error": ["EGeneral:Permission denied"]}, "403 Forbidden")
    async with at_raw_server(answer) as (_, account, _):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue)
        assert (outcome.reason, outcome.parks_account) == (Reason.NO_PERMISSION, True)


async def test_lockout_parks_for_a_while():
    async with at_raw_server(refused("EGeneral:Temporary lockout")) as (server, account, _):
        outcome = await account.place(ticket(), open_gate)
        assert (outcome.reason, outcome.parks_account, outcome.parks_for_s) == (Reason.LOCKED_OUT, True, 900)
        assert len(server.heard) == 1


async def test_refused_connection_is_not_sent():
    async with at_raw_server(accepted()) as (server, account, _):
        server._server.close()
        await server._server.wait_closed()
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, NotSent)
        assert account.wait_s(ticket()) == 0


@pytest.mark.parametrize(("stop_at", "nonces_drawn"), [(1, 0), (2, 1)], ids=["before signing", "with the connection"])
async def test_gate_stops_at_both_points_and_nothing_arrives(stop_at, nonces_drawn):
    async with at_raw_server(accepted()) as (server, account, nonces):
        gate, calls = counting_gate(stop_at, STOP)
        with pytest.raises(SendStopped):
            await account.place(ticket(), gate)
        assert len(calls) == stop_at
        assert len(nonces.handed) == nonces_drawn
        assert server.bytes_in == 0
        assert isinstance(await account.place(ticket(), open_gate), Accepted)


async def test_refused_nonce_jumps_by_growing_steps_and_is_sent_again():
    bad = refused("EAPI:Invalid nonce")
    async with at_raw_server(bad, bad, bad, accepted()) as (server, account, nonces):
        gate, calls = counting_gate(None, STOP)
        assert isinstance(await account.place(ticket(), gate), Accepted)
        assert nonces.jumps == [10_000, 600_000, 86_400_000]
        assert len(calls) == 2 * 4
        sent = [int(heard.fields["nonce"]) for heard in server.heard]
        assert sent == nonces.handed == sorted(set(sent))


async def test_nonce_refused_again_and_again_parks_the_account():
    async with at_raw_server(refused("EAPI:Invalid nonce")) as (server, account, nonces):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue)
        assert (outcome.reason, outcome.parks_account) == (Reason.BAD_NONCE, True)
        assert len(server.heard) == 4
        assert len(nonces.jumps) == 3


async def test_kill_switch_stops_between_two_tries():
    async with at_raw_server(refused("EAPI:Invalid nonce")) as (server, account, _):
        gate, _ = counting_gate(3, STOP)
        with pytest.raises(SendStopped):
            await account.place(ticket(), gate)
        assert len(server.heard) == 1


async def test_without_a_nonce_nothing_is_sent():
    class Broken(Nonces):
        def next(self) -> int:
            raise OSError("disk full")

    async with at_raw_server(accepted()) as (server, account, _):
        broken = account._venue.connect_account(account.account, "key-of-alice", "c2VjcmV0", Broken())
        with pytest.raises(NonceUnavailable, match="disk full"):
            await broken.place(ticket(), open_gate)
        assert server.bytes_in == 0


async def test_rate_limits_hold_the_next_order_back():
    async with at_raw_server(refused("EOrder:Rate limit exceeded"), accepted()) as (_, account, _):
        outcome = await account.place(ticket(), open_gate)
        assert (outcome.reason, outcome.parks_account) == (Reason.RATE_LIMITED, False)
        assert outcome.retry_after_s == pytest.approx(account.wait_s(ticket(side=Side.SELL)), rel=0.5)
        assert outcome.retry_after_s > 0


async def test_budget_counts_orders_and_keeps_a_reserve_for_exits():
    async with at_raw_server(refused("EOrder:Insufficient funds")) as (_, account, _):
        exits_wait = entries_wait = None
        for _ in range(95):  # the intermediate tier's counter is 125; a quarter of it is kept for exits
            await account.place(ticket(), open_gate)
        entries_wait, exits_wait = account.wait_s(ticket()), account.wait_s(ticket(side=Side.SELL))
        assert entries_wait > 0
        assert exits_wait == 0


async def test_orders_of_one_account_leave_one_after_the_other_in_nonce_order():
    answers = [accepted(f"OAAAAA-BBBBB-CCCC{number:02d}") for number in range(20)]
    async with at_raw_server(*answers) as (server, account, nonces):
        outcomes = await asyncio.gather(*(account.place(ticket(str(number)), open_gate) for number in range(20)))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert [int(heard.fields["nonce"]) for heard in server.heard] == nonces.handed
        assert server.opened == 1


async def test_slow_read_delays_no_order():
    async with at_raw_server(RawServer.hang, accepted()) as (server, account, nonces):
        read = asyncio.create_task(account.execution("OAAAAA-BBBBB-CCCCCC"))
        await server.arrived.wait()
        assert isinstance(await account.place(ticket(), open_gate), Accepted)
        assert not read.done()
        assert [int(heard.fields["nonce"]) for heard in server.heard] == nonces.handed
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)


async def test_read_waits_while_an_order_is_under_way():
    async with at_raw_server(RawServer.hang, http({"error": [], "result": {}})) as (server, account, nonces):
        order = asyncio.create_task(account.place(ticket(), open_gate))
        await server.arrived.wait()
        read = asyncio.create_task(account.cancel("OAAAAA-BBBBB-CCCCCC"))
        other = asyncio.create_task(account.execution("OAAAAA-BBBBB-CCCCCC"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(nonces.handed) == 1  # neither has even drawn a nonce, so none can overtake the order
        for task in (order, read, other):
            task.cancel()
        await asyncio.gather(order, read, other, return_exceptions=True)


async def test_orders_and_reads_over_a_single_connection_do_not_lock_each_other_out():
    async with at_raw_server(refused("EOrder:Unknown order"), options=replace(OPTIONS, max_connections=1)) as lab:
        server, account, _ = lab
        async with asyncio.timeout(10):
            await asyncio.gather(
                *(account.execution("OAAAAA-BBBBB-CCCCCC") for _ in range(5)),
                *(account.place(ticket(str(number)), open_gate) for number in range(5)),
                return_exceptions=True,
            )
        assert (len(server.heard), server.opened) == (10, 1)


async def test_cancelled_task_leaves_no_verdict_and_the_account_usable():
    async with at_raw_server(RawServer.hang, accepted()) as (server, account, _):
        task = asyncio.create_task(account.place(ticket(), open_gate))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await account.place(ticket("two"), open_gate), Accepted)


async def test_nothing_shows_key_or_secret(caplog):
    caplog.set_level("DEBUG")
    async with at_raw_server(b"nonsense\r\n\r\n", options=QUICK) as (_, account, _):
        outcome = await account.place(ticket(), open_gate)
        with pytest.raises(Exception, match="no usable answer") as error:
            await account.execution("OAAAAA-BBBBB-CCCCCC")
        shown = repr(outcome) + repr(account) + repr(vars(account)) + str(error.getrepr()) + caplog.text
        assert "key-of-alice" not in shown
        assert "API-Sign" not in shown

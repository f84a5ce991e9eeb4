"""Appending: at once in memory, together on the disk, and nothing half."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_samples import MASTER, START, accepted, approved, filled, follower, intent, plan, signal

from copytrade.domain.errors import LedgerError, LedgerUnwritable
from copytrade.domain.events import AccountParked, CopiesPlanned, Event, SignalEmitted
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import IllegalMove, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Balances
from copytrade.ledger import store
from copytrade.ledger.opening import open_for_reading
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import replay, verify
from copytrade.ledger.store import Ledger

SIGNAL = signal("one")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path) as opened:
        yield opened


def rows_on_disk(path: Path, table: str) -> int:
    with closing(open_for_reading(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def test_no_events_are_durable_once_those_before_them_are(ledger: Ledger, path: Path) -> None:
    async with asyncio.timeout(10):  # far beyond what it takes: nobody writes a group without events
        await ledger.append([], hurry=True)
        ledger.append([SignalEmitted(SIGNAL)])
        await ledger.append([], hurry=True)
        assert rows_on_disk(path, "events") == 1
        ledger.observe({MASTER: Balances("USD", Amount.of(1), Amount.of(1), {}, START)})
        await ledger.append([])


async def test_the_state_changes_at_once_and_the_file_by_the_time_it_is_awaited(ledger: Ledger, path: Path) -> None:
    written = ledger.append([SignalEmitted(SIGNAL)], hurry=True)
    assert SIGNAL.signal_id in ledger.state.unplanned
    await written
    assert rows_on_disk(path, "events") == 1
    await ledger.append([plan(SIGNAL, 600)])
    assert rows_on_disk(path, "events") == 2  # one event, however many copies
    assert rows_on_disk(path, "orders") == 600


async def test_a_write_without_hurry_waits_for_company(path: Path) -> None:
    with Ledger.open(path, group_ms=60_000) as ledger:
        patient = [ledger.append([intent(str(number))]) for number in range(5)]
        await asyncio.sleep(0)
        assert not any(receipt.done for receipt in patient)
        await ledger.append([intent("hasty")], hurry=True)
        assert all(receipt.done for receipt in patient)
        assert rows_on_disk(path, "events") == 6


async def test_closing_writes_what_is_waiting(path: Path) -> None:
    ledger = Ledger.open(path, group_ms=60_000)
    receipt = ledger.append([intent("late")])
    ledger.close()
    await receipt
    assert replay(path).hash() == ledger.state.hash()


async def test_a_receipt_can_be_awaited_often_by_many_and_dropped(ledger: Ledger) -> None:
    receipt = ledger.append([intent("a")])

    async def wait() -> None:
        await receipt

    await asyncio.gather(receipt, receipt, *(wait() for _ in range(20)))
    assert await receipt is None
    assert receipt.done
    ledger.append([intent("b")])  # nobody waits for this one, and it becomes durable all the same
    ledger.close()
    with LedgerReader(ledger.path) as reader:
        assert len(reader.events()) == 2


async def test_a_cancelled_waiter_takes_nobody_with_it(path: Path) -> None:
    with Ledger.open(path, group_ms=60_000) as ledger:
        receipt = ledger.append([intent("a")])

        async def wait() -> None:
            await receipt

        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        await ledger.append([intent("b")], hurry=True)
        await second
        assert first.cancelled()


def test_the_writer_gets_its_turn_beside_a_busy_loop(path: Path) -> None:
    # Under CPython's own 5 ms a loop that makes many system calls can starve every other thread.
    before = sys.getswitchinterval()
    try:
        for interval_s, expected_s in ((0.005, 0.0005), (0.0001, 0.0001)):
            sys.setswitchinterval(interval_s)
            Ledger.open(path).close()
            assert sys.getswitchinterval() == pytest.approx(expected_s, rel=0.05)
    finally:
        sys.setswitchinterval(before)


def test_without_an_event_loop(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.append_sync([intent("a")])
        assert rows_on_disk(path, "events") == 1


def test_one_ledger_serves_one_loop_after_another(path: Path) -> None:
    with Ledger.open(path) as ledger:
        for number in range(3):

            async def once(name: str = str(number)) -> None:
                await ledger.append([intent(name)])

            asyncio.run(once())
        assert ledger.failed is None


async def test_nothing_to_append_is_no_error(ledger: Ledger) -> None:
    await ledger.append([SignalEmitted(SIGNAL)])
    receipt = ledger.append([])
    await ledger.append([plan(SIGNAL, 1)], hurry=True)
    assert receipt.done


# -- finding --------------------------------------------------------------------------------------------------------


async def test_orders_are_found_before_and_after_they_are_durable_and_after_a_restart(path: Path) -> None:
    order_id = approved(SIGNAL, follower(0)).order_id
    with Ledger.open(path, group_ms=60_000) as ledger:
        ledger.append([SignalEmitted(SIGNAL)])
        ledger.append([plan(SIGNAL, 3)])
        ledger.append([accepted(order_id)])
        ledger.append([filled(order_id)])
        assert order_id not in ledger.state.orders
        waiting = ledger.find(order_id)
        assert waiting is not None
        assert waiting.state is OrderState.FILLED
        assert ledger.find("nobody") is None
        assert [copy.account for copy in ledger.copies_of(SIGNAL.signal_id)] == [follower(n) for n in range(3)]
        later = CopiesPlanned(SIGNAL.signal_id, (approved(SIGNAL, follower(0), leg=1),), START)
        await ledger.append([accepted(approved(SIGNAL, follower(1)).order_id)], hurry=True)
        ledger.append([later])
        ledger.append([accepted(approved(SIGNAL, follower(2)).order_id)])
        expected = [(0, 0, "filled"), (1, 0, "accepted"), (2, 0, "accepted"), (0, 1, "approved")]
        assert summary(ledger) == expected
        found = ledger.find(order_id)
        assert found is not None
        assert found.canonical() == waiting.canonical()
    with Ledger.open(path) as ledger:
        assert summary(ledger) == expected
        found = ledger.find(order_id)
        assert found is not None
        assert found.canonical() == waiting.canonical()
        assert ledger.copies_of("nothing") == []


def summary(ledger: Ledger) -> list[tuple[int, int, str]]:
    copies = ledger.copies_of(SIGNAL.signal_id)
    return [(int(copy.account.rpartition("_")[2]), copy.leg, copy.state.value) for copy in copies]


async def test_a_master_order_keeps_its_whole_intent_over_a_restart(path: Path) -> None:
    event = intent("restored")
    with Ledger.open(path) as ledger:
        await ledger.append([event])
    with Ledger.open(path) as ledger:
        assert ledger.state.orders[event.order_id].intent == event
        await ledger.append([accepted(event.order_id)])
        await ledger.append([filled(event.order_id, "0.1")], hurry=True)
        assert ledger.state.position(MASTER, "BTC/USD") == Quantity.of("0.1")
    with Ledger.open(path) as ledger:
        found = ledger.find(event.order_id)
        assert found is not None
        assert found.intent == event


async def test_a_position_that_is_closed_leaves_the_tables(path: Path) -> None:
    bought, sold = intent("in"), intent("out", side=Side.SELL)
    with Ledger.open(path) as ledger:
        await ledger.append([bought, sold, accepted(bought.order_id), accepted(sold.order_id)])
        await ledger.append([filled(bought.order_id, "0.10")], hurry=True)
        assert rows_on_disk(path, "positions") == 1
        await ledger.append([filled(sold.order_id, "0.1")], hurry=True)
        assert rows_on_disk(path, "positions") == 0
        assert verify(path, ledger.state).ok
    with Ledger.open(path) as ledger:
        assert ledger.state.positions == {}


# -- what may not happen --------------------------------------------------------------------------------------------


async def test_an_event_that_may_not_happen_is_refused_and_the_ledger_goes_on(ledger: Ledger, path: Path) -> None:
    event = intent("a")
    await ledger.append([event], hurry=True)
    before = ledger.state.hash()
    with pytest.raises(IllegalMove):
        ledger.append([filled(event.order_id)])
    with pytest.raises(KeyError, match="nobody"):
        ledger.append([accepted("nobody")])
    assert ledger.state.hash() == before
    assert ledger.failed is None
    await ledger.append([accepted(event.order_id)], hurry=True)
    assert verify(path, ledger.state).ok


async def test_a_batch_that_breaks_in_the_middle_fails_the_ledger_and_leaves_the_file_whole(path: Path) -> None:
    ledger = Ledger.open(path, group_ms=60_000)
    with ledger:
        kept = intent("kept")
        ledger.append([kept])
        with pytest.raises(IllegalMove):
            ledger.append([intent("dropped"), accepted(kept.order_id), accepted(kept.order_id)])
        assert isinstance(ledger.failed, LedgerError)
        with pytest.raises(LedgerError, match="OrderAccepted may not happen"):
            ledger.append([intent("later")])
    verdict = verify(path)
    assert verdict.ok, verdict.problems
    assert list(replay(path).orders) == [kept.order_id]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("durable", [False, True])
async def test_what_came_before_does_not_come_again(path: Path, restart: bool, durable: bool) -> None:
    event = intent("a")
    copies = plan(SIGNAL, 2)
    ended: list[Event] = []
    for order_id in (event.order_id, *(copy.order_id for copy in copies.copies)):
        ended += [accepted(order_id), filled(order_id)]
    ledger = Ledger.open(path, group_ms=60_000)
    ledger.append([event, SignalEmitted(SIGNAL), copies, *ended], hurry=durable)
    if durable:
        await ledger.append([], hurry=True)
        ledger.append_sync([intent("b")])
    if restart:
        ledger.close()
        ledger = Ledger.open(path, group_ms=60_000)
    with ledger:
        for repeated in (event, SignalEmitted(SIGNAL), copies, replace(copies, copies=copies.copies[1:])):
            before = ledger.state.hash()
            with pytest.raises(ValueError, match="came twice"):
                ledger.append([repeated])
            assert ledger.state.hash() == before
        assert ledger.failed is None
    assert verify(path).ok


async def test_a_disk_that_stops_answering_stops_the_ledger(ledger: Ledger) -> None:
    too_many = [AccountParked(follower(0), Reason.BAD_KEY, "", START)] * (store.PENDING_MAX + 1)
    with pytest.raises(LedgerUnwritable, match="stopped answering"):
        ledger.append(too_many)
    assert not ledger.state.parked
    assert isinstance(ledger.failed, LedgerUnwritable)


async def test_a_closed_ledger_takes_nothing(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerUnwritable, match="closed"):
        ledger.append([intent("a")])


# -- observations ---------------------------------------------------------------------------------------------------


def seen(equity: str) -> Balances:
    return Balances("USD", Amount.of(equity), Amount.of("5.50"), {"BTC": Decimal("0.5"), "USD": Decimal("5.5")}, START)


async def test_the_latest_balances_are_kept_and_are_no_events(ledger: Ledger, path: Path) -> None:
    before = ledger.state.hash()
    ledger.observe({follower(0): seen("100"), follower(1): seen("200")})
    ledger.observe({follower(0): seen("101")})
    await ledger.append([intent("a")], hurry=True)
    with LedgerReader(path) as reader:
        found = reader.balances()
    assert [(record["account"], record["equity"]) for record in found] == [(follower(0), "101"), (follower(1), "200")]
    assert found[0]["holdings"] == {"BTC": "0.5", "USD": "5.5"}
    assert found[0]["cash"] == "5.5"
    assert ledger.state.hash() != before  # by the intent alone
    assert rows_on_disk(path, "events") == 1


def test_balances_alone_are_written_too(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.observe({follower(0): seen("100")})
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT equity FROM balances").fetchall() == [("100",)]
    connection.close()


# -- reading only ---------------------------------------------------------------------------------------------------


async def test_opened_for_reading_beside_the_writer(ledger: Ledger, path: Path) -> None:
    event = intent("a")
    await ledger.append([event], hurry=True)
    with Ledger.open(path, read_only=True) as other:
        assert other.state.hash() == ledger.state.hash()
        assert other.find(event.order_id) is not None
        with pytest.raises(LedgerUnwritable, match="for reading only"):
            other.append([intent("b")])
        other.observe({follower(0): seen("1")})

"""What other programs may ask, while the worker writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from ledger_samples import START, accepted, approved, filled, follower, intent, plan, signal

from copytrade.domain.events import AccountParked, OrderHeld, SignalEmitted, StrategyNoted
from copytrade.domain.order import OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.store import Ledger

FIRST, SECOND = signal("one"), signal("two", START + timedelta(minutes=5))


def copy_of(number: int) -> str:
    return approved(FIRST, follower(number)).order_id


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        ledger.append([intent("one"), SignalEmitted(FIRST), plan(FIRST, 4)])
        ledger.append([accepted(copy_of(0)), filled(copy_of(0), "0.0100"), accepted(copy_of(1))])
        ledger.append([OrderHeld(copy_of(2), Reason.KILL_SWITCH, "at 12:00", START)])
        ledger.append([AccountParked(follower(3), Reason.BAD_KEY, "EAPI:Invalid key", START)])
        ledger.append_sync([SignalEmitted(SECOND)])
        yield ledger


@pytest.fixture
def reader(ledger: Ledger) -> Iterator[LedgerReader]:
    with LedgerReader(ledger.path) as reader:
        yield reader


def test_signals_newest_first_with_what_became_of_their_copies(reader: LedgerReader) -> None:
    newest, oldest = reader.signals()
    assert newest["signal_id"] == SECOND.signal_id
    assert newest["planned_at"] is None
    assert newest["copies"] == {}
    assert oldest["planned_at"] == START.isoformat()
    assert oldest["copies"] == {"accepted": 1, "approved": 1, "filled": 1, "held": 1}
    assert (oldest["symbol"], oldest["side"], oldest["quantity"], oldest["price"]) == ("BTC/USD", "buy", "0.1", "10000")
    assert oldest["equity_before"] == "10000.00"
    assert reader.signals(limit=1) == [newest]
    somewhere = timezone(timedelta(hours=-5))  # a question in another time zone is the same question
    assert reader.signals(since=(START + timedelta(minutes=1)).astimezone(somewhere)) == [newest]


def test_orders_and_copies_by_what_is_asked(reader: LedgerReader) -> None:
    assert len(reader.orders()) == 5
    assert len(reader.copies()) == 4
    assert [order["role"] for order in reader.orders(role=Role.MASTER)] == ["master"]
    assert [copy["account"] for copy in reader.copies(signal_id=FIRST.signal_id, limit=2)] == [follower(3), follower(2)]
    assert [copy["order_id"] for copy in reader.copies(account=follower(1))] == [copy_of(1)]
    assert [copy["order_id"] for copy in reader.copies(state=OrderState.FILLED)] == [copy_of(0)]
    assert reader.copies(state="skipped") == []
    assert reader.orders(since=START + timedelta(seconds=1)) == []
    with pytest.raises(ValueError, match="dreaming"):
        reader.copies(state="dreaming")


def test_one_order(reader: LedgerReader) -> None:
    found = reader.order(copy_of(0))
    assert found is not None
    assert found["state"] == "filled"
    assert found["filled"] == "0.01"
    assert found["fee"] == "0.26"
    assert found["venue_order_id"] == f"V-{copy_of(0)}"
    assert found["ended_at"] == START.isoformat()
    assert reader.order("nobody") is None


def test_what_is_open_held_and_parked(reader: LedgerReader) -> None:
    assert [order["state"] for order in reader.open_orders()] == ["approved", "accepted", "held", "approved"]
    assert [(order["order_id"], order["reason"]) for order in reader.held_exits()] == [(copy_of(2), "kill_switch")]
    assert reader.parked() == [
        {"account": follower(3), "reason": "bad_key", "detail": "EAPI:Invalid key", "at": START.isoformat()}
    ]


def test_positions(reader: LedgerReader) -> None:
    expected = [{"account": follower(0), "symbol": "BTC/USD", "quantity": "0.01"}]
    assert reader.positions() == reader.positions(follower(0)) == expected
    assert reader.positions(follower(1)) == []


def test_counts(reader: LedgerReader) -> None:
    counts = reader.counts()
    del counts["created_at"]
    assert counts == {
        "events": 9, "signals": 2, "unplanned": 1, "orders": 5, "open": 4, "ended": 1,
        "orders_by_state": {"accepted": 1, "approved": 2, "filled": 1, "held": 1},
    }  # fmt: skip


def test_the_tail_of_events_can_be_followed(ledger: Ledger, reader: LedgerReader) -> None:
    tail = reader.events(limit=2)
    assert [(event["seq"], event["name"]) for event in tail] == [(8, "AccountParked"), (9, "SignalEmitted")]
    assert tail[0]["body"]["account"] == follower(3)
    assert reader.events(after=9) == []
    ledger.append_sync([intent("two")])
    assert [event["name"] for event in reader.events(after=9)] == ["MasterIntended"]


def test_a_reader_sees_what_was_written_after_it_opened(ledger: Ledger, reader: LedgerReader) -> None:
    ledger.append_sync([accepted(copy_of(3))])
    assert reader.counts()["orders_by_state"]["accepted"] == 2


def test_what_strategies_remember(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite3"
    with Ledger.open(path) as ledger:
        ledger.append([StrategyNoted("apex", follower(1), "BTC/USD", '{"stop":"97.90"}', START)])
        ledger.append_sync([StrategyNoted("apex", follower(2), "ETH/USD", '{"stop":"1"}', START)])
        ledger.append_sync([StrategyNoted("apex", follower(2), "ETH/USD", "", START)])
    with LedgerReader(path) as reader:
        (note,) = reader.notes()
        assert (note["account"], note["symbol"], note["memory"]) == (follower(1), "BTC/USD", {"stop": "97.90"})
        assert reader.notes(follower(2)) == []

"""What the feed tells of a ledger that is being written: every change once, and nothing that did not change."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_samples import accepted, filled, follower, intent, plan, signal

from copytrade.domain.errors import LedgerError
from copytrade.domain.events import SignalEmitted
from copytrade.ledger import feed as feed_module
from copytrade.ledger.feed import LedgerFeed
from copytrade.ledger.store import Ledger

FIRST, SECOND = signal("one"), signal("two")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def test_changes_are_told_once(path: Path) -> None:
    with Ledger.open(path) as ledger:
        feed = LedgerFeed(path)
        assert not feed.poll()
        planned = plan(FIRST, 3)
        ledger.append_sync([intent("one"), SignalEmitted(FIRST), planned])
        changes = feed.poll()
        assert changes.signals == [FIRST.signal_id]
        assert sorted(order["role"] for order in changes.orders) == ["copy"] * 3 + ["master"]
        assert not feed.poll()
        copy = planned.copies[1]
        ledger.append_sync([accepted(copy.order_id)])
        ledger.append_sync([filled(copy.order_id)])
        (changed,) = feed.poll().orders
        assert (changed["order_id"], changed["state"], changed["filled"]) == (copy.order_id, "filled", "0.01")
        feed.close()


def test_a_feed_that_comes_later_begins_with_the_last_order_of_each_account(path: Path) -> None:
    with Ledger.open(path) as ledger:
        for each, followers in ((FIRST, 1500), (SECOND, 3)):
            ledger.append_sync([SignalEmitted(each), plan(each, followers)])
        feed = LedgerFeed(path)
        last = {order["account"]: order["signal_id"] for order in feed.last_orders()}
        assert len(last) == 1500
        assert {last[follower(number)] for number in range(3)} == {SECOND.signal_id}
        assert last[follower(1499)] == FIRST.signal_id
        assert not feed.poll()
        feed.close()


def test_too_much_at_once_is_told_as_a_new_beginning(path: Path) -> None:
    with Ledger.open(path) as ledger:
        feed = LedgerFeed(path)
        ledger.append_sync([intent(str(number)) for number in range(feed_module.EVENTS_MAX + 1)])
        changes = feed.poll()
        assert changes.reset
        assert changes.orders == []
        ledger.append_sync([intent("after")])
        assert len(feed.poll().orders) == 1
        feed.close()


def test_an_empty_ledger_and_none(path: Path) -> None:
    with pytest.raises(LedgerError):
        LedgerFeed(path)
    with Ledger.open(path):
        feed = LedgerFeed(path)
        assert feed.last_orders() == []
        feed.close()

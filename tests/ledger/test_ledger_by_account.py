"""What the live state finds by account is what a scan of everybody's finds, in the same order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import START, History, approved, follower, plan, signal

from copytrade.domain.account import AccountId
from copytrade.domain.by_account import OpenOrders, Positions
from copytrade.domain.events import OrderStopped, SignalEmitted
from copytrade.domain.money import Quantity
from copytrade.domain.reasons import Reason
from copytrade.domain.state import State
from copytrade.ledger.store import Ledger


def astray(state: State, known: set[AccountId]) -> list[str]:
    """The accounts of whom the state says something else than a scan of it."""
    known |= {record.account for record in state.orders.values()} | {account for account, _ in state.positions}
    wrong = []
    for account in sorted(known):
        orders = [record for record in state.orders.values() if record.account == account]
        positions = [(symbol, held) for (owner, symbol), held in state.positions.items() if owner == account]
        if list(state.orders.of(account)) != orders or list(state.positions.of(account).items()) != positions:
            wrong.append(str(account))
    return wrong


@settings(max_examples=40)
@given(seed=st.integers(0, 10**9), events=st.integers(1, 120))
def test_whatever_happens_an_account_is_found_as_by_a_scan(seed: int, events: int) -> None:
    state, history = State(), History(seed)
    known: set[AccountId] = set()
    for _ in range(events):
        state.apply(history.draw(state))
        assert astray(state, known) == []


def test_so_it_is_after_a_start(tmp_path: Path) -> None:
    history = History(11)
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        for _ in range(300):
            ledger.append([history.draw(ledger.state)])
        open_then = len(ledger.state.orders)
        assert open_then
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        assert len(ledger.state.orders) == open_then
        assert ledger.state.positions
        assert astray(ledger.state, set()) == []


class Forgetful(OpenOrders):  # type: ignore[type-arg]
    """Leaves in an account's part what is over."""

    def __delitem__(self, order_id: str) -> None:
        dict.__delitem__(self, order_id)


def test_control_a_part_that_is_not_kept_up_is_seen() -> None:
    state = State(orders=Forgetful())
    of = signal("one")
    for event in (SignalEmitted(of), plan(of, 2)):
        state.apply(event)
    assert astray(state, set()) == []
    state.apply(OrderStopped(approved(of, follower(1)).order_id, Reason.KILL_SWITCH, "", START))
    assert astray(state, {follower(1)}) == [follower(1)]


def test_a_way_of_changing_that_the_parts_would_not_follow_is_refused() -> None:
    positions = Positions()
    positions[follower(1), "BTC/USD"] = Quantity.of("1")
    for name in ("clear", "popitem", "update", "setdefault"):
        with pytest.raises(TypeError, match="one entry at a time"):
            getattr(positions, name)()
    assert positions.pop((follower(1), "BTC/USD")) == Quantity.of("1")
    assert positions.pop((follower(1), "BTC/USD"), None) is None
    assert not positions.of(follower(1))

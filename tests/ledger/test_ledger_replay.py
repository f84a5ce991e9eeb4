"""Replay, tables and live state are one and the same, over any legal history; and the check can tell when not."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_samples import START, History, accepted, approved, filled, follower, intent, plan, signal

from copytrade.domain.events import Event, OrderExecuted, SignalEmitted, StrategyNoted
from copytrade.domain.limits import LimitAction, LimitName, LimitTripped, Rearm
from copytrade.domain.money import Quantity
from copytrade.domain.state import OrderRecord, State
from copytrade.ledger.replay import replay, verify
from copytrade.ledger.store import Ledger


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    batches=st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=60),
    restarts=st.sets(st.integers(0, 60), max_size=3),
)
def test_any_history_replays_to_the_live_state(seed: int, batches: list[tuple[int, bool]], restarts: set[int]) -> None:
    history = History(seed)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        ledger = Ledger.open(path, group_ms=0)
        drawn: list[Event] = []
        forecast = State()
        try:
            for index, (size, hurry) in enumerate(batches):
                if index in restarts:
                    ledger.close()
                    before = ledger.state.hash()
                    ledger = Ledger.open(path, group_ms=0)
                    assert ledger.state.hash() == before
                batch = []
                for _ in range(size):
                    batch.append(history.draw(forecast))
                    forecast.apply(batch[-1])
                drawn += batch
                ledger.append(batch, hurry=hurry)
            ledger.append_sync([intent("the last")])
            verdict = verify(path, ledger.state)
            assert verdict.ok, verdict.problems
            assert verdict.events == len(drawn) + 1
            for event in drawn:  # every order ever opened is still found, as it ended
                if (order_id := getattr(event, "order_id", None)) is not None:
                    assert ledger.find(order_id) is not None
        finally:
            ledger.close()
        assert ledger.failed is None
        with Ledger.open(path) as again:
            assert again.state.hash() == ledger.state.hash() == replay(path).hash()


def test_the_histories_reach_every_event() -> None:
    # Without this the property above could be true of very little.
    state, names = State(), set()
    history = History(7)
    for _ in range(3000):
        event = history.draw(state)
        state.apply(event)
        names.add(type(event).__name__)
    assert len(names) == 24, names


# -- controls: each spoils one thing, and the check must see it -----------------------------------------------------

SIGNAL = signal("one")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite3"
    first, second = (approved(SIGNAL, follower(number)).order_id for number in range(2))
    with Ledger.open(path) as ledger:
        ledger.append([intent("one"), SignalEmitted(SIGNAL), plan(SIGNAL, 3)])
        ledger.append([accepted(first), filled(first), accepted(second), SignalEmitted(signal("two"))])
        trip = LimitTripped(follower(0), LimitName.MIN_EQUITY, "", LimitAction.BLOCK, Rearm.BY_HAND, START)
        ledger.append([trip])
        ledger.append_sync([StrategyNoted("apex", follower(0), "BTC/USD", '{"stop":"97.90"}', START)])
    assert verify(path, ledger.state).ok
    return path


def spoil(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE orders SET quantity = '0.02' WHERE state = 'accepted'", "order "),
        ("UPDATE orders SET filled = '0.02' WHERE state = 'filled'", "ended orders"),
        ("UPDATE orders SET detail = 'x' WHERE role = 'master'", "order "),
        ("DELETE FROM orders WHERE state = 'filled'", "ended orders"),
        ("UPDATE orders SET quantity = 'much' WHERE state = 'accepted'", "table orders, row"),
        ("UPDATE orders SET state = 'dreaming' WHERE state = 'accepted'", "table orders, row"),
        ("UPDATE orders SET ended_at = planned_at WHERE state = 'accepted'", "table orders, row"),
        ("UPDATE positions SET quantity = '1'", "position"),
        ("DELETE FROM positions", "position"),
        ("UPDATE signals SET body = replace(body, '10000', '10001')", "signals"),
        ("UPDATE signals SET planned_at = at WHERE planned_at IS NULL", "unplanned"),
        ("UPDATE meta SET ended_count = 7", "ended orders"),
        ("UPDATE meta SET signals_digest = '1f'", "signals"),
        ("UPDATE events SET body = replace(body, '0.01', '0.02') WHERE name = 'OrderExecuted'", "ended orders"),
        ("UPDATE events SET body = 'x' WHERE seq = 2", "event 2"),
        ("UPDATE events SET name = 'OrderDreamt' WHERE seq = 2", "event 2"),
        ("DELETE FROM events WHERE seq = 2", "event 2 is missing"),
        ("DELETE FROM notes", "notes"),
        ("DELETE FROM standing", "limits"),
        ("UPDATE standing SET body = replace(body, 'by_hand', 'next_day')", "limits"),
        ("UPDATE standing SET body = replace(body, 'by_hand', 'never')", "table standing, row trip"),
        ("UPDATE notes SET memory = replace(memory, '97.90', '90')", "notes"),
        ("INSERT INTO parked VALUES ('kraken:user_1', 'bad_key', '', '2025-03-01T12:00:00+00:00')", "parked"),
    ],
)
def test_a_spoiled_file_does_not_pass(path: Path, statement: str, words: str) -> None:
    spoil(path, statement)
    verdict = verify(path)
    assert not verdict.ok
    assert any(words in problem for problem in verdict.problems), verdict.problems


def test_a_live_state_that_went_astray_does_not_pass(path: Path) -> None:
    live = replay(path)
    live.positions[follower(0), "BTC/USD"] = Quantity.of("5")
    verdict = verify(path, live)
    assert [problem[:8] for problem in verdict.problems] == ["position"]


class DoublingState(State):
    """A fold with a fault: it counts twice what was filled."""

    def apply(self, event: Event) -> list[OrderRecord]:
        if isinstance(event, OrderExecuted):
            event = replace(event, quantity=event.quantity + event.quantity)
        return super().apply(event)


def test_a_fold_that_differs_does_not_pass(path: Path) -> None:
    assert not verify(path, new_state=DoublingState).ok


def test_verifying_beside_a_writer_sees_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    history = History(11)
    with Ledger.open(path, group_ms=0) as ledger:
        for _ in range(150):
            ledger.append([history.draw(ledger.state)], hurry=True)
            verdict = verify(path)
            assert verdict.ok, verdict.problems

"""What a copy took up of the carried entries is carried again, once, when the copy never gets to its venue."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrade.copying.plan import decide
from copytrade.copying.rules import BelowMinimum, CopyRules, FollowerBook
from copytrade.domain.account import AccountId, FollowerTerms
from copytrade.domain.copy import Approved, Skipped
from copytrade.domain.events import (
    CopiesPlanned,
    Event,
    OrderAccepted,
    OrderProvedAbsent,
    OrderRefused,
    OrderStopped,
    OrderUnknown,
    SignalEmitted,
    event_from_json,
    event_name,
    event_to_json,
)
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.standing import Standing
from copytrade.domain.state import State

D = Decimal
NONE = Decimal(0)
ALICE, MASTER = AccountId("kraken:alice_smith"), AccountId("kraken:master")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = D("0.0001")
BTC = Instrument("kraken", "BTC/USD", "BTC", "USD", "XXBTZUSD", STEP, D("0.1"), Quantity.of("0.01"), Amount.of("0.5"))
RULES = CopyRules(below_minimum=BelowMinimum.CARRY, carry_max_age_s=1e9)


@dataclass
class Run:
    """The real plan and the real live state, beside the sums that they must come to."""

    state: State = field(default_factory=State)
    events: list[Event] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    kept: Decimal = NONE
    taken: dict[str, Decimal] = field(default_factory=dict)
    disk: dict[Any, str] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """As the ledger does, through JSON and its table of what stands."""
        event = event_from_json(event_name(event), event_to_json(event))
        self.events.append(event)
        self.state.apply(event)
        for key, text in self.state.standing.drain().items():
            if text is None:
                self.disk.pop(key, None)
            else:
                self.disk[key] = text

    def signal(self, quantity: Decimal, fraction: Decimal = NONE) -> Signal:
        number = len(self.events)
        side, effect = (Side.SELL, Effect.EXIT) if fraction else (Side.BUY, Effect.ENTRY)
        signal = Signal(
            f"s{number}", SignalKind.PLACED, f"m{number}", MASTER, "BTC/USD", side, effect, OrderKind.MARKET,
            Quantity(quantity), Price.of(100), Amount.of(10_000), Amount.of(10_000), Quantity.of(1), fraction,
            START + timedelta(seconds=number),
        )  # fmt: skip
        self.apply(SignalEmitted(signal))
        return signal

    def buy(self, hundredths: int) -> None:
        """A purchase of the master's; the follower has a hundredth of its equity, and buys for at most ten."""
        signal = self.signal(D(hundredths) / 100)
        book = FollowerBook(
            FollowerTerms(ALICE, max_user_risk=D(1)), BTC, "USD", Amount.of(100), Amount.of(100), signal.at,
            carried=self.state.standing.carried.get(ALICE, {}).get("BTC/USD"),
        )  # fmt: skip
        decision = decide(signal, book, RULES, signal.at)
        own = signal.quantity.value / 100
        self.apply(CopiesPlanned(signal.signal_id, (decision,), signal.at))
        if isinstance(decision, Approved):
            assert decision.quantity == Quantity(own + self.kept).rounded_down(STEP)
            self.open.append(decision.order_id)
            self.taken[decision.order_id], self.kept = self.kept, D(0)
        else:
            assert isinstance(decision, Skipped)
            assert decision.reason is Reason.CARRIED
            self.kept += own

    def sell(self, fraction: Decimal) -> None:
        signal = self.signal(D("0.1"), fraction)
        self.apply(CopiesPlanned(signal.signal_id, (), signal.at))
        self.kept *= 1 - fraction
        self.taken = {order_id: quantity * (1 - fraction) for order_id, quantity in self.taken.items()}

    def end(self, which: int, how: str) -> None:
        if not self.open:
            return
        order_id, at = self.open.pop(which % len(self.open)), START + timedelta(seconds=len(self.events))
        if how.startswith("lost, "):
            self.apply(OrderUnknown(order_id, "no answer", at, at))
            if not how.endswith("accepted"):
                self.apply(OrderProvedAbsent(order_id, at))
        taken = self.taken.pop(order_id)
        if how.endswith("accepted"):
            self.apply(OrderAccepted(order_id, "V1", at, at))
            return
        self.kept += taken
        if how.endswith("refused"):
            self.apply(OrderRefused(order_id, Reason.INVALID_ORDER, "", at))
        else:
            self.apply(OrderStopped(order_id, Reason.KILL_SWITCH, "", at))
        with pytest.raises(KeyError):
            self.state.apply(OrderStopped(order_id, Reason.KILL_SWITCH, "", at))

    def check(self) -> None:
        standing = self.state.standing
        carried = standing.carried.get(ALICE, {}).get("BTC/USD")
        assert (D(0) if carried is None else carried.quantity.value) == self.kept
        taken = {order_id: carry.quantity.value for order_id, carry in standing.taken.get(ALICE, {}).items()}
        assert taken == {order_id: quantity for order_id, quantity in self.taken.items() if quantity}
        loaded = Standing()
        for key, text in self.disk.items():
            loaded.load(key, text)
        assert loaded.canonical() == standing.canonical()


ENDS = ["accepted", "stopped", "stopped", "refused", "lost, accepted", "lost, stopped", "lost, refused"]
acts = st.one_of(
    st.tuples(st.just("buy"), st.integers(1, 250)),
    st.tuples(st.just("end"), st.integers(0, 5), st.sampled_from(ENDS)),
    st.tuples(st.just("sell"), st.sampled_from([D("0.5"), D("0.25"), D(1)])),
)


def run_of(sequence: list[tuple[Any, ...]]) -> Run:
    run = Run()
    for name, *given_with in sequence:
        getattr(run, name)(*given_with)
        run.check()
    return run


@settings(max_examples=300, deadline=None)
@given(st.lists(acts, max_size=30))
def test_nothing_carried_is_lost_or_doubled_by_how_copies_end(sequence: list[tuple[Any, ...]]) -> None:
    run = run_of(sequence)
    again = State()
    for event in run.events:
        again.apply(event)
    assert again.hash() == run.state.hash()


STOPPED: list[tuple[Any, ...]] = [("buy", 60), ("buy", 90), ("end", 0, "stopped"), ("buy", 70)]


def test_what_a_stopped_copy_took_up_goes_into_the_next_one() -> None:
    run = run_of(STOPPED)
    (copy,) = (run.state.orders[order_id] for order_id in run.open)
    assert copy.quantity.value == D("0.013")  # 0.006 of the first purchase and 0.007 of the last


def test_what_came_since_is_carried_with_it_as_old_as_the_older() -> None:
    run = run_of([("buy", 60), ("buy", 90), ("buy", 20), ("end", 0, "refused")])
    carry = run.state.standing.carried[ALICE]["BTC/USD"]
    assert (carry.quantity, carry.price) == (Quantity.of("0.008"), Price.of(100))
    assert carry.since == START


@pytest.mark.parametrize("broken", ["not_placed", "placed", "take_up"])
def test_control_a_state_that_forgets_to_give_back_is_caught(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setattr(Standing, broken, lambda *_: None)
    with pytest.raises(AssertionError):
        run_of([*STOPPED, ("end", 0, "accepted")])


def test_a_copy_that_older_versions_wrote_gives_nothing_back() -> None:
    """Its event says nothing of what it took up: a replay counts as it always did."""
    run = run_of(STOPPED[:2])
    planned = run.events[-1]
    body = event_to_json(planned)
    assert body["copies"][0].pop("taken")
    state = State()
    for event in run.events[:-1]:
        state.apply(event)
    state.apply(event_from_json("CopiesPlanned", body))
    state.apply(OrderStopped(run.open[0], Reason.KILL_SWITCH, "", START))
    assert state.standing.carried == state.standing.taken == {}

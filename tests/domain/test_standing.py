"""What limits and carried entries leave in the live state: marks follow our own fills, trips come and go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved
from copytrade.domain.events import CopiesPlanned, OrderAccepted, OrderExecuted
from copytrade.domain.limits import (
    Carry,
    EquityMarked,
    LimitAction,
    LimitName,
    LimitRearmed,
    LimitTripped,
    Rearm,
)
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.standing import Standing
from copytrade.domain.state import State
from copytrade.domain.venue import ExecutionStatus

AT = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
ALICE = AccountId("kraken:alice_smith")
BOB = AccountId("kraken:bob_jones")
D = Decimal


def marked(**changes: object) -> EquityMarked:
    equity = Amount.of("1000")
    event = EquityMarked(ALICE, "2025-03-01", equity, equity, NO_AMOUNT, equity, {"USD": D(1000)}, AT)
    return replace(event, **changes)  # type: ignore[arg-type]


def tripped(limit: LimitName = LimitName.MAX_DRAWDOWN) -> LimitTripped:
    return LimitTripped(ALICE, limit, "20 %", LimitAction.BLOCK, Rearm.BY_HAND, AT)


def filled(state: State, side: Side, quantity: str, cost: str, fee: str, fee_base: str = "0") -> None:
    number = state.ended_count
    effect = Effect.ENTRY if side is Side.BUY else Effect.EXIT
    copy = Approved(
        f"copy{number}", f"signal{number}", ALICE, "BTC/USD", side, effect, OrderKind.MARKET, Quantity.of(quantity),
        Price.of("50000"), None, Reason.SIZED_BY_RATIO,
    )  # fmt: skip
    state.apply(CopiesPlanned(copy.signal_id, (copy,), AT))
    state.apply(OrderAccepted(copy.order_id, "V", AT, AT))
    half = (Quantity(copy.quantity.value / 2), Amount(D(cost) / 2), NO_AMOUNT, NO_QUANTITY)
    state.apply(OrderExecuted(copy.order_id, ExecutionStatus.OPEN, *half, AT))
    amounts = (Amount.of(cost), Amount.of(fee), Quantity.of(fee_base))
    state.apply(OrderExecuted(copy.order_id, ExecutionStatus.FILLED, copy.quantity, *amounts, AT))


def test_what_ought_to_be_held_follows_our_own_fills() -> None:
    state = State()
    state.apply(marked())
    filled(state, Side.BUY, "0.002", "100", "0.26", "0.00001")
    assert state.standing.marks[ALICE].holdings == {"USD": D("899.74"), "BTC": D("0.00199")}
    filled(state, Side.SELL, "0.001", "60", "0.15")
    assert state.standing.marks[ALICE].holdings == {"USD": D("959.59"), "BTC": D("0.00099")}


def test_an_account_without_a_mark_gets_none_by_a_fill() -> None:
    state = State()
    filled(state, Side.BUY, "0.002", "100", "0.26")
    assert state.standing.marks == {}


@pytest.mark.parametrize(
    ("limit", "start", "base", "high_water"),
    [
        (LimitName.MAX_DRAWDOWN, "1000", "1000", "700"),
        (LimitName.MAX_DAILY_LOSS, "700", "700", "1000"),
        (LimitName.MIN_EQUITY, "1000", "1000", "1000"),
    ],
)
def test_arming_again_lets_losses_count_anew(limit: LimitName, start: str, base: str, high_water: str) -> None:
    state = State()
    state.apply(marked())
    state.apply(tripped(limit))
    assert state.standing.trip(ALICE) is not None
    assert state.standing.trip(BOB) is None
    state.apply(LimitRearmed(ALICE, limit, "by hand", Amount.of("700"), AT))
    assert state.standing.trip(ALICE) is None
    mark = state.standing.marks[ALICE]
    assert (str(mark.start), str(mark.base), str(mark.high_water)) == (start, base, high_water)


def test_two_limits_are_armed_one_by_one() -> None:
    state = State()
    for limit in (LimitName.MAX_DRAWDOWN, LimitName.MIN_EQUITY):
        state.apply(tripped(limit))
    state.apply(LimitRearmed(ALICE, LimitName.MAX_DRAWDOWN, "by hand", None, AT))
    trip = state.standing.trip(ALICE)
    assert trip is not None
    assert trip.limit is LimitName.MIN_EQUITY


def test_the_hash_covers_marks_trips_and_what_is_carried() -> None:
    hashes = {State().hash()}
    for change in ("mark", "trip", "carry"):
        state = State()
        if change == "mark":
            state.apply(marked())
        elif change == "trip":
            state.apply(tripped())
        else:
            state.standing.carry(ALICE, Carry("BTC/USD", Quantity.of("1"), Price.of("1"), AT))
        hashes.add(state.hash())
    assert len(hashes) == 4


def test_what_is_drained_and_loaded_is_the_same_standing() -> None:
    state = State()
    for event in (marked(), tripped(), tripped(LimitName.MIN_EQUITY)):
        state.apply(event)
    state.standing.carry(ALICE, Carry("BTC/USD", Quantity.of("0.1"), Price.of("50000"), AT))
    again = Standing()
    for key, text in state.standing.drain().items():
        assert text is not None
        again.load(key, text)
    assert again.canonical() == state.standing.canonical()
    assert state.standing.drain() == {}
    state.standing.carry(ALICE, Carry("BTC/USD", NO_QUANTITY, Price.of("50000"), AT))
    assert state.standing.drain() == {("carry", ALICE, "BTC/USD"): None}
    with pytest.raises(ValueError, match="dream"):
        again.load(("dream", ALICE, ""), '{"at":"2025-03-01T12:00:00+00:00"}')

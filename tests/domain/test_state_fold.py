"""The fold: what events do to the live state, and that an event which may not happen does nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved, Skipped
from copytrade.domain.events import (
    AccountParked,
    CopiesPlanned,
    CopyDecided,
    Event,
    MasterIntended,
    OrderAccepted,
    OrderExecuted,
    OrderHeld,
    OrderProvedAbsent,
    OrderRefused,
    OrderReleased,
    OrderStopped,
    OrderUnknown,
    SignalEmitted,
    StrategyNoted,
)
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Effect, IllegalMove, OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import State
from copytrade.domain.venue import ExecutionStatus
from copytrade.domain.watching import OrderAmended, OrdersWatched, WatchEnded

AT = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
ALICE = AccountId("kraken:alice_smith")
COPY = Approved(
    order_id="copy1", signal_id="signal1", account=ALICE, symbol="BTC/USD", side=Side.BUY, effect=Effect.ENTRY,
    kind=OrderKind.MARKET, quantity=Quantity.of("0.01"), price=Price.of("10000"), limit_price=None,
    reason=Reason.SIZED_BY_RATIO,
)  # fmt: skip
INTENT = MasterIntended(
    order_id="master1", request_id="r1", source="manual", account=AccountId("kraken:master"), symbol="BTC/USD",
    side=Side.BUY, effect=Effect.ENTRY, kind=OrderKind.MARKET, quantity=Quantity.of("0.1"), price=Price.of("10000"),
    limit_price=None, equity_before=Amount.of("10000"), cash_before=None, position_before=NO_QUANTITY,
    exit_fraction=Decimal(0), at=AT,
)  # fmt: skip
SIGNAL = Signal(
    signal_id="signal1", kind=SignalKind.PLACED, master_order_id="master1", account=INTENT.account, symbol="BTC/USD",
    side=Side.BUY, effect=Effect.ENTRY, order_kind=OrderKind.MARKET, quantity=INTENT.quantity, price=INTENT.price,
    equity_before=INTENT.equity_before, cash_before=None, position_before=NO_QUANTITY, exit_fraction=Decimal(0), at=AT,
)  # fmt: skip


def executed(status: ExecutionStatus, quantity: str, fee_base: str = "0", order_id: str = "copy1") -> OrderExecuted:
    return OrderExecuted(order_id, status, Quantity.of(quantity), Amount.of("1"), NO_AMOUNT, Quantity.of(fee_base), AT)


def planned(*more: Event) -> State:
    state = State()
    for event in (SignalEmitted(SIGNAL), CopiesPlanned("signal1", (COPY,), AT), *more):
        state.apply(event)
    return state


def at_the_venue() -> State:
    return planned(OrderAccepted("copy1", "V1", AT, AT))


REFUSED_EVENTS: list[Event] = [
    CopyDecided(replace(COPY, quantity=Quantity.of("9")), AT),
    CopyDecided(Skipped("copy1", "signal1", ALICE, "BTC/USD", Side.BUY, Effect.ENTRY, Reason.DISABLED), AT),
    OrderAccepted("copy1", "V2", AT, AT),
    OrderRefused("copy1", Reason.INVALID_ORDER, "", AT),
    OrderUnknown("copy1", "", AT, AT),
    OrderProvedAbsent("copy1", AT),
    OrderStopped("copy1", Reason.KILL_SWITCH, "", AT),
    OrderHeld("copy1", Reason.KILL_SWITCH, "", AT),
    OrderReleased("copy1", AT),
    OrderAmended("nobody", Quantity.of("0.02"), AT),
    CopiesPlanned("signal1", (replace(COPY, order_id="copy2"), COPY), AT),
    CopiesPlanned("signal1", (replace(COPY, order_id="copy2"), replace(COPY, order_id="copy2")), AT),
    OrderAccepted("nobody", "V3", AT, AT),
]


@pytest.mark.parametrize("event", REFUSED_EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_that_may_not_happen_changes_nothing(event: Event) -> None:
    state = at_the_venue()
    before = state.hash()
    with pytest.raises((IllegalMove, KeyError, ValueError)):
        state.apply(event)
    assert state.hash() == before


def test_an_execution_of_an_order_that_was_not_accepted_moves_no_position() -> None:
    state = planned()
    before = state.hash()
    with pytest.raises(IllegalMove):
        state.apply(executed(ExecutionStatus.FILLED, "0.01"))
    assert state.hash() == before


def test_the_same_signal_twice_is_refused() -> None:
    state = State()
    state.apply(SignalEmitted(SIGNAL))
    with pytest.raises(ValueError, match="twice"):
        state.apply(SignalEmitted(SIGNAL))
    assert state.signals_count == 1


def test_totals_heard_twice_count_once() -> None:
    state = at_the_venue()
    state.apply(executed(ExecutionStatus.OPEN, "0.004"))
    state.apply(executed(ExecutionStatus.OPEN, "0.004"))
    assert state.position(ALICE, "BTC/USD") == Quantity.of("0.004")
    state.apply(executed(ExecutionStatus.FILLED, "0.01"))
    assert state.position(ALICE, "BTC/USD") == Quantity.of("0.01")
    assert not state.orders


def test_a_fee_in_base_does_not_arrive_on_a_buy_and_plays_no_part_in_a_sell() -> None:
    state = at_the_venue()
    state.apply(executed(ExecutionStatus.FILLED, "0.01", fee_base="0.0001"))
    assert state.position(ALICE, "BTC/USD") == Quantity.of("0.0099")
    sell = replace(COPY, order_id="copy2", side=Side.SELL, effect=Effect.EXIT, quantity=Quantity.of("0.0099"))
    state.apply(CopiesPlanned("signal2", (sell,), AT))
    state.apply(OrderAccepted("copy2", "V2", AT, AT))
    state.apply(executed(ExecutionStatus.FILLED, "0.0099", fee_base="0.0001", order_id="copy2"))
    assert state.positions == {}


def test_an_order_proved_absent_may_be_sent_as_if_for_the_first_time() -> None:
    state = planned(OrderUnknown("copy1", "connection reset", AT, AT), OrderProvedAbsent("copy1", AT))
    assert state.orders["copy1"].state is OrderState.APPROVED
    assert state.orders["copy1"].sent_at is None


def test_half_a_surrogate_pair_in_a_message_is_kept_as_text_a_file_can_hold() -> None:
    state = planned(OrderHeld("copy1", Reason.VENUE_REFUSED, "bad \ud800 text", AT))
    state.apply(AccountParked(ALICE, Reason.BAD_KEY, "\udfff", AT))
    assert state.orders["copy1"].detail == "bad ? text"
    assert state.parked[ALICE] == (Reason.BAD_KEY, "?")


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (SignalEmitted(replace(SIGNAL, price=Price.of("10001"))), "signal"),
        (SignalEmitted(replace(SIGNAL, equity_before=None)), "equity"),
    ],
)
def test_the_hash_covers_the_whole_signal(changed: SignalEmitted, name: str) -> None:
    one, other = State(), State()
    one.apply(SignalEmitted(SIGNAL))
    other.apply(changed)
    assert one.hash() != other.hash(), name
    for state in (one, other):
        state.apply(CopiesPlanned("signal1", (), AT))
    assert one.hash() != other.hash(), name


def test_the_hash_covers_the_whole_intent() -> None:
    one, other = State(), State()
    one.apply(INTENT)
    other.apply(replace(INTENT, equity_before=Amount.of("9999")))
    assert one.hash() != other.hash()


def test_the_hash_of_equal_numbers_is_equal() -> None:
    one, other = State(), State()
    one.apply(CopiesPlanned("signal1", (COPY,), AT))
    other.apply(CopiesPlanned("signal1", (replace(COPY, quantity=Quantity.of("0.0100")),), AT))
    assert one.hash() == other.hash()


def test_the_hash_covers_orders_at_their_end() -> None:
    one, other = planned(), planned()
    one.apply(OrderStopped("copy1", Reason.KILL_SWITCH, "", AT))
    other.apply(OrderStopped("copy1", Reason.KILL_SWITCH, "by hand", AT))
    assert one.hash() != other.hash()


def test_a_note_replaces_the_one_before_and_an_empty_one_takes_it_away() -> None:
    state, nothing = State(), State().hash()
    master = INTENT.account
    state.apply(StrategyNoted("apex", master, "BTC/USD", '{"stop":"97.90"}', AT))
    first = state.hash()
    state.apply(StrategyNoted("apex", master, "BTC/USD", '{"stop":"98.10"}', AT))
    assert state.notes == {(master, "BTC/USD"): ("apex", '{"stop":"98.10"}')}
    assert len({nothing, first, state.hash()}) == 3
    state.apply(StrategyNoted("apex", master, "BTC/USD", "", AT))
    assert state.notes == {}
    assert state.hash() == nothing


def test_an_order_that_rests_goes_on_under_the_terms_it_was_given_later() -> None:
    state = at_the_venue()
    state.apply(OrderAmended("copy1", Quantity.of("0.02"), AT, Price.of("9000")))
    record = state.orders["copy1"]
    assert (record.quantity, record.limit_price, record.state) == (
        Quantity.of("0.02"), Price.of("9000"), OrderState.ACCEPTED,
    )  # fmt: skip


def test_an_order_that_is_not_at_the_venue_cannot_be_amended_there() -> None:
    state = planned()
    with pytest.raises(IllegalMove):
        state.apply(OrderAmended("copy1", Quantity.of("0.02"), AT))


def test_until_when_an_account_has_been_watched_is_part_of_the_state() -> None:
    state, empty = State(), State().hash()
    state.apply(OrdersWatched(ALICE, AT, AT))
    assert state.standing.watched == {ALICE: AT}
    assert state.hash() != empty
    state.apply(WatchEnded(ALICE, AT))
    assert state.hash() == empty


@pytest.mark.parametrize(("beside", "left"), [("1.5", {}), ("0", {(INTENT.account, "BTC/USD"): Quantity.of("-0.5")})])
def test_a_sale_of_what_nobody_here_had_bought_leaves_no_position_short(
    beside: str, left: dict[tuple[AccountId, str], Quantity]
) -> None:
    state = State()
    intent = MasterIntended(
        "hand1", "by hand V9", "by hand", INTENT.account, "BTC/USD", Side.SELL, Effect.EXIT, OrderKind.MARKET,
        Quantity.of("0.5"), INTENT.price, None, None, None, Quantity.of(beside), Decimal("0.3"), AT,
        beside=Quantity.of(beside),
    )  # fmt: skip
    state.apply(intent)
    state.apply(OrderAccepted("hand1", "V9", AT, AT))
    state.apply(executed(ExecutionStatus.FILLED, "0.5", order_id="hand1"))
    assert state.positions == left

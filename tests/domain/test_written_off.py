"""A position that is written off: what the state counts afterwards, and what it refuses to forget."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved
from copytrade.domain.events import CopiesPlanned, OrderAccepted, OrderExecuted, event_from_json, event_to_json
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.standing import Standing
from copytrade.domain.state import State
from copytrade.domain.venue import ExecutionStatus
from copytrade.domain.writing_off import PositionWrittenOff, WrittenOff

AT = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
ALICE, BOB = AccountId("kraken:alice_smith"), AccountId("kraken:bob_jones")
GONE = PositionWrittenOff(ALICE, "BTC/USD", Quantity.of("0.003"), Reason.GONE_BY_HAND, AT, "0.003 of 0.01 is gone")


def holding(account: AccountId = ALICE) -> State:
    state = State()
    copy = Approved(
        "copy1", "signal1", account, "BTC/USD", Side.BUY, Effect.ENTRY, OrderKind.MARKET, Quantity.of("0.01"),
        Price.of("50000"), None, Reason.SIZED_BY_RATIO,
    )  # fmt: skip
    state.apply(CopiesPlanned("signal1", (copy,), AT))
    state.apply(OrderAccepted("copy1", "V1", AT, AT))
    whole = (Quantity.of("0.01"), Amount.of("500"), NO_AMOUNT, NO_QUANTITY)
    state.apply(OrderExecuted("copy1", ExecutionStatus.FILLED, *whole, AT))
    return state


def test_it_is_taken_off_the_position_and_remembered_in_its_order() -> None:
    state = holding()
    state.signals_count = 7
    state.apply(GONE)
    assert state.position(ALICE, "BTC/USD") == Quantity.of("0.007")
    state.apply(replace(GONE, quantity=Quantity.of("0.007")))
    assert state.positions == {}
    assert list(state.standing.gone[ALICE].values()) == [
        WrittenOff(7, "BTC/USD", Quantity.of("0.003"), AT), WrittenOff(7, "BTC/USD", Quantity.of("0.007"), AT)
    ]  # fmt: skip


@pytest.mark.parametrize("quantity", ["0", "-0.001", "0.0100001"])
def test_more_than_there_is_or_nothing_is_refused_and_changes_nothing(quantity: str) -> None:
    state = holding()
    before = state.hash()
    for event in (replace(GONE, quantity=Quantity.of(quantity)), replace(GONE, account=BOB)):
        with pytest.raises(ValueError, match="cannot be written off"):
            state.apply(event)
    assert state.hash() == before


def test_the_hash_tells_what_was_written_off_when_and_after_which_signal() -> None:
    hashes = set()
    for event, signals in (
        (None, 0), (GONE, 0), (GONE, 1), (replace(GONE, quantity=Quantity.of("0.004")), 0),
        (replace(GONE, at=AT.replace(hour=13)), 0),
    ):  # fmt: skip
        state = holding()
        state.signals_count = signals
        if event is not None:
            state.apply(event)
        state.signals_count = 0
        hashes.add(state.hash())
    assert len(hashes) == 5


def test_it_survives_the_disk() -> None:
    state = holding()
    state.standing.drain()
    for part in ("0.003", "0.002"):
        state.apply(replace(GONE, quantity=Quantity.of(part)))
    written = state.standing.drain()
    for order in (list(written), list(reversed(written))):
        loaded = Standing()
        for key in order:
            text = written[key]
            assert text is not None
            loaded.load(key, text)
        assert loaded.canonical() == state.standing.canonical()
        assert [each.quantity.value for each in loaded.gone[ALICE].values()] == [Decimal("0.003"), Decimal("0.002")]


def test_its_json_is_read_back() -> None:
    assert event_from_json("PositionWrittenOff", event_to_json(GONE)) == GONE

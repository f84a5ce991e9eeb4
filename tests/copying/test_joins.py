"""The entries of late joiners: what they may cost, what is tried again, and that drift adds up over several of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product

import pytest
from test_drift import ALICE, BTC, D, Run

from copytrade.copying import drift as drift_module
from copytrade.copying.drift import Cause, DriftFold, repairable, total
from copytrade.copying.joins import lacking
from copytrade.copying.plan import decide
from copytrade.copying.rules import BelowMinimum, CopyRules, FollowerBook
from copytrade.domain.account import FollowerTerms
from copytrade.domain.copy import Approved, Decision, Skipped
from copytrade.domain.money import NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord

LIMIT = Price.of("100.07")


def joining(quantity: str, *, own: bool = False, limit: Price | None = LIMIT) -> Signal:
    signal = Run().signal(True, Quantity(D(quantity)), SignalKind.JOIN)
    signal = replace(signal, order_kind=OrderKind.IOC_LIMIT, limit_price=limit, master_order_id="", target=ALICE)
    return replace(signal, equity_before=None, cash_before=None) if own else signal


def decided(signal: Signal, rules: CopyRules | None = None, **fields: object) -> Decision:
    terms = FollowerTerms(ALICE, max_user_risk=D(1), **fields)  # type: ignore[arg-type]
    book = FollowerBook(
        terms, BTC, equity=Amount.of(1_000), cash=Amount.of(1_000), equity_at=signal.at, price=Price.of(90)
    )
    return decide(signal, book, rules or CopyRules(below_minimum=BelowMinimum.ROUND_UP), signal.at)


def test_the_limit_is_the_masters_average_on_the_tick_or_within_the_slippage() -> None:
    better, full = decided(joining("1")), decided(joining("1", limit=None))
    assert isinstance(better, Approved)
    assert isinstance(full, Approved)
    assert (better.kind, better.limit_price) == (OrderKind.IOC_LIMIT, Price.of("100.0"))
    assert (full.kind, full.limit_price) == (OrderKind.IOC_LIMIT, Price.of("100.5"))


def test_a_cap_holds_at_the_limit() -> None:
    for limit in (LIMIT, None, Price.of(120)):
        copy = decided(joining("50", limit=limit), max_order=Amount.of(70))
        assert isinstance(copy, Approved)
        assert copy.limit_price is not None
        assert copy.reason is Reason.CAPPED_BY_MAX_ORDER
        assert D(69) < (copy.quantity * copy.limit_price).value <= D(70)


def test_a_later_entry_is_for_what_lacks_and_never_rounded_up_beyond_that() -> None:
    copy = decided(joining("0.0123", own=True))
    assert isinstance(copy, Approved)
    assert (copy.quantity, copy.ideal) == (Quantity(D("0.0123")), NO_QUANTITY)
    assert isinstance(decided(joining("0.0001", own=True)), Skipped)
    assert isinstance(decided(joining("0.0001")), Approved), "the first one is rounded up, as the settings say"


def over(signal: Signal, copy: Decision, filled: Decimal, state: OrderState | None = None) -> OrderRecord:
    """The copy, at its end."""
    assert isinstance(copy, Approved)
    at_end = state or (OrderState.FILLED if filled >= copy.quantity.value else OrderState.CANCELLED)
    fee = Quantity(filled * D("0.001"))
    return OrderRecord(
        f"c{signal.signal_id}", Role.COPY, signal.signal_id, ALICE, "BTC/USD", copy.side, copy.effect, copy.kind,
        at_end, copy.reason, "", copy.quantity, copy.price, copy.limit_price, 0, signal.at, filled=Quantity(filled),
        fee_base=fee, ideal=copy.ideal,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "reason", "left"),
    [
        (OrderState.CANCELLED, Reason.SIZED_BY_RATIO, "0.75"), (OrderState.FILLED, Reason.SIZED_BY_RATIO, "0"),
        (OrderState.STOPPED, Reason.PRICE_MOVED, "1"), (OrderState.STOPPED, Reason.KILL_SWITCH, "0"),
        (OrderState.SKIPPED, Reason.ENTRY_EXPIRED, "1"), (OrderState.SKIPPED, Reason.NO_FREE_CASH, "0"),
        (OrderState.REFUSED, Reason.PRICE_MOVED, "0"), (OrderState.ACCEPTED, Reason.SIZED_BY_RATIO, "0"),
    ],
)  # fmt: skip
def test_what_the_price_or_the_time_kept_is_tried_again_and_nothing_else(
    state: OrderState, reason: Reason, left: str
) -> None:
    signal = joining("10")
    filled = {OrderState.FILLED: "1", OrderState.CANCELLED: "0.25"}.get(state, "0")
    record = replace(over(signal, decided(signal), D(filled), state), reason=reason, quantity=Quantity(D(1)))
    assert lacking(record) == Quantity(D(left))
    assert not lacking(replace(record, cancel=Reason.BY_OPERATOR))


def joined(fills: tuple[str, ...], max_order: Amount | None) -> DriftFold:
    """A joining in as many entries, each of which fills by its share."""
    fold = DriftFold(lambda symbol: BTC.lot_step)
    quantity, own = Quantity(D("3.21")), False
    for number, share in enumerate(fills):
        signal = replace(joining(str(quantity), own=own), signal_id=f"s{number}")
        copy = decided(signal, max_order=max_order)
        if not isinstance(copy, Approved):
            break
        record = over(signal, copy, (copy.quantity.value * D(share)).quantize(BTC.lot_step))
        fold.take(signal, None, [record])
        quantity, own = lacking(record), True
        if not quantity:
            break
    return fold


@pytest.mark.parametrize("fills", list(product(("0", "0.3", "1"), repeat=3)))
@pytest.mark.parametrize("max_order", [None, Amount.of(20)])
def test_the_causes_add_up_over_all_entries(fills: tuple[str, ...], max_order: Amount | None) -> None:
    (drift,) = joined(fills, max_order).drifts.values()
    assert total(drift.causes.values()) == drift.error
    whole = joined(("1",), max_order).drifts["BTC/USD"]
    assert drift.ideal == whole.ideal, "the ideal is counted once"
    missing = drift.causes.get(Cause.LATE_JOIN.value, D(0))
    left = D(1)
    for share in fills:
        left *= 1 - D(share)
    assert abs(missing + left * (whole.actual / D("0.999"))) <= 3 * BTC.lot_step
    assert set(drift.causes) <= {"late_join", "fee", "rounding", "cap: capped_by_max_order"}
    assert not repairable(Cause.LATE_JOIN.value)


def test_a_part_under_another_cause_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(drift_module, "_LATER", frozenset())
    with pytest.raises(AssertionError):
        test_the_causes_add_up_over_all_entries(("0.3", "0.3", "1"), None)

"""When a limit trips, and what losses are counted from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from copying_cases import NOW, D, book_of, decimals, entry_signal, exit_signal, terms_of
from hypothesis import given
from hypothesis import strategies as st

from copytrade.copying.flows import Flow
from copytrade.copying.limits import breaches, next_mark, usage
from copytrade.copying.plan import decide
from copytrade.copying.routing import first_that_can
from copytrade.copying.rules import CopyRules
from copytrade.domain.account import FollowerTerms, Mode, account_id
from copytrade.domain.copy import Approved, Skipped
from copytrade.domain.limits import ActingLimit, LimitAction, LimitName, Mark, Rearm, Trip
from copytrade.domain.money import NO_AMOUNT, Amount, Quantity
from copytrade.domain.reasons import Reason

NO_FLOW = Flow(NO_AMOUNT, False)
RULES = CopyRules()


def paid(amount: str | Decimal) -> Flow:
    return Flow(Amount(D(amount)), True)


def mark_of(equity: str = "1000", **changes: object) -> Mark:
    mark = next_mark(None, Amount.of(equity), {}, NO_FLOW, NOW)
    assert mark is not None
    return replace(mark, **changes)  # type: ignore[arg-type]


def share(value: str) -> ActingLimit:
    return ActingLimit(share=D(value))


def amount(value: str) -> ActingLimit:
    return ActingLimit(amount=Amount.of(value))


@pytest.mark.parametrize(
    ("limit", "holds", "trips"),
    [
        ({"max_daily_loss": amount("50")}, "950.01", "950"),
        ({"max_daily_loss": share("0.05")}, "950.01", "950"),
        ({"max_drawdown": share("0.2")}, "800.01", "800"),
        ({"min_equity": amount("100")}, "100", "99.99"),
    ],
)
def test_a_limit_trips_when_it_is_reached_and_not_before(
    limit: dict[str, ActingLimit], holds: str, trips: str
) -> None:
    terms = terms_of(**limit)
    assert breaches(terms, mark_of(), Amount.of(holds)) == []
    (breach,) = breaches(terms, mark_of(), Amount.of(trips))
    assert breach.limit.value in limit
    assert breach.detail


def test_without_a_mark_only_the_floor_can_trip() -> None:
    terms = terms_of(max_daily_loss=amount("1"), max_drawdown=share("0.01"), min_equity=amount("100"))
    assert [b.limit for b in breaches(terms, None, Amount.of("1"))] == [LimitName.MIN_EQUITY]


def test_the_high_water_rises_with_the_equity_and_never_falls() -> None:
    mark = mark_of("1000")
    assert next_mark(mark, Amount.of("1000.5"), {}, NO_FLOW, NOW) is None  # not worth a line in the ledger
    risen = next_mark(mark, Amount.of("1100"), {}, NO_FLOW, NOW)
    assert risen is not None
    assert risen.high_water == Amount.of("1100")
    assert next_mark(risen, Amount.of("900"), {}, NO_FLOW, NOW) is None


def test_a_new_day_counts_from_its_first_equity_and_keeps_the_high_water() -> None:
    tomorrow = NOW + timedelta(days=1)
    mark = next_mark(mark_of("1000"), Amount.of("900"), {}, NO_FLOW, tomorrow)
    assert mark is not None
    assert (mark.day, mark.start, mark.base, mark.high_water) == (
        tomorrow.date().isoformat(), Amount.of("900"), Amount.of("900"), Amount.of("1000")
    )  # fmt: skip
    # A clock that goes back does not begin an old day anew.
    assert next_mark(mark, Amount.of("500"), {}, NO_FLOW, NOW) is None


equities = decimals("10", "100000", 2)


@given(high=equities, now=equities, payment=decimals("-100000", "100000", 2))
def test_a_payment_changes_neither_the_drawdown_nor_the_days_loss(high: D, now: D, payment: D) -> None:
    now = min(high, now)
    payment = max(payment, D("1") - now)  # something stays
    before = mark_of(str(high))
    after = next_mark(before, Amount(now + payment), {"USD": now}, paid(payment), NOW)
    assert after is not None
    lost_before, lost_after = 1 - now / high, 1 - (now + payment) / after.high_water.value
    # A gain that came with the payment aside (`high_water` is at least the equity), the loss is the same share.
    assert abs(lost_after - lost_before) < D("1e-9") or after.high_water.value == now + payment
    assert abs((1 - (now + payment) / after.base.value) - lost_before) < D("1e-9")
    assert after.start.value + after.flows.value - (now + payment) == high - now


@given(st.lists(st.tuples(equities, decimals("-50", "50", 2)), min_size=1, max_size=20))
def test_the_drawdown_is_never_less_than_the_fall_from_any_earlier_equity(steps: list[tuple[D, D]]) -> None:
    """Without payments: from every high there was, whatever came after."""
    mark, highest = None, D(0)
    for equity, _ in steps:
        mark = next_mark(mark, Amount(equity), {}, NO_FLOW, NOW) or mark
        highest = max(highest, equity)
        assert mark is not None
        assert highest / (1 + D("0.001")) <= mark.high_water.value <= highest


def test_everything_paid_out_and_in_again_begins_anew() -> None:
    out = next_mark(mark_of("1000"), Amount.of("0"), {}, paid("-1000"), NOW)
    assert out is not None
    terms = terms_of(max_drawdown=share("0.1"), max_daily_loss=share("0.1"))
    assert breaches(terms, out, NO_AMOUNT) == []
    back = next_mark(out, Amount.of("500"), {}, paid("500"), NOW)
    assert back is not None
    assert (back.high_water, back.base) == (Amount.of("500"), Amount.of("500"))


# -- the plan ----------------------------------------------------------------------------------------------------------


def trip(limit: LimitName = LimitName.MAX_DRAWDOWN) -> Trip:
    return Trip(limit, "20 % lost", LimitAction.BLOCK, Rearm.BY_HAND, NOW)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (LimitName.MAX_DAILY_LOSS, Reason.DAILY_LOSS_LIMIT),
        (LimitName.MAX_DRAWDOWN, Reason.DRAWDOWN_LIMIT),
        (LimitName.MIN_EQUITY, Reason.EQUITY_FLOOR),
    ],
)
def test_a_tripped_limit_stops_entries_by_its_own_reason_and_no_exit(limit: LimitName, reason: Reason) -> None:
    book = book_of(trip=trip(limit), position=Quantity.of("1"))
    skipped = decide(entry_signal(), book, RULES, NOW)
    assert isinstance(skipped, Skipped)
    assert (skipped.reason, skipped.detail) == (reason, "20 % lost")
    assert isinstance(decide(exit_signal(), book, RULES, NOW), Approved)


def test_a_tripped_limit_does_not_send_the_entry_to_the_next_account() -> None:
    first = book_of(trip=trip(), unreachable=(Reason.NOT_CONNECTED, ""))
    first = replace(first, terms=replace(first.terms, failover=True))
    second = replace(book_of(), terms=FollowerTerms(account_id("kraken", "second")))
    assert first_that_can(entry_signal(), [first, second], RULES, NOW).reason is Reason.DRAWDOWN_LIMIT
    untripped = replace(first, trip=None)
    assert isinstance(first_that_can(entry_signal(), [untripped, second], RULES, NOW), Approved)


def test_max_positions_stops_a_new_instrument_and_no_other() -> None:
    terms = terms_of(max_positions=3)
    assert decide(entry_signal(), book_of(terms=terms, instruments=3), RULES, NOW).reason is Reason.AT_POSITION_LIMIT
    assert isinstance(decide(entry_signal(), book_of(terms=terms, instruments=2), RULES, NOW), Approved)
    held = book_of(terms=terms, instruments=3, position=Quantity.of("0.1"))
    assert isinstance(decide(entry_signal(), held, RULES, NOW), Approved)


@pytest.mark.parametrize("mode", [Mode.CLOSE_ONLY, Mode.PAUSED, Mode.DISARMED])
def test_a_mode_of_an_instrument_names_it_and_stops_no_other(mode: Mode) -> None:
    terms = terms_of(modes={"BTC/USD": mode, "ETH/USD": Mode.ACTIVE})
    skipped = decide(entry_signal(), book_of(terms=terms), RULES, NOW)
    assert (skipped.reason, skipped.detail) == (Reason.INSTRUMENT_MODE, f"BTC/USD is {mode}")  # type: ignore[union-attr]
    other = terms_of(modes={"ETH/USD": mode})
    assert isinstance(decide(entry_signal(), book_of(terms=other), RULES, NOW), Approved)


def test_the_stricter_of_two_spellings_counts() -> None:
    terms = terms_of(modes={"BTC/USD": Mode.CLOSE_ONLY, "BTC/USDT": Mode.DISARMED})
    assert terms.mode_of(("BTC/USD", "BTC/USDT")) == (Mode.DISARMED, "BTC/USDT")
    assert terms.mode_of(("ETH/USD",)) == (Mode.ACTIVE, "")


def test_usage_says_how_much_of_each_limit_is_used() -> None:
    terms = terms_of(
        max_order=Amount.of("50"), max_exposure=Amount.of("500"), max_positions=4, max_daily_loss=amount("100"),
        max_drawdown=share("0.2"), min_equity=amount("450"),
    )  # fmt: skip
    rows = usage(terms, mark_of("1000"), Amount.of("900"), {LimitName.MAX_DRAWDOWN: trip()}, Amount.of("125"), 1)
    assert [(row.limit.value, row.used, row.allowed, row.share) for row in rows] == [
        ("max_order", None, "50", None),
        ("max_exposure", "125", "500", D("0.25")),
        ("max_positions", "1", "4", D("0.25")),
        ("max_daily_loss", "100", "100", D("1")),
        ("max_drawdown", "10.00 %", "20.00 %", D("0.5")),
        ("min_equity", "900", "450", D("0.5")),
    ]
    assert [row.limit for row in rows if row.trip] == [LimitName.MAX_DRAWDOWN]
    unknown = usage(terms, None, None, {}, None, 0)
    assert [row.used for row in unknown] == [None, None, "0", None, None, None]

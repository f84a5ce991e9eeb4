"""One account's month, put together from the facts, and its form as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from copytrade.statements.fees import Fee, FeePeriod, performance_fee
from copytrade.statements.payments import within
from copytrade.statements.profit import CostMethod, InstrumentProfit, Valued, profits
from copytrade.statements.returns import Tracking, time_weighted, tracking
from copytrade.statements.values import FINE, ZERO, Gone, Month, Payment, Point, Trade

Json = dict[str, Any]

SLACK = timedelta(minutes=15)
"""The rhythm of the history of equity as it comes."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why less (or more) is held than the master's position implies: base asset, and its value where a price is
    known."""

    symbol: str
    cause: str
    quantity: Decimal
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Terms:
    """How it is reckoned."""

    rate: Decimal
    period: FeePeriod = FeePeriod.MONTH
    method: CostMethod = CostMethod.AVERAGE


@dataclass(frozen=True, slots=True)
class Facts:
    """All there is to know. Lists are oldest first; `points` are by month from the account's first reading on, in
    `currency`; `trades` are from the first on. The master's are those of the month, one reading before it included."""

    account: str
    name: str
    month: Month
    currency: str
    as_of: datetime
    trades: Sequence[Trade]
    points: Mapping[Month, Sequence[Point]]
    payments: Sequence[Payment]
    payments_source: str
    master: Sequence[Point] = ()
    master_payments: Sequence[Payment] = ()
    prices_before: Mapping[str, Valued] = field(default_factory=dict)
    prices_after: Mapping[str, Valued] = field(default_factory=dict)
    causes: Sequence[Cause] = ()
    gone: Sequence[Gone] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Total:
    """All instruments of one quote currency together; None while a price is lacking."""

    currency: str
    trades: int
    bought: Decimal
    sold: Decimal
    fees: Decimal
    realised: Decimal
    unrealised: Decimal | None
    profit: Decimal | None


@dataclass(frozen=True, slots=True)
class Statement:
    """What a month came to."""

    facts: Facts
    terms: Terms
    opening: Point | None
    closing: Point | None
    trades: Sequence[Trade]
    instruments: Sequence[InstrumentProfit]
    totals: Sequence[Total]
    payments: Sequence[Payment]
    tracking: Tracking | None
    own_return: Decimal | None
    fee: Fee | None
    notes: Sequence[str]


def make_statement(facts: Facts, terms: Terms) -> Statement:
    """Reckon one month."""
    month = facts.month
    instruments, trades = profits(
        facts.trades, month.start, month.end, facts.prices_before, facts.prices_after, terms.method, facts.gone
    )
    points = _with_the_one_before(facts)
    opening, closing = (points[0], points[-1]) if points else (None, None)
    payments = within(facts.payments, opening.at, closing.at) if opening and closing else []
    notes = list(facts.notes)
    own = time_weighted(points, payments)
    against = None
    if own is not None:
        master = same_time(facts.master, own.start, own.end)
        whole = time_weighted(master, facts.master_payments)
        if whole is not None:
            against = tracking(own, whole)
    fee = performance_fee(facts.points, facts.payments, terms.rate, terms.period, month)
    over = facts.as_of >= month.end
    if not over:
        as_of = facts.as_of.isoformat(timespec="minutes")
        notes.append(f"the month is not over: as of {as_of}, and the fee is what it would be")
    if opening is None:
        notes.append("no equity was read in this month: there is no return and no fee")
    for each in facts.gone:
        if month.start <= each.at < month.end:
            notes.append(f"{each.symbol}: {each.quantity.normalize():f} was written off on {each.at:%Y-%m-%d}: the "
                         "account's owner had sold it or taken it away, and it is in no profit")  # fmt: skip
    for row in instruments:
        if row.unmatched:
            notes.append(f"{row.symbol}: {row.unmatched.normalize():f} was sold that no copy had bought: its proceeds "
                         "are in no profit")  # fmt: skip
        if row.quantity and row.price is None:
            notes.append(f"{row.symbol}: no price is known, so what is held is not valued; give one with --price")
    return Statement(
        facts, terms, opening, closing, trades, instruments, _totals(instruments), payments, against,
        None if own is None else own.total, fee, notes,
    )  # fmt: skip


def same_time(points: Sequence[Point], start: datetime, end: datetime) -> list[Point]:
    """The readings from `start` to `end`, with the ones just outside: accounts are not read at the same instant."""
    before = [point for point in points if start - SLACK <= point.at <= start][-1:]
    after = [point for point in points if end <= point.at <= end + SLACK][:1]
    return [*before, *(point for point in points if start < point.at < end), *after]


def _with_the_one_before(facts: Facts) -> list[Point]:
    """The month's readings, and the last one before it, which is what the month began with."""
    earlier = [month for month in facts.points if month < facts.month and facts.points[month]]
    points = list(facts.points.get(facts.month, ()))
    return [facts.points[max(earlier)][-1], *points] if earlier and points else points


def _totals(instruments: Sequence[InstrumentProfit]) -> list[Total]:
    totals = []
    for currency in sorted({row.currency for row in instruments}):
        rows = [row for row in instruments if row.currency == currency]
        unrealised = [row.unrealised for row in rows if row.unrealised is not None]
        profit = [row.profit for row in rows if row.profit is not None]
        totals.append(
            Total(
                currency, sum(row.trades for row in rows), _sum(row.bought for row in rows),
                _sum(row.sold for row in rows), _sum(row.fees for row in rows), _sum(row.realised for row in rows),
                _sum(unrealised) if len(unrealised) == len(rows) else None,
                _sum(profit) if len(profit) == len(rows) else None,
            )
        )  # fmt: skip
    return totals


def _sum(parts: Any) -> Decimal:
    found = ZERO
    for part in parts:
        found = FINE.add(found, part)
    return found


# -- as JSON values -------------------------------------------------------------------------------------------------


def statement_json(statement: Statement) -> Json:
    """Decimals as text with all digits that matter, times as ISO 8601 in UTC."""
    facts, fee, against = statement.facts, statement.fee, statement.tracking
    return {
        "account": facts.account, "name": facts.name, "month": str(facts.month), "currency": facts.currency,
        "equity": {"opening": _point(statement.opening), "closing": _point(statement.closing)},
        "payments": {
            "source": facts.payments_source,
            "total": text(_sum(payment.amount for payment in statement.payments)),
            "rows": [{"at": p.at.isoformat(), "amount": text(p.amount)} for p in statement.payments],
        },
        "trades": [_trade(trade) for trade in statement.trades],
        "instruments": [_instrument(row) for row in statement.instruments],
        "totals": [_total(row) for row in statement.totals],
        "cost_method": statement.terms.method.value,
        "return": {
            "own": text(statement.own_return),
            "master": text(against.master if against else None),
            "difference": text(against.difference if against else None),
            "tracking_error_daily": text(against.error if against else None),
            "days": against.days if against else 0,
        },
        "causes": [
            {"instrument": c.symbol, "cause": c.cause, "quantity": text(c.quantity), "value": text(c.value)}
            for c in facts.causes
        ],
        "fee": None if fee is None else {
            "rate": text(fee.rate), "period": statement.terms.period.value, "due": fee.due,
            "high_water_before": text(fee.mark_before), "high_water": text(fee.mark), "equity": text(fee.equity),
            "gain": text(fee.gain), "amount": text(fee.amount), "high_water_after": text(fee.mark_after),
        },
        "notes": list(statement.notes),
    }  # fmt: skip


_DIGITS = Decimal("1e-10")


def text(value: Decimal | None) -> str | None:
    """Plain, to ten digits behind the point, without zeros that say nothing."""
    if value is None:
        return None
    shown = f"{value.quantize(_DIGITS, context=FINE):f}".rstrip("0").rstrip(".")
    return "0" if shown in ("", "-0") else shown


def _point(point: Point | None) -> Json | None:
    return None if point is None else {"at": point.at.isoformat(), "equity": text(point.equity)}


def _trade(trade: Trade) -> Json:
    return {
        "at": trade.at.isoformat(), "order_id": trade.order_id, "instrument": trade.symbol,
        "side": "buy" if trade.buy else "sell", "quantity": text(trade.quantity), "price": text(trade.price),
        "cost": text(trade.cost), "fee": text(trade.fee), "fee_base": text(trade.fee_base),
        "currency": trade.currency,
    }  # fmt: skip


def _instrument(row: InstrumentProfit) -> Json:
    return {
        "instrument": row.symbol, "currency": row.currency, "trades": row.trades, "bought": text(row.bought),
        "sold": text(row.sold), "fees": text(row.fees), "realised": text(row.realised),
        "quantity": text(row.quantity), "cost": text(row.cost), "price": text(row.price),
        "priced_at": None if row.priced_at is None else row.priced_at.isoformat(),
        "unrealised": text(row.unrealised), "unrealised_before": text(row.unrealised_before),
        "profit": text(row.profit), "unmatched": text(row.unmatched),
    }  # fmt: skip


def _total(row: Total) -> Json:
    return {
        "currency": row.currency, "trades": row.trades, "bought": text(row.bought), "sold": text(row.sold),
        "fees": text(row.fees), "realised": text(row.realised), "unrealised": text(row.unrealised),
        "profit": text(row.profit),
    }  # fmt: skip

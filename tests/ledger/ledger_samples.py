"""Made-up signals, plans and histories. A history is drawn from the table of order life, so it is always legal."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.events import (
    AccountCleared,
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
from copytrade.domain.ids import copy_id, master_order_id, signal_id
from copytrade.domain.independence import IndependenceBegan, IndependenceEnded
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
from copytrade.domain.order import MOVES, Effect, Move, OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord, State
from copytrade.domain.venue import ExecutionStatus
from copytrade.domain.watching import OrderAmended, OrdersWatched, WatchEnded
from copytrade.domain.writing_off import PositionWrittenOff

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
MASTER = AccountId("kraken:master")


def follower(number: int) -> AccountId:
    return AccountId(f"kraken:user_{number}")


def intent(request: str, at: datetime = START, side: Side = Side.BUY) -> MasterIntended:
    return MasterIntended(
        order_id=master_order_id(MASTER, request), request_id=request, source="manual", account=MASTER,
        symbol="BTC/USD", side=side, effect=Effect.ENTRY if side is Side.BUY else Effect.EXIT, kind=OrderKind.MARKET,
        quantity=Quantity.of("0.10"), price=Price.of("10000"), limit_price=None, equity_before=Amount.of("10000.00"),
        cash_before=Amount.of("9000"), position_before=NO_QUANTITY, exit_fraction=Decimal(0), at=at,
    )  # fmt: skip


def signal(request: str, at: datetime = START, side: Side = Side.BUY) -> Signal:
    order = intent(request, at, side)
    return Signal(
        signal_id=signal_id(order.order_id, SignalKind.PLACED), kind=SignalKind.PLACED, master_order_id=order.order_id,
        account=MASTER, symbol=order.symbol, side=side, effect=order.effect, order_kind=order.kind,
        quantity=order.quantity, price=order.price, equity_before=order.equity_before, cash_before=order.cash_before,
        position_before=order.position_before, exit_fraction=order.exit_fraction, at=at,
    )  # fmt: skip


def approved(of: Signal, account: AccountId, leg: int = 0, quantity: str = "0.01") -> Approved:
    return Approved(
        order_id=copy_id(of.signal_id, account, leg), signal_id=of.signal_id, account=account, symbol=of.symbol,
        side=of.side, effect=of.effect, kind=OrderKind.MARKET, quantity=Quantity.of(quantity), price=of.price,
        limit_price=None, reason=Reason.SIZED_BY_RATIO, detail="1,000 of 10,000", leg=leg,
    )  # fmt: skip


def unsized(cls: type[Skipped] | type[Deferred], of: Signal, account: AccountId) -> Skipped | Deferred:
    reason = Reason.BELOW_MINIMUM if cls is Skipped else Reason.WAITS_FOR_EQUITY
    return cls(copy_id(of.signal_id, account), of.signal_id, account, of.symbol, of.side, of.effect, reason, "")


def plan(of: Signal, followers: int, at: datetime = START) -> CopiesPlanned:
    return CopiesPlanned(of.signal_id, tuple(approved(of, follower(n)) for n in range(followers)), at)


def accepted(order_id: str, at: datetime = START) -> OrderAccepted:
    return OrderAccepted(order_id, f"V-{order_id}", at, at)


def filled(order_id: str, quantity: str = "0.01", at: datetime = START) -> OrderExecuted:
    return OrderExecuted(
        order_id, ExecutionStatus.FILLED, Quantity.of(quantity), Amount.of("100"), Amount.of("0.26"), NO_QUANTITY, at
    )


class History:
    """Draws one legal event after the other, for a state that somebody else folds. Same seed, same draws."""

    def __init__(self, seed: int, copies_max: int = 6) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._drawn = 0
        self._copies_max = copies_max

    def draw(self, state: State) -> Event:
        self._drawn += 1
        at = START + timedelta(seconds=self._drawn, microseconds=self._random.choice((0, 1, 250_000)))
        if state.unplanned and self._chance(0.6):
            return self._plan(state, at)
        choice = self._random.random()
        if choice < 0.08 or not state.orders:
            return intent(f"{self._seed}-{self._drawn}", at, self._random.choice(list(Side)))
        if choice < 0.16:
            return SignalEmitted(signal(f"{self._seed}-{self._drawn}", at, self._random.choice(list(Side))))
        if choice < 0.20:
            return AccountParked(follower(self._random.randrange(3)), Reason.BAD_KEY, "EAPI:Invalid key", at)
        if choice < 0.23:
            return AccountCleared(follower(self._random.randrange(3)), at)
        if choice < 0.28:
            memory = self._random.choice(("", '{"stop":"97.90"}', '{"stop":"98.10"}'))
            return StrategyNoted("apex", MASTER, self._random.choice(("BTC/USD", "ETH/USD")), memory, at)
        if choice < 0.36:
            return self._limit(at)
        if choice < 0.38:
            return self._random.choice((OrdersWatched(MASTER, at, at), WatchEnded(MASTER, at)))
        if choice < 0.40:
            return self._random.choice((IndependenceBegan(MASTER, at), IndependenceEnded(MASTER, at)))
        if choice < 0.43 and (held := sorted(key for key, quantity in state.positions.items() if quantity.value > 0)):
            account, symbol = self._random.choice(held)
            part = state.positions[account, symbol].scaled(self._random.choice((Decimal(1), Decimal("0.5"))))
            return PositionWrittenOff(account, symbol, part, Reason.GONE_BY_HAND, at, "seen twice")
        record = self._pick(state)
        return self._move(record, at)

    def _limit(self, at: datetime) -> Event:
        account, equity = follower(self._random.randrange(3)), Amount.of(self._number())
        limit = self._random.choice((LimitName.MAX_DAILY_LOSS, LimitName.MAX_DRAWDOWN, LimitName.MIN_EQUITY))
        choice = self._random.randrange(3)
        if choice == 0:
            holdings = {"USD": equity.value, "BTC": Decimal(self._number())}
            return EquityMarked(account, "2025-03-01", equity, equity, NO_AMOUNT, equity, holdings, at)
        if choice == 1:
            return LimitTripped(account, limit, "5 % of 100", self._random.choice(list(LimitAction)), Rearm.BY_HAND, at)
        return LimitRearmed(account, limit, "by hand", self._random.choice((None, equity)), at)

    def _carry(self, of: Signal) -> Carry | None:
        quantity = self._random.choice((NO_QUANTITY, Quantity.of(self._number())))
        return self._random.choice((None, Carry(of.symbol, quantity, of.price, of.at)))

    def _taken(self, of: Signal) -> Carry | None:
        return Carry(of.symbol, Quantity.of(self._number()), of.price, of.at) if self._chance(0.5) else None

    def _pick(self, state: State) -> OrderRecord:
        """One of the oldest open orders: the order of `orders` is that of planning, before and after a restart."""
        oldest = list(islice(state.orders.values(), 50))
        return self._random.choice(oldest)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _plan(self, state: State, at: datetime) -> CopiesPlanned:
        of = state.unplanned[self._random.choice(sorted(state.unplanned))]
        copies: list[Decision] = []
        for number in range(self._random.randint(0, self._copies_max)):
            kind = self._random.randrange(4)
            account = follower(number)
            if kind == 0:
                copies.append(replace(unsized(Skipped, of, account), carry=self._carry(of)))
            elif kind == 1:
                copies.append(unsized(Deferred, of, account))
            else:
                copy = approved(of, account, quantity=self._number())
                copies.append(replace(copy, carry=self._carry(of), taken=self._taken(of)))
        return CopiesPlanned(of.signal_id, tuple(copies), at)

    def _number(self) -> str:
        return str(Decimal(self._random.randrange(1, 10**9)).scaleb(self._random.randrange(-8, 2)))

    def _move(self, record: OrderRecord, at: datetime) -> Event:
        moves = [move for state, move in MOVES if state is record.state]
        move = self._random.choice(moves)
        order_id = record.order_id
        detail = self._random.choice(("", "EOrder:Insufficient funds", "Größe unter 5 €", 'a "quoted" \\ thing'))
        reason = self._random.choice(list(Reason))
        if move in (Move.APPROVE, Move.SKIP):
            return self._decide(record, move, reason, detail, at)
        if move is Move.PROGRESS and self._chance(0.2):
            return OrderAmended(order_id, Quantity.of(self._number()), at, stop_price=Price.of(self._number()))
        if move in (Move.PROGRESS, Move.FILL, Move.CANCEL):
            return self._execute(record, move, detail, at)
        if move is Move.ACCEPT:
            return OrderAccepted(order_id, f"O{self._random.randrange(10**6)}", at if self._chance(0.5) else None, at)
        if move is Move.LOSE:
            return OrderUnknown(order_id, detail, at, at)
        if move is Move.PROVE_ABSENT:
            return OrderProvedAbsent(order_id, at)
        if move is Move.RELEASE:
            return OrderReleased(order_id, at)
        if move is Move.REFUSE:
            return OrderRefused(order_id, reason, detail, at)
        said = OrderStopped if move is Move.STOP else OrderHeld
        return said(order_id, reason, detail, at)

    def _decide(self, record: OrderRecord, move: Move, reason: Reason, detail: str, at: datetime) -> CopyDecided:
        words = (record.order_id, record.signal_id or "", record.account, record.symbol, record.side, record.effect)
        if move is Move.SKIP:
            return CopyDecided(Skipped(*words, reason, detail, record.leg), at)
        limit = Price.of(self._number()) if self._chance(0.5) else None
        kind = OrderKind.IOC_LIMIT if limit else OrderKind.MARKET
        sized = (kind, Quantity.of(self._number()), Price.of(self._number()), limit)
        return CopyDecided(Approved(*words, *sized, reason, detail, record.leg), at)

    def _execute(self, record: OrderRecord, move: Move, detail: str, at: datetime) -> OrderExecuted:
        status = ExecutionStatus.CANCELLED
        if move is not Move.CANCEL:
            status = ExecutionStatus.OPEN if move is Move.PROGRESS else ExecutionStatus.FILLED
        done = record.filled.value + Decimal(self._random.randrange(0, 5)) / 8
        return OrderExecuted(
            record.order_id, status, Quantity(done), Amount(done * 100), Amount.of("0.0100"),
            Quantity(done / 1000) if self._chance(0.3) else NO_QUANTITY, at, detail,
        )  # fmt: skip

"""Chains kept in memory are what the ledger's file gives, whatever happens to an order and to the copies of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.events import (
    CancelAsked,
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
)
from copytrade.domain.ids import copy_id, signal_id
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import MOVES, Effect, Move, OrderKind, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import ExecutionStatus
from copytrade.engine import chains as chains_module
from copytrade.engine.chains import NO_CHAIN, Chains, reread
from copytrade.ledger.store import Ledger

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
MASTER = AccountId("kraken:master")
ACCOUNTS = [AccountId(name) for name in ("kraken:alice_smith", "okx:alice_smith", "kraken:bob_jones")]
MARKETS = ("BTC/USD", "BTC/USDT")
MakeChains = Callable[[Ledger], Chains]


class Life:
    """One order of the master's, those that take its place, and the copies of all: one legal step after the other."""

    def __init__(self, seed: int, effect: Effect, name: str = "first") -> None:
        self._random = random.Random(seed)
        self.effect = effect
        self.side = Side.BUY if effect is Effect.ENTRY else Side.SELL
        self.signals: list[Signal] = []
        self.name = name
        self._at = START

    def step(self, ledger: Ledger) -> list[Event]:
        """What happens next, as it would be appended."""
        self._at += timedelta(seconds=1)
        state, draw = ledger.state, self._random.random()
        waiting = [signal for signal in self.signals if signal.signal_id in state.unplanned]
        if waiting and draw < 0.7:
            return [CopiesPlanned(waiting[0].signal_id, self._copies(waiting[0]), self._at)]
        if not self.signals or draw < 0.12:
            return self._signal(ledger)
        if draw < 0.2 and (late := self._late(ledger)) is not None:
            return [late]
        mine = [r for r in state.orders.values() if r.role is Role.COPY]
        return self._moved(self._random.choice(mine)) if mine else self._signal(ledger)

    def _signal(self, ledger: Ledger) -> list[Event]:
        """The order is placed, changed, or over; now and then the one before is still open then."""
        number = len(self.signals)
        kind = self._random.choice([SignalKind.AMENDED, SignalKind.CANCELLED, SignalKind.FILLED])
        kind = kind if number else SignalKind.PLACED
        before = self.signals[-1].master_order_id if number else ""
        begins = not kind.follows_up
        order_id = f"{self.name}{number}" if begins else before
        events: list[Event] = []
        if before in ledger.state.orders and self._chance(0.8):
            events.append(self._execution(before, ExecutionStatus.CANCELLED, NO_QUANTITY))
        if begins:
            intent = MasterIntended(
                order_id, order_id, "manual", MASTER, "BTC/USD", self.side, self.effect, OrderKind.LIMIT,
                Quantity.of("1"), Price.of(100), Price.of(100), None, None, Quantity.of("1"), Decimal("0.5"), self._at,
                replaces=f"{self.name}0" if number else "",
            )  # fmt: skip
            events += [intent, OrderAccepted(order_id, f"V{order_id}", self._at, self._at)]
        signal = Signal(
            signal_id(order_id, f"{kind} {number}"), kind, order_id, MASTER, "BTC/USD", self.side, self.effect,
            OrderKind.LIMIT, self._number(), Price.of(100), None, None, Quantity.of("1"), Decimal("0.5"), self._at,
            replaces=f"{self.name}0" if number and order_id != f"{self.name}0" else "",
        )  # fmt: skip
        self.signals.append(signal)
        return [*events, SignalEmitted(signal)]

    def _copies(self, signal: Signal) -> tuple[Decision, ...]:
        found = []
        for account in ACCOUNTS:
            markets = MARKETS if self.effect is Effect.EXIT and self._chance(0.4) else MARKETS[:1]
            if self._chance(0.8):
                found += [self._copy(signal, account, m, "" if m == markets[0] else m) for m in markets]
        return tuple(found)

    def _copy(self, signal: Signal, account: AccountId, symbol: str, market: str) -> Decision:
        words = (
            copy_id(signal.signal_id, account, 0, market), signal.signal_id, account, symbol, self.side, self.effect,
        )  # fmt: skip
        draw = self._random.random()
        if draw < 0.2:
            return Skipped(*words, Reason.BELOW_MINIMUM, "")
        if draw < 0.5:
            return Deferred(*words, Reason.WAITS_FOR_FILLS, "")
        return Approved(*words, OrderKind.LIMIT, self._number(), Price.of(100), Price.of(100), Reason.SIZED_BY_RATIO)

    def _late(self, ledger: Ledger) -> CopiesPlanned | None:
        """The copy of an earlier signal at an account that had none: another account could not place it."""
        signal, account = self._random.choice(self.signals), self._random.choice(ACCOUNTS)
        if signal.signal_id in ledger.state.unplanned or ledger.copies_of(signal.signal_id, account):
            return None
        return CopiesPlanned(signal.signal_id, (self._copy(signal, account, "BTC/USD", ""),), self._at)

    def _moved(self, record: OrderRecord) -> list[Event]:
        order_id, at = record.order_id, self._at
        if self._chance(0.1):
            return [CancelAsked(order_id, Reason.MASTER_CANCELLED, at)]
        move = self._random.choice([move for state, move in MOVES if state is record.state])
        words = (order_id, record.signal_id or "", record.account, record.symbol, record.side, record.effect)
        if move is Move.APPROVE:  # it may have found another market by then
            words = (*words[:3], self._random.choice(MARKETS), *words[4:])
            sized = (OrderKind.LIMIT, self._number(), Price.of(100), Price.of(100))
            return [CopyDecided(Approved(*words, *sized, Reason.SIZED_BY_RATIO, leg=record.leg), at)]
        if move is Move.SKIP:
            return [CopyDecided(Skipped(*words, Reason.BELOW_MINIMUM, "", record.leg), at)]
        if move in (Move.PROGRESS, Move.FILL, Move.CANCEL):
            return self._executed(record, move)
        reason = self._random.choice((Reason.OPPOSITE_ORDER, Reason.VENUE_REFUSED))
        said: dict[Move, Event] = {
            Move.ACCEPT: OrderAccepted(order_id, f"V{order_id}", at, at), Move.LOSE: OrderUnknown(order_id, "", at, at),
            Move.PROVE_ABSENT: OrderProvedAbsent(order_id, at), Move.RELEASE: OrderReleased(order_id, at),
            Move.REFUSE: OrderRefused(order_id, reason, "", at), Move.STOP: OrderStopped(order_id, reason, "", at),
            Move.HOLD: OrderHeld(order_id, reason, "", at),
        }  # fmt: skip
        return [said[move]]

    def _executed(self, record: OrderRecord, move: Move) -> list[Event]:
        """What the venue says; a copy that was cut short may have a next leg, in the same transaction."""
        status = {Move.PROGRESS: ExecutionStatus.OPEN, Move.FILL: ExecutionStatus.FILLED}.get(
            move, ExecutionStatus.CANCELLED
        )
        filled = record.filled + Quantity(Decimal(self._random.randrange(3)) / 4)
        events: list[Event] = [self._execution(record.order_id, status, filled)]
        if move is Move.CANCEL and self._chance(0.4):
            first = record.order_id == copy_id(record.signal_id or "", record.account, record.leg)
            leg = record.leg + 1
            identity = copy_id(record.signal_id or "", record.account, leg, "" if first else record.symbol)
            again = Deferred(
                identity, record.signal_id or "", record.account, record.symbol, record.side, record.effect,
                Reason.RESTS_AGAIN, "", leg,
            )  # fmt: skip
            events.append(CopiesPlanned(again.signal_id, (again,), self._at))
        return events

    def _execution(self, order_id: str, status: ExecutionStatus, filled: Quantity) -> OrderExecuted:
        return OrderExecuted(
            order_id, status, filled, Amount(filled.value * 100), NO_AMOUNT, NO_QUANTITY, self._at, ""
        )

    def _number(self) -> Quantity:
        return Quantity(Decimal(self._random.randrange(1, 9)) / 8)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share


def differences(ledger: Ledger, chains: Chains, signal: Signal) -> list[str]:
    """Where what is kept differs from what the file gives, for a signal that asks."""
    read = reread(ledger, signal)
    found = []
    for account in ACCOUNTS:
        for market in MARKETS:
            key = (account, market if signal.effect is Effect.EXIT else "")
            if chains.of(signal, account, market) != read.get(key, NO_CHAIN):
                found.append(f"{signal.kind} of {key}")
    if (kept := chains.all(signal)) != read:
        found.append(f"{signal.kind}: kept {kept}, the file has {read}")
    return found


async def live(folder: Path, seed: int, effect: Effect, make: MakeChains, steps: int = 30) -> list[str]:
    """Two runs of one life, the second one with a family that the first had begun. What is found on the way."""
    life, found = Life(seed, effect), []
    for run in range(2):
        with Ledger.open(folder / "ledger.sqlite3") as ledger:
            chains = make(ledger)
            if run:
                reading = asyncio.create_task(chains.load(life.signals[-1]))
                for _ in range(12):  # the life goes on meanwhile
                    await asyncio.sleep(0)
                    ledger.append(life.step(ledger))
                await reading
            for number in range(steps):
                receipt = ledger.append(life.step(ledger), hurry=True)
                if number % 7 == 0:
                    await receipt
                assert chains.knows(life.signals[0])
                found += differences(ledger, chains, life.signals[-1 - number % min(3, len(life.signals))])
    return found


@pytest.mark.parametrize("effect", list(Effect))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_what_is_kept_is_what_the_file_gives(
    tmp_path_factory: pytest.TempPathFactory, effect: Effect, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("life")
    assert asyncio.run(live(folder, seed, effect, lambda ledger: Chains(ledger, part=1))) == []


class Deaf(Chains):
    """Hears of no next leg."""

    def planned(self, signal_id: str, records: object) -> None:
        if any(record.leg == 0 for record in records):  # type: ignore[attr-defined]
            super().planned(signal_id, records)  # type: ignore[arg-type]


def seeds_that_show(folder: Path, make: MakeChains, effect: Effect = Effect.EXIT) -> list[int]:
    shown = []
    for seed in range(8):
        (own := folder / str(seed)).mkdir()
        if asyncio.run(live(own, seed, effect, make)):
            shown.append(seed)
            break
    return shown


def test_control_a_leg_that_nobody_hears_of_is_seen(tmp_path: Path) -> None:
    assert seeds_that_show(tmp_path, Deaf)


def test_control_sums_of_what_is_not_over_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_over(self: chains_module._Kept, before: int) -> None:
        for _, begins, record in self.entries[:-1]:
            self.sums.setdefault("", chains_module._Sum()).take(record, begins=begins)
        del self.entries[:-1]

    monkeypatch.setattr(chains_module._Kept, "_sum_up", all_over)
    assert seeds_that_show(tmp_path, Chains, Effect.ENTRY)


def test_control_a_late_copy_that_is_put_last_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def last(self: chains_module._Kept, number: int, begins: Quantity, record: OrderRecord) -> None:
        self.entries.append((max([number, *(entry[0] for entry in self.entries)]), begins, record))

    monkeypatch.setattr(chains_module._Kept, "take", last)
    assert seeds_that_show(tmp_path, Chains, Effect.ENTRY)


# -- how long a family is kept ---------------------------------------------------------------------------------------


async def over(ledger: Ledger, name: str) -> Signal:
    """An order of the master's that is placed, copied, and taken back with all that was copied of it."""
    life = Life(1, Effect.ENTRY, name)
    placed = life.step(ledger)
    ledger.append(placed)
    signal = life.signals[0]
    copy = Approved(
        copy_id(signal.signal_id, ACCOUNTS[0]), signal.signal_id, ACCOUNTS[0], "BTC/USD", Side.BUY, Effect.ENTRY,
        OrderKind.LIMIT, Quantity.of("1"), Price.of(100), Price.of(100), Reason.SIZED_BY_RATIO,
    )  # fmt: skip
    ledger.append([CopiesPlanned(signal.signal_id, (copy,), START), OrderAccepted(copy.order_id, "V", START, START)])
    gone = replace(signal, kind=SignalKind.CANCELLED, signal_id=signal_id(signal.master_order_id, "gone"))
    ledger.append([life._execution(signal.master_order_id, ExecutionStatus.CANCELLED, NO_QUANTITY)])
    ledger.append([SignalEmitted(gone), CopiesPlanned(gone.signal_id, (), START)])
    await ledger.append([life._execution(copy.order_id, ExecutionStatus.CANCELLED, NO_QUANTITY)])
    return signal


async def test_a_family_that_is_over_is_forgotten_after_a_while_and_read_again_if_it_is_asked_for(
    tmp_path: Path,
) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        chains = Chains(ledger)
        signals = [await over(ledger, f"order {number} ") for number in range(6)]
        assert [chains.knows(signal) for signal in signals] == [False, False, False, True, True, True]
        first = signals[0]
        assert chains.of(replace(first, signal_id="later"), ACCOUNTS[0], "BTC/USD").wanted == Quantity.of("1")
        await chains.load(first)
        assert chains.knows(first)
        assert not chains.knows(signals[3]), "no more of them are kept than before"


async def test_a_family_with_an_open_copy_an_open_order_or_a_signal_to_be_answered_is_kept(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        chains = Chains(ledger)
        life = Life(1, Effect.ENTRY, "resting ")
        ledger.append(life.step(ledger))
        waiting = life.signals[0]
        for number in range(5):
            await over(ledger, f"order {number} ")
        assert chains.knows(waiting)
        ledger.append([CopiesPlanned(waiting.signal_id, (), START)])
        for number in range(5, 10):
            await over(ledger, f"order {number} ")
        assert chains.knows(waiting), "the master's order rests"


async def test_two_that_ask_at_once_read_the_file_once_and_both_hear_of_its_fault(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        signal = await over(ledger, "order ")
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        chains = Chains(ledger)
        first, second = asyncio.create_task(chains.load(signal)), asyncio.create_task(chains.load(signal))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert chains.knows(signal)
        assert chains.all(replace(signal, signal_id="later")) == reread(ledger, replace(signal, signal_id="later"))

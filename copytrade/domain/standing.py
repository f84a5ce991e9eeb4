"""The part of the live state that limits, carried entries and watching are made of; changed by `State.apply` alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.instrument import base_of
from copytrade.domain.limits import (
    Carry,
    EquityMarked,
    LimitAction,
    LimitName,
    LimitRearmed,
    LimitTripped,
    Mark,
    Rearm,
    Trip,
    carry_from_json,
    carry_to_json,
    holdings_from_json,
    holdings_to_json,
)
from copytrade.domain.money import NO_AMOUNT, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.writing_off import WrittenOff

Key = tuple[str, AccountId, str]
"""Of one entry: mark, trip, carry, taken, gone, watch or alone; the account; the limit's name, the master's symbol, the
order that has taken a carried entry up, or the number of what was written off."""

_DOWN = Context(prec=34, rounding=ROUND_DOWN)


@dataclass(slots=True)
class Standing:
    """Marks by account, trips by account and limit, carried entries by account and the master's symbol, and those that
    copies have taken up which are not at a venue yet, by account and order.

    `changed` names the entries that differ from what was last drained, for whoever keeps them on disk.
    """

    marks: dict[AccountId, Mark] = field(default_factory=dict)
    trips: dict[AccountId, dict[LimitName, Trip]] = field(default_factory=dict)
    carried: dict[AccountId, dict[str, Carry]] = field(default_factory=dict)
    taken: dict[AccountId, dict[str, Carry]] = field(default_factory=dict)
    gone: dict[AccountId, dict[str, WrittenOff]] = field(default_factory=dict)  # written off, numbered in their order
    watched: dict[AccountId, datetime] = field(default_factory=dict)  # orders from before then are dealt with
    alone: dict[AccountId, datetime] = field(default_factory=dict)  # since when it trades by itself
    changed: set[Key] = field(default_factory=set, compare=False)

    def trip(self, account: AccountId) -> Trip | None:
        """The first limit of the account that has tripped."""
        found = self.trips.get(account)
        return next(iter(found.values())) if found else None

    # -- the events ------------------------------------------------------------------------------------------------

    def marked(self, e: EquityMarked) -> None:
        self._set_mark(
            e.account, Mark(e.day, e.start, e.base, e.flows, e.high_water, dict(e.holdings), e.at)
        )

    def tripped(self, e: LimitTripped) -> None:
        detail = e.detail.encode("utf-8", "replace").decode()
        self.trips.setdefault(e.account, {})[e.limit] = Trip(e.limit, detail, e.action, e.rearm, e.at)
        self.changed.add(("trip", e.account, e.limit.value))

    def rearmed(self, e: LimitRearmed) -> None:
        """Losses count from now on: otherwise the limit would trip again at once."""
        found = self.trips.get(e.account, {})
        if found.pop(e.limit, None) is not None:
            self.changed.add(("trip", e.account, e.limit.value))
            if not found:
                del self.trips[e.account]
        mark = self.marks.get(e.account)
        if mark is None or e.equity is None:
            return
        if e.limit is LimitName.MAX_DRAWDOWN:
            self._set_mark(e.account, replace(mark, high_water=e.equity))
        elif e.limit is LimitName.MAX_DAILY_LOSS:
            self._set_mark(e.account, replace(mark, start=e.equity, base=e.equity, flows=NO_AMOUNT))

    def executed(self, account: AccountId, symbol: str, side: Side, arrived: Decimal, paid: Decimal) -> None:
        """Our own order filled further: `arrived` more of the base and `paid` more of the quote currency, fees
        included; both are the size of the change, on a sale of what left and what came in."""
        mark = self.marks.get(account)
        if mark is None or not (arrived or paid):
            return
        sign = 1 if side is Side.BUY else -1
        quote = symbol.rpartition("/")[2] if "/" in symbol else "USD"  # a stock is paid in dollars
        holdings = dict(mark.holdings)
        for asset, change in ((base_of(symbol), sign * arrived), (quote, -sign * paid)):
            holdings[asset] = holdings.get(asset, Decimal(0)) + change
        self._set_mark(account, replace(mark, holdings=holdings))

    def watch(self, account: AccountId, before: datetime | None) -> None:
        """The account's orders from before then are dealt with; None: it is not watched."""
        if before is None:
            self.watched.pop(account, None)
        else:
            self.watched[account] = before
        self.changed.add(("watch", account, ""))

    def independence(self, account: AccountId, since: datetime | None) -> None:
        """The account trades by itself since then; None: it is copied to."""
        if since is None:
            self.alone.pop(account, None)
        else:
            self.alone[account] = since
        self.changed.add(("alone", account, ""))

    def carry(self, account: AccountId, carry: Carry) -> None:
        """A plan's word on what is kept of the instrument for the next signal."""
        self._set_carry(account, carry.symbol, carry if carry.quantity else None)

    def take_up(self, account: AccountId, order_id: str, carry: Carry) -> None:
        """A copy has taken up what was carried. It may yet be stopped before it leaves."""
        self._set_taken(account, order_id, carry)

    def placed(self, account: AccountId, order_id: str) -> None:
        """The copy is at its venue: what it took up has been bought, or is about to be."""
        if order_id in self.taken.get(account, ()):
            self._set_taken(account, order_id, None)

    def not_placed(self, account: AccountId, order_id: str) -> None:
        """The copy never got to its venue: what it took up is carried again, together with what has come since."""
        given = self.taken.get(account, {}).get(order_id)
        if given is None:
            return
        self._set_taken(account, order_id, None)
        kept = self.carried.get(account, {}).get(given.symbol)
        self._set_carry(account, given.symbol, given if kept is None else _together(given, kept))

    def write_off(self, account: AccountId, gone: WrittenOff) -> None:
        """So much of the account's copied position is no longer there."""
        known = self.gone.setdefault(account, {})
        name = f"{len(known) + 1:06d}"
        known[name] = gone
        self.changed.add(("gone", account, name))

    def answered(self, signal: Signal) -> None:
        """A signal has been answered for the first time: what it takes away of the carried entries, those included
        that a copy has taken up which is not at its venue yet.

        An exit of the master's cancels the same fraction. What puts one account right, or takes it out, leaves
        nothing to carry.
        """
        if not self.carried and not self.taken:
            return
        if signal.kind in (SignalKind.FLATTEN, SignalKind.JOIN, SignalKind.REPAIR):
            accounts: Iterable[AccountId] = (
                [AccountId(signal.target)] if signal.target else [*self.carried, *self.taken]
            )
            for account in accounts:
                for symbol in list(self.carried.get(account, ())):
                    if base_of(symbol) == base_of(signal.symbol):
                        self._set_carry(account, symbol, None)
                for order_id, taken in list(self.taken.get(account, {}).items()):
                    if base_of(taken.symbol) == base_of(signal.symbol):
                        self._set_taken(account, order_id, None)
            return
        # An order that does not fill at once has taken nothing away yet: its end tells how much it has.
        if signal.effect is Effect.ENTRY or not signal.exit_fraction:
            return
        if not signal.kind.follows_up and signal.order_kind is not OrderKind.MARKET:
            return
        for account in list(self.carried):
            carry = self.carried[account].get(signal.symbol)
            if carry is not None:
                self._set_carry(account, signal.symbol, _less(carry, signal.exit_fraction))
        for account in list(self.taken):
            for order_id, taken in list(self.taken[account].items()):
                if taken.symbol == signal.symbol:
                    self._set_taken(account, order_id, _less(taken, signal.exit_fraction))

    # -- to and from the disk ----------------------------------------------------------------------------------------

    def drain(self) -> dict[Key, str | None]:
        """What has changed since the last call, as it stands now: JSON text, or None for what is gone."""
        drained = {key: self._text(key) for key in self.changed}
        self.changed.clear()
        return drained

    def canonical(self) -> list[list[Any]]:
        """Everything, in a fixed order: equal standings give equal lists."""
        keys: list[Key] = [("mark", account, "") for account in self.marks]
        keys += [("trip", account, limit.value) for account, trips in self.trips.items() for limit in trips]
        keys += [("carry", account, symbol) for account, kept in self.carried.items() for symbol in kept]
        keys += [("taken", account, order_id) for account, taken in self.taken.items() for order_id in taken]
        keys += [("gone", account, name) for account, gone in self.gone.items() for name in gone]
        keys += [("watch", account, "") for account in self.watched]
        keys += [("alone", account, "") for account in self.alone]
        return [[*key, self._text(key)] for key in sorted(keys)]

    def load(self, key: Key, text: str) -> None:
        """Take one entry from the disk. Raises `KeyError`, `ValueError` or `TypeError` for a spoiled one."""
        kind, account, name = key
        body = json.loads(text)
        at = datetime.fromisoformat(body["since" if kind in ("carry", "taken") else "at"])
        if kind == "mark":
            start, base, flows, high = (Amount.of(body[part]) for part in ("start", "base", "flows", "high_water"))
            self.marks[account] = Mark(body["day"], start, base, flows, high, holdings_from_json(body["holdings"]), at)
        elif kind == "trip":
            trip = Trip(LimitName(name), body["detail"], LimitAction(body["action"]), Rearm(body["rearm"]), at)
            self.trips.setdefault(account, {})[trip.limit] = trip
        elif kind == "carry":
            self.carried.setdefault(account, {})[name] = carry_from_json(body)
        elif kind == "taken":
            self.taken.setdefault(account, {})[name] = carry_from_json(body)
        elif kind == "gone":
            gone = WrittenOff(body["after"], body["symbol"], Quantity.of(body["quantity"]), at)
            self.gone[account] = dict(sorted({**self.gone.get(account, {}), name: gone}.items()))
        elif kind == "watch":
            self.watched[account] = at
        elif kind == "alone":
            self.alone[account] = at
        else:
            raise ValueError(f"{kind!r} is no kind of entry")

    def _text(self, key: Key) -> str | None:
        kind, account, name = key
        body: dict[str, Any]
        if kind == "mark":
            mark = self.marks.get(account)
            if mark is None:
                return None
            body = {
                "day": mark.day, "start": str(mark.start), "base": str(mark.base), "flows": str(mark.flows),
                "high_water": str(mark.high_water), "holdings": holdings_to_json(mark.holdings),
                "at": mark.at.isoformat(),
            }  # fmt: skip
        elif kind == "trip":
            trip = self.trips.get(account, {}).get(LimitName(name))
            if trip is None:
                return None
            body = {
                "detail": trip.detail, "action": trip.action.value, "rearm": trip.rearm.value,
                "at": trip.at.isoformat(),
            }  # fmt: skip
        elif kind in ("watch", "alone"):
            before = (self.watched if kind == "watch" else self.alone).get(account)
            if before is None:
                return None
            body = {"at": before.isoformat()}
        elif kind == "gone":
            gone = self.gone.get(account, {}).get(name)
            if gone is None:
                return None
            body = {
                "after": gone.after, "symbol": gone.symbol, "quantity": str(gone.quantity), "at": gone.at.isoformat(),
            }  # fmt: skip
        else:
            carry = (self.carried if kind == "carry" else self.taken).get(account, {}).get(name)
            if carry is None:
                return None
            body = carry_to_json(carry)
        return json.dumps(body, separators=(",", ":"), sort_keys=True)

    def _set_mark(self, account: AccountId, mark: Mark) -> None:
        self.marks[account] = mark
        self.changed.add(("mark", account, ""))

    def _set_carry(self, account: AccountId, symbol: str, carry: Carry | None) -> None:
        if carry is not None:
            self.carried.setdefault(account, {})[symbol] = carry
        else:
            kept = self.carried.get(account, {})
            if kept.pop(symbol, None) is None:
                return
            if not kept:
                del self.carried[account]
        self.changed.add(("carry", account, symbol))

    def _set_taken(self, account: AccountId, order_id: str, carry: Carry | None) -> None:
        if carry is not None:
            self.taken.setdefault(account, {})[order_id] = carry
        else:
            taken = self.taken.get(account, {})
            taken.pop(order_id, None)
            if not taken:
                self.taken.pop(account, None)
        self.changed.add(("taken", account, order_id))


def _less(carry: Carry, fraction: Decimal) -> Carry | None:
    """What is left of it when the master has closed this fraction."""
    with localcontext(_DOWN):
        left = carry.quantity.scaled(max(Decimal(0), 1 - fraction))
    return replace(carry, quantity=left) if left else None


def _together(one: Carry, other: Carry) -> Carry:
    """Both, at the price of both on average, as old as the older one."""
    with localcontext(_DOWN):
        quantity = one.quantity + other.quantity
        worth = one.quantity * one.price + other.quantity * other.price
        return Carry(one.symbol, quantity, Price(worth.value / quantity.value), min(one.since, other.since))

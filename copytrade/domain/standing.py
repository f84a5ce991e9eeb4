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
from copytrade.domain.money import NO_AMOUNT, Amount
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.signal import Signal, SignalKind

Key = tuple[str, AccountId, str]
"""Of one entry: mark, trip, carry, watch or alone; the account; the limit's name or the master's symbol."""

_DOWN = Context(prec=34, rounding=ROUND_DOWN)


@dataclass(slots=True)
class Standing:
    """Marks by account, trips by account and limit, carried entries by account and the master's symbol.

    `changed` names the entries that differ from what was last drained, for whoever keeps them on disk.
    """

    marks: dict[AccountId, Mark] = field(default_factory=dict)
    trips: dict[AccountId, dict[LimitName, Trip]] = field(default_factory=dict)
    carried: dict[AccountId, dict[str, Carry]] = field(default_factory=dict)
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

    def answered(self, signal: Signal) -> None:
        """A signal has been answered for the first time: what it takes away of the carried entries.

        An exit of the master's cancels the same fraction. What puts one account right, or takes it out, leaves
        nothing to carry.
        """
        if not self.carried:
            return
        if signal.kind in (SignalKind.FLATTEN, SignalKind.JOIN, SignalKind.REPAIR):
            accounts: Iterable[AccountId] = [AccountId(signal.target)] if signal.target else list(self.carried)
            for account in accounts:
                for symbol in list(self.carried.get(account, ())):
                    if base_of(symbol) == base_of(signal.symbol):
                        self._set_carry(account, symbol, None)
            return
        # An order that does not fill at once has taken nothing away yet: its end tells how much it has.
        if signal.effect is Effect.ENTRY or not signal.exit_fraction:
            return
        if not signal.kind.follows_up and signal.order_kind is not OrderKind.MARKET:
            return
        for account in list(self.carried):
            carry = self.carried[account].get(signal.symbol)
            if carry is not None:
                with localcontext(_DOWN):
                    left = carry.quantity.scaled(max(Decimal(0), 1 - signal.exit_fraction))
                self._set_carry(account, signal.symbol, replace(carry, quantity=left) if left else None)

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
        keys += [("watch", account, "") for account in self.watched]
        keys += [("alone", account, "") for account in self.alone]
        return [[*key, self._text(key)] for key in sorted(keys)]

    def load(self, key: Key, text: str) -> None:
        """Take one entry from the disk. Raises `KeyError`, `ValueError` or `TypeError` for a spoiled one."""
        kind, account, name = key
        body = json.loads(text)
        at = datetime.fromisoformat(body["since" if kind == "carry" else "at"])
        if kind == "mark":
            start, base, flows, high = (Amount.of(body[part]) for part in ("start", "base", "flows", "high_water"))
            self.marks[account] = Mark(body["day"], start, base, flows, high, holdings_from_json(body["holdings"]), at)
        elif kind == "trip":
            trip = Trip(LimitName(name), body["detail"], LimitAction(body["action"]), Rearm(body["rearm"]), at)
            self.trips.setdefault(account, {})[trip.limit] = trip
        elif kind == "carry":
            self.carried.setdefault(account, {})[name] = carry_from_json(body)
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
        else:
            carry = self.carried.get(account, {}).get(name)
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

"""What the console shows: read from the running engine in the event loop's own thread, a few microseconds an account.

Everything that is in the ledger is read from its file in another thread (`records.py`); here is what only the process
knows: who is connected, which lanes work, balances as last seen, the kill switch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from copytrade.console.web.particulars import Progress, carried, drift_rows, loop_of, loops, scans
from copytrade.domain.account import AccountId, user_of, venue_of
from copytrade.domain.order import OrderState
from copytrade.engine.roster import Member
from copytrade.engine.service import Engine

Json = dict[str, Any]
DriftProvider = Callable[[AccountId], str | None]
"""A few words on how far an account is from what it should hold; None where it is where it should be."""
FactsProvider = Callable[[str], Mapping[str, str]]
"""More facts on a venue by name (budget left, breakers), as words for the health page."""

_JUST_BEGUN_S = 1.0  # planning and writing down a signal for 10,000 followers takes less

# Limits of a follower that the page shows, where its terms have them.
_LIMITS = ("max_user_risk", "multiplier", "max_order", "max_exposure")


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One account as it stands now. `lane` is ready, busy, connecting, off, held, parked or down."""

    account: str
    name: str
    mode: str
    equity: str
    cash: str
    currency: str
    lane: str
    lane_text: str
    depth: int
    positions: int
    drift: str


class Sources(Protocol):
    """Where the pages get the live part of what they show. All calls are quick and made on the event loop."""

    def busy(self) -> bool:
        """Whether a fan-out is under way: then pages wait, not orders."""
        ...

    def now(self) -> datetime: ...

    def kill_state(self) -> str: ...

    def accounts(self) -> Iterator[LiveRow]:
        """The master first, then the followers in the order of their files."""
        ...

    def head(self) -> Json:
        """Figures for the top of every page."""
        ...

    def follower(self, account: str) -> Json | None:
        """Terms, limits with what is used of them, and balances of one account; None for an unknown one."""
        ...

    def health(self) -> Json: ...


@dataclass(slots=True)
class _Counts:
    """Taken once for all rows of a look."""

    positions: dict[str, int] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)


class EngineSources:
    """The running system. `redact` cleans texts that came from outside."""

    def __init__(
        self,
        engine: Engine,
        mode: str,
        strategy: str,
        redact: Callable[[str], str],
        drift: DriftProvider | None = None,
        venue_facts: FactsProvider | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._engine = engine
        self._services = engine.services
        self._mode = mode
        self._strategy = strategy
        self._redact = redact
        self._drift = drift
        self._venue_facts = venue_facts
        self._progress = progress or dict
        self._begun: dict[str, float] = {}

    def busy(self) -> bool:
        if self._services.sends_in_flight or self._services.ledger.state.unplanned:
            return True
        # Planned and not yet on the wire: what has just begun is under way. What stays open for longer waits for
        # something else (a parked lane, an unknown outcome), and pages need not wait for that.
        now = time.monotonic()
        self._begun = {key: self._begun.get(key, now) for key in self._engine.tracker.open_keys()}
        return any(now - at < _JUST_BEGUN_S for at in self._begun.values())

    def now(self) -> datetime:
        return self._services.clock()

    def kill_state(self) -> str:
        return self._services.kill.look().value

    def accounts(self) -> Iterator[LiveRow]:
        counts = self._counts()
        for member in list(self._services.roster):
            yield self._row(member, counts)

    def head(self) -> Json:
        services = self._services
        state = services.ledger.state
        followers = services.roster.followers.values()
        master = services.roster.master.terms.account
        return {
            "mode": self._mode,
            "strategy": self._strategy,
            "master": master,
            "kill": self.kill_state(),
            "followers": len(services.roster.followers),
            "connected": sum(1 for member in followers if member.client is not None),
            "parked": sum(1 for account in state.parked if account != master),
            "open_orders": len(state.orders),
            "held": sum(1 for order in state.orders.values() if order.state is OrderState.HELD),
            "positions": len(state.positions),
            "signals": state.signals_count,
            "ledger": "failed" if services.ledger.failed is not None else "fine",
        }

    def follower(self, account: str) -> Json | None:
        services = self._services
        member = services.roster.get(AccountId(account))
        if member is None:
            return None
        terms, row = member.terms, self._row(member, self._counts())
        balances = services.books.balances(terms.account)
        limits = []
        for name in _LIMITS:
            limit = getattr(terms, name, None)
            if limit is not None:
                limits.append({"name": name, "limit": str(getattr(limit, "value", limit)), **self._used(name, member)})
        limits += [
            {
                "name": row.limit.value, "words": row.allowed if row.used is None else f"{row.used} of {row.allowed}",
                "share": 0.0 if row.share is None else _share(row.share, Decimal(1)),
                "tripped": "" if row.trip is None else row.trip.detail,
            }
            for row in self._engine.limits.usage(terms.account)
            if row.limit.value not in _LIMITS
        ]  # fmt: skip
        return {
            **{name: getattr(row, name) for name in row.__slots__},
            "master": member is services.roster.master,
            "user": user_of(terms.account),
            "venue": venue_of(terms.account),
            "enabled": terms.enabled,
            "failover": terms.failover,
            "allowed": None if terms.allowed is None else sorted(terms.allowed),
            "blocked": sorted(terms.blocked),
            "balances_at": None if balances is None else balances.at.isoformat(),
            "holdings": {} if balances is None else {a: str(q) for a, q in sorted(balances.holdings.items()) if q},
            "limits": limits,
            "drift_rows": drift_rows(self._engine, terms.account),
            "carried": carried(self._engine, terms.account),
            "loop": loop_of(self._engine, member, self._progress(), self._redact),
        }

    def health(self) -> Json:
        services = self._services
        ledger, venues = services.ledger, []
        for name, venue in sorted(services.venues.items()):
            members = [m for m in services.roster if venue_of(m.terms.account) == name]
            facts: dict[str, str] = {}
            offset = getattr(venue, "offset", None)
            if offset is not None:
                facts["clock against ours"] = f"{offset.total_seconds() * 1000:+.0f} ms"
            if self._venue_facts is not None:
                facts |= {key: self._redact(value) for key, value in self._venue_facts(name).items()}
            connected = sum(1 for m in members if m.client is not None)
            venues.append(
                {
                    "name": name, "accounts": len(members), "connected": connected,
                    "parked": sum(1 for m in members if m.terms.account in ledger.state.parked),
                    "state": "up" if connected else "down" if members else "unused", "facts": facts,
                }
            )  # fmt: skip
        lanes = list(self._engine.lanes)
        failed, progress = ledger.failed, self._progress()
        return {
            "now": services.clock().isoformat(timespec="seconds"),
            "started_at": services.started_at.isoformat(timespec="seconds"),
            "kill": self.kill_state(),
            "venues": venues,
            "ledger": {"state": "fine" if failed is None else "failed", "text": self._redact(str(failed or ""))},
            "lanes": {
                "working": sum(1 for lane in lanes if lane.busy), "waiting": sum(lane.depth for lane in lanes),
                "deepest": max((lane.depth for lane in lanes), default=0), "sending": services.sends_in_flight,
            },
            "scans": scans(progress),
            "loops": loops(progress, self._redact),
            "parked": [
                {"account": account, "reason": reason.text, "detail": self._redact(detail)}
                for account, (reason, detail) in sorted(ledger.state.parked.items())
            ],
        }  # fmt: skip

    # -- inside ------------------------------------------------------------------------------------------------------

    def _counts(self) -> _Counts:
        counts, state = _Counts(), self._services.ledger.state
        for account, _ in state.positions:
            counts.positions[account] = counts.positions.get(account, 0) + 1
        for order in state.orders.values():
            if order.state is OrderState.HELD:
                counts.held.add(order.account)
        return counts

    def _row(self, member: Member, counts: _Counts) -> LiveRow:
        terms = member.terms
        account = terms.account
        balances = self._services.books.balances(account)
        lane, text = self._lane(member, counts)
        return LiveRow(
            account=account,
            name=self._redact(terms.name) if terms.name else "",
            mode="left" if member.left else terms.mode.value if terms.enabled else "disabled",
            equity="" if balances is None else _money(balances.equity.value),
            cash="" if balances is None else _money(balances.cash.value),
            currency="" if balances is None else balances.currency,
            lane=lane,
            lane_text=text,
            depth=self._engine.lanes.of(account).depth,
            positions=counts.positions.get(account, 0),
            drift=(self._drift(account) or "") if self._drift is not None else "",
        )

    def _lane(self, member: Member, counts: _Counts) -> tuple[str, str]:
        account = member.terms.account
        if (parked := self._services.ledger.state.parked.get(account)) is not None:
            return "parked", self._redact(f"{parked[0].text} {parked[1]}".strip())
        if member.client is None:
            if not member.terms.enabled:
                return "off", "not enabled"
            if member.connecting:
                return "connecting", "connecting"
            reason, detail = member.unreachable or (None, "")
            return "down", self._redact(f"{reason.text if reason else ''} {detail}".strip())
        if account in counts.held:
            return "held", "an exit is held for your word"
        lane = self._engine.lanes.of(account)
        if lane.busy or lane.depth:
            return "busy", f"{lane.depth} waiting"
        return ("ready", "") if member.terms.enabled else ("off", "not enabled")

    def _used(self, name: str, member: Member) -> Json:
        """What stands against a limit now, where that can be said."""
        services, terms = self._services, member.terms
        balances = services.books.balances(terms.account)
        if name == "max_user_risk" and balances is not None:
            return {"means": f"{_money(balances.equity.value * terms.max_user_risk)} {balances.currency} an entry"}
        if name == "max_exposure" and terms.max_exposure is not None:
            used = services.books.book(member, "", None, False).exposure.value
            return {"used": _money(used), "share": _share(used, terms.max_exposure.value)}
        return {}


def _money(value: Decimal) -> str:
    return f"{value:.2f}"


def _share(used: Decimal, limit: Decimal) -> float:
    return round(min(1.0, max(0.0, float(used / limit))), 4) if limit else 1.0

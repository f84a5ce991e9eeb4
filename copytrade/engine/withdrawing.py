"""Entries that rest at a venue, of followers whose terms let no entry through any more: they are taken back.

An order that rests may fill hours after its follower was paused. So whenever terms change, and at every start, what
rests is held against the terms as they are: a crash between the change and the cancel is made good by that. Exits that
rest, stops among them, stay where they are.
"""

from __future__ import annotations

from collections.abc import Collection

from copytrade.copying.permits import withheld
from copytrade.domain.account import AccountId, Mode
from copytrade.domain.alerts import AlertKind
from copytrade.domain.events import CancelAsked
from copytrade.domain.order import Effect, OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.engine.lanes import Lanes
from copytrade.engine.services import Services
from copytrade.engine.work import cancel_work

_MAY_REST = frozenset({OrderState.APPROVED, OrderState.UNKNOWN, OrderState.ACCEPTED})
_TOLD_MAX = 20  # accounts told of one by one; thousands of messages would bury everything else


class Withdrawals:
    """Compares what rests with the terms, and takes back what they let through no more."""

    def __init__(self, services: Services, lanes: Lanes) -> None:
        self._services = services
        self._lanes = lanes

    def look(self, accounts: Collection[AccountId] | None = None) -> int:
        """Take back what may not rest any more at these accounts, or at any. Returns how many orders.

        Each cancel leaves in its account's lane, once its `CancelAsked` is on the disk. Raises `LedgerError`.
        """
        services, now = self._services, self._services.clock()
        signalled: dict[str, str] = {}
        found: dict[AccountId, list[tuple[OrderRecord, Reason]]] = {}
        for record in services.ledger.state.orders.values():
            if accounts is not None and record.account not in accounts:
                continue
            if resting_entry(record) and record.cancel is None and (reason := self._withheld(record, signalled)):
                found.setdefault(record.account, []).append((record, reason))
        if not found:
            return 0
        asked = [CancelAsked(r.order_id, reason, now) for orders in found.values() for r, reason in orders]
        durable = services.ledger.append(asked, hurry=True)
        for account, orders in found.items():
            if services.roster.get(account) is None:
                continue  # its key is gone with it; should it come back, whoever follows its fills cancels them
            for record, _ in orders:
                work = cancel_work(record, None)
                work.durable = durable
                self._lanes.submit(work)
        self._tell(found)
        return len(asked)

    def resting(self) -> int:
        """How many entries of followers and of the master rest at venues, or are on their way to."""
        return sum(
            r.effect is Effect.ENTRY and r.kind.rests and r.state in _MAY_REST and r.cancel is None
            for r in self._services.ledger.state.orders.values()
        )

    def _withheld(self, record: OrderRecord, signalled: dict[str, str]) -> Reason | None:
        member = self._services.roster.get(record.account)
        if member is None:
            return Reason.NO_LONGER_ENROLLED
        symbols = {record.symbol}
        if record.signal_id is not None:
            if record.signal_id not in signalled:  # one signal may rest at thousands of accounts
                signal = self._services.ledger.signal(record.signal_id)
                signalled[record.signal_id] = signal.symbol if signal else record.symbol
            symbols.add(signalled[record.signal_id])
        own = Mode.INDEPENDENT if record.role is Role.INDEPENDENT else Mode.ACTIVE
        stopped = withheld(member.terms, symbols, left=member.left, own=own)
        return stopped[0] if stopped else None

    def _tell(self, found: dict[AccountId, list[tuple[OrderRecord, Reason]]]) -> None:
        services = self._services
        for account, orders in list(found.items())[:_TOLD_MAX]:
            symbols = ", ".join(sorted({record.symbol for record, _ in orders}))
            reasons = "; ".join(dict.fromkeys(reason.text for _, reason in orders))
            if services.roster.get(account) is None:
                ids = ", ".join(record.venue_order_id or record.order_id for record, _ in orders)
                services.alert(
                    AlertKind.CANCEL_FAILED,
                    f"{account} is in no user file, and entries of it in {symbols} may rest at its venue: cancel "
                    f"{ids} there, or enrol it again (enabled: false is enough)",
                    account,
                )
                continue
            services.alert(
                AlertKind.TAKEN_BACK, f"{account}: its resting entries in {symbols} are taken back: {reasons}", account
            )
        if (more := len(found) - _TOLD_MAX) > 0:
            services.alert(AlertKind.TAKEN_BACK, f"the resting entries of {more} more accounts are taken back")


def resting_entry(record: OrderRecord) -> bool:
    """A follower's entry that rests at its venue, or may be on its way to."""
    return (
        record.role is not Role.MASTER and record.effect is Effect.ENTRY and record.kind.rests
        and record.state in _MAY_REST
    )  # fmt: skip

"""Where notices come from: alerts as they are raised, fills out of the ledger's file, and the summary of each day."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from copytrade.console.notify.fills import Outcomes, notices_of
from copytrade.console.notify.notices import Level, Notice, of_alert, wants
from copytrade.console.notify.sending import Deliver, Outbox, apprise_delivery
from copytrade.domain.alerts import Alert
from copytrade.domain.errors import LedgerError
from copytrade.domain.order import OrderState, Role
from copytrade.ledger.reader import LedgerReader
from copytrade.settings.notify import NotifyTarget
from copytrade.settings.secret import Secret

log = logging.getLogger("copytrade.notify")

EVERY_S = 2.0
_BUSY_POLLS_MAX = 5  # so often orders on the wire go first
_FROM_LEDGER = frozenset({"fills", "failures"})


@dataclass(slots=True)
class _Told:
    """One target, its queue, and when its next summary is due."""

    target: NotifyTarget
    outbox: Outbox
    daily_at: datetime


class Notifier:
    """All targets. `alert` may be called from any thread and returns at once."""

    def __init__(
        self,
        targets: Sequence[NotifyTarget],
        addresses: Mapping[str, Secret],
        clock: Callable[[], datetime],
        redact: Callable[[str], str],
        deliver: Callable[[str], Deliver | None] = apprise_delivery,
    ) -> None:
        self._clock = clock
        self._told: list[_Told] = []
        self.faults: list[str] = []
        for target in targets:
            address = addresses.get(target.url_env)
            if address is None:
                continue  # the settings' own warnings say so
            way = deliver(address.reveal())
            if way is None:
                self.faults.append(f"notify: {target.url_env} is no address that Apprise knows: nobody is told there")
                continue
            outbox = Outbox(target.url_env, way, target.digest_s, redact=redact)
            self._told.append(_Told(target, outbox, next_daily(clock(), target.daily_hour)))

    def start(self) -> None:
        for told in self._told:
            told.outbox.start()

    def close(self) -> None:
        """Send what waits, for a few seconds at most; called in a thread."""
        for told in self._told:
            told.outbox.close()

    def alert(self, alert: Alert) -> None:
        """Something that the operator was told."""
        if self._told:
            self.tell(of_alert(alert))

    def tell(self, notice: Notice) -> None:
        for told in self._told:
            if wants(told.target, notice):
                told.outbox.put(notice)

    def counts(self) -> dict[str, int]:
        """For the metrics."""
        found: Counter[str] = Counter()
        for told in self._told:
            box = told.outbox
            found.update(sent=box.sent, failed=box.failed, dropped=box.dropped, waiting=box.waiting)
        return dict(found)

    async def run(self, ledger: Path, busy: Callable[[], bool]) -> None:
        """Follow the ledger's file and the days, until cancelled."""
        if not self._told:
            return
        wanted = [t for t in self._told if any(wants(t.target, Notice(e, Level.WARNING, "")) for e in _FROM_LEDGER)]
        outcomes: Outcomes | None = None
        skipped = 0
        try:
            while True:
                try:
                    if outcomes is None and wanted:  # what happens from now on is told
                        outcomes = await asyncio.to_thread(Outcomes, ledger, asyncio.get_running_loop().time)
                    await asyncio.sleep(EVERY_S)
                    if busy() and skipped < _BUSY_POLLS_MAX:
                        skipped += 1
                        continue
                    skipped = 0
                    if outcomes is not None:
                        await asyncio.to_thread(self._tell_outcomes, outcomes)
                    await self._tell_daily(ledger)
                except LedgerError as error:
                    log.warning("the ledger cannot be read for messages: %s", error)
                    await asyncio.sleep(EVERY_S)
        finally:
            if outcomes is not None:
                with suppress(LedgerError):
                    outcomes.close()

    def _tell_outcomes(self, outcomes: Outcomes) -> None:
        for outcome in outcomes.poll():
            for told in self._told:
                for notice in notices_of(outcome, told.target):
                    if wants(told.target, notice):
                        told.outbox.put(notice)

    async def _tell_daily(self, ledger: Path) -> None:
        now = self._clock()
        due = [told for told in self._told if now >= told.daily_at]
        if not due:
            return
        notice = await asyncio.to_thread(daily_summary, ledger, now)
        for told in due:
            told.daily_at = next_daily(now, told.target.daily_hour)
            if wants(told.target, notice):
                told.outbox.put(notice)


def next_daily(now: datetime, hour: int) -> datetime:
    """The next time that it is this hour in UTC."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


def daily_summary(ledger: Path, now: datetime) -> Notice:
    """What the last 24 hours came to. Raises `LedgerError`."""
    since = now - timedelta(days=1)
    with LedgerReader(ledger) as reader:
        signals = len(reader.signals(limit=100_000, since=since))
        copies = Counter(order["state"] for order in reader.orders(role=Role.COPY, since=since, limit=100_000))
        parked, held, balances = reader.parked(), reader.held_exits(), reader.balances()
    equity: dict[str, Decimal] = {}
    for row in balances:
        equity[row["currency"]] = equity.get(row["currency"], Decimal(0)) + Decimal(row["equity"])
    worth = ", ".join(f"{value:,.2f} {currency}" for currency, value in sorted(equity.items()))
    shown = ", ".join(f"{copies[state]} {state}" for state in OrderState if copies[state]) or "none"
    lines = [
        f"since {since:%Y-%m-%d %H:%M} UTC: {signals} signals; copies: {shown}",
        f"equity of {len(balances)} accounts: {worth or 'none'}",
    ]
    if parked:
        lines.append(f"parked: {', '.join(row['account'] for row in parked[:20])} ({len(parked)} in all)")
    if held:
        lines.append(f"{len(held)} exits are held: unkill --place-exits places them")
    return Notice("daily", Level.INFO, "\n".join(lines))

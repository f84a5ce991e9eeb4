"""The worker's screen: each master order, and under it one line for each follower."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from copytrade.console.output import shown_price
from copytrade.domain.account import AccountId, user_of
from copytrade.domain.copy import Decision
from copytrade.domain.order import OrderKind, OrderState
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.by_hand import BY_HAND
from copytrade.engine.ports import Ledger
from copytrade.engine.tracker import Tracker

LINES_MAX = 40  # followers shown one by one; more than a screen of them is for `copies`, not for watching
_ANSWERS_WAIT_S = 3.0

_FAILED = (OrderState.REFUSED, OrderState.STOPPED)
_AT_VENUE = (OrderState.ACCEPTED, OrderState.FILLED, OrderState.CANCELLED)


class Report:
    """Prints a signal's fan-out once its copies have had their answers, or after three seconds as it stands."""

    def __init__(self, ledger: Ledger, tracker: Tracker, write: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._tracker = tracker
        self._write = write
        self._tasks: set[asyncio.Task[None]] = set()
        self._planned = 0
        self._news = asyncio.Condition()

    def planned(self, signal: Signal, copies: Sequence[Decision]) -> None:
        task = asyncio.create_task(self._print(signal))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, signals: int, timeout_s: float) -> None:
        """Wait until so many signals since the start have been planned, and for what is still to be printed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: self._planned >= signals)
        await asyncio.gather(*self._tasks)

    async def _print(self, signal: Signal) -> None:
        async with self._news:
            self._planned += 1
            self._news.notify_all()
        await self._tracker.wait(signal.signal_id, _ANSWERS_WAIT_S)
        master = self._ledger.find(signal.master_order_id)
        copies = self._ledger.copies_of(signal.signal_id)
        lines = [master_line(signal, master)]
        if signal.kind.follows_up or signal.kind is SignalKind.AMENDED:
            family = [copy for _, copies_of in self._ledger.family(signal.family) for copy in copies_of]
            # Those that earlier changes took back were over before.
            back = [c for c in family if c.cancel is not None and (c.ended_at is None or c.ended_at >= signal.at)]
            if back:
                lines.append(f"    {len(back)} {'copy' if len(back) == 1 else 'copies'} taken back")
        self._write("\n".join([*lines, *(copy_lines(copies) if copies else ())]))


def master_line(signal: Signal, master: OrderRecord | None) -> str:
    base, quote = signal.symbol.split("/")
    who = user_of(AccountId(signal.target)) if signal.target else "everybody"
    if signal.kind is SignalKind.FLATTEN:
        return f"{signal.at:%H:%M:%S}  {who} out of {signal.symbol} (flatten)"
    if signal.kind in (SignalKind.REPAIR, SignalKind.JOIN):
        return f"{signal.at:%H:%M:%S}  {who} {signal.side}s {signal.symbol} ({signal.kind})"
    worth = (signal.quantity * signal.price).value
    order = f"{signal.quantity} {base} at {shown_price(signal.price)} {quote} ({worth:,.2f} {quote})"
    kind = "" if signal.order_kind is OrderKind.MARKET else f" as a {signal.order_kind.replace('_', '-')} order"
    venue_id = "" if master is None else f"  {master.venue_order_id or master.state}"
    if signal.kind.follows_up:
        return (
            f"{signal.at:%H:%M:%S}  the master's {kind.removeprefix(' as a ')} to {signal.side} {order} is"
            f" {signal.kind}, {signal.filled} filled{venue_id}"
        )
    hand = " by hand" if master is not None and master.intent is not None and master.intent.source == BY_HAND else ""
    return f"{signal.at:%H:%M:%S}  master {signal.side}s {order}{kind}{hand}{venue_id}"


def copy_lines(copies: Sequence[OrderRecord]) -> list[str]:
    """One line a follower, then the summary."""
    width = max((len(user_of(c.account)) for c in copies), default=0)
    lines = [f"    {user_of(c.account):<{width}}  {copy_line(c)}" for c in copies[:LINES_MAX]]
    if len(copies) > LINES_MAX:
        lines.append(f"    … and {len(copies) - LINES_MAX} more (python -m copytrade copies)")
    sent = sum(c.state in _AT_VENUE for c in copies)
    failed = sum(c.state in _FAILED for c in copies)
    skipped = sum(c.state is OrderState.SKIPPED for c in copies)
    waiting = len(copies) - sent - failed - skipped
    tried = sent + failed + waiting
    late = f", waiting {waiting}" if waiting else ""
    lines.append(f"    Success {sent}/{tried}, failed {failed}/{tried}, skipped {skipped}{late}")
    return lines


def copy_line(copy: OrderRecord) -> str:
    base, _, quote = copy.symbol.partition("/")
    because = f" ({copy.detail})" if copy.detail else ""
    if copy.state is OrderState.SKIPPED:
        return f"skipped: {copy.reason.text}{because}"
    if copy.state in _FAILED:
        return f"not placed: {copy.reason.text}{because}"
    if copy.state in _AT_VENUE:
        assert copy.price is not None
        worth = (copy.quantity * copy.price).value
        done = f", {copy.filled} filled" if copy.filled else ""
        done += f", taken back: {copy.cancel.text}" if copy.cancel is not None else ""
        size = f"{copy.side}s {copy.quantity} {base} ({worth:,.2f} {quote})"
        return f"{size}  {copy.venue_order_id}{done}; {copy.reason.text}"
    return f"{copy.state}: {copy.reason.text}{because}"

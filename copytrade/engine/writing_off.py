"""Writing off what the owner of an account has sold or taken away of what was copied to it.

Until that is written down, the ledger believes in a position that is not there, and every later exit of it is refused.
But what is written off follows the master out no more, so it is done on proof alone: two readings of the balances some
time apart lack it, and nothing of that asset was on its way in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from copytrade.copying.drift import DriftRow
from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.events import Event, OrderStopped
from copytrade.domain.instrument import base_of
from copytrade.domain.money import Quantity, plain
from copytrade.domain.order import OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.domain.writing_off import PositionWrittenOff
from copytrade.engine.services import Services


@dataclass(frozen=True, slots=True)
class Sighting:
    """So much of a copied position was missing in every reading of the balances from the first to the last."""

    first: datetime
    last: datetime
    position: Decimal
    missing: Decimal


@dataclass(frozen=True, slots=True)
class WriteOff:
    """What was written off, and how many exits that were kept for it have ended with that."""

    account: AccountId
    symbol: str
    quantity: Decimal
    left: Decimal
    exits: int


class WriteOffs:
    """Remembers what was missing, and writes off what is proved to be. Nothing of it outlives a restart: then all is
    seen anew."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seen: dict[tuple[AccountId, str], Sighting] = {}

    def saw(self, account: AccountId, rows: Sequence[DriftRow]) -> None:
        """Take in one look at an account. What is not missing now, or of a position that has changed, begins anew."""
        balances = self._services.books.balances(account)
        missing = {row.symbol: row for row in rows if row.missing}
        for key in [k for k in self._seen if k[0] == account and k[1] not in missing]:
            del self._seen[key]
        for symbol, row in missing.items() if balances is not None else ():
            assert balances is not None
            before = self._seen.get((account, symbol))
            if before is None or before.position != row.actual:
                before = Sighting(balances.at, balances.at, row.actual, row.missing)
            less = min(before.missing, row.missing)
            self._seen[account, symbol] = replace(before, last=max(before.last, balances.at), missing=less)

    def proved(self, account: AccountId, apart_s: float) -> dict[str, Sighting]:
        """What was missing in readings at least so many seconds apart, by symbol."""
        return {
            symbol: seen
            for (owner, symbol), seen in self._seen.items()
            if owner == account and seen.last > seen.first and (seen.last - seen.first).total_seconds() >= apart_s
        }

    async def write_off(self, account: AccountId, symbol: str, seen: Sighting, decided: str) -> WriteOff | None:
        """Write it off, together with the end of the exits that were kept for it; None where anything has moved since
        it was seen. Raises `LedgerError`."""
        services = self._services
        held = services.ledger.state.position(account, symbol).value
        last = self._seen.get((account, symbol))  # others may have looked since
        if last is None or (last.position, last.missing) != (seen.position, seen.missing):
            return None
        if held != seen.position or self._moves(account, symbol):
            return None
        left, now = held - seen.missing, services.clock()
        gone = plain(seen.missing)
        detail = f"{gone} of {plain(held)} is gone; {decided}"
        kept = [] if self._sellable(account, symbol, left) else self._kept(account, symbol)
        events: list[Event] = [
            PositionWrittenOff(account, symbol, Quantity(seen.missing), Reason.GONE_BY_HAND, now, detail)
        ]
        events += [OrderStopped(record.order_id, Reason.GONE_BY_HAND, detail, now) for record in kept]
        del self._seen[account, symbol]
        await services.ledger.append(events, hurry=True)
        ended = f", and {len(kept)} exit(s) that were kept for it have ended" if kept else ""
        services.alert(
            AlertKind.WRITTEN_OFF,
            f"{account}: {gone} {symbol} is written off ({decided}): it was copied and is no longer at the venue; "
            f"{plain(left)} counts as copied now{ended}",
            account,
        )
        return WriteOff(account, symbol, seen.missing, left, len(kept))

    def on_its_way(self, account: AccountId, symbol: str) -> list[OrderRecord]:
        """The account's orders in this base that may still change what is there; a held exit does not."""
        base, orders = base_of(symbol), self._services.ledger.state.orders.of(account)
        return [r for r in orders if base_of(r.symbol) == base and r.state is not OrderState.HELD]

    def _moves(self, account: AccountId, symbol: str) -> bool:
        base = base_of(symbol)
        coming = self._services.ledger.state.unplanned.values()
        told = any(base_of(signal.symbol) == base for signal in coming if signal.target in ("", account))
        return told or bool(self.on_its_way(account, symbol))

    def _kept(self, account: AccountId, symbol: str) -> list[OrderRecord]:
        orders = self._services.ledger.state.orders.of(account)
        return [r for r in orders if r.symbol == symbol and r.state is OrderState.HELD]

    def _sellable(self, account: AccountId, symbol: str, quantity: Decimal) -> bool:
        """Whether the venue would take an order to sell it; unknown markets are given the benefit of the doubt."""
        instrument = self._services.instrument(venue_of(account), symbol)
        if instrument is None or quantity <= 0:
            return quantity > 0
        rounded = Quantity(quantity).rounded_down(instrument.lot_step)
        price = self._services.books.price(symbol, venue_of(account))
        if not rounded or price is None:
            return bool(rounded) and rounded >= instrument.min_quantity
        return instrument.below_minimum(Side.SELL, rounded, price) is None

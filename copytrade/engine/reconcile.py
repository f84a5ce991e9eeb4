"""The reconciler: what each follower holds, by the ledger, by its venue, and by what the master's position implies.

Everybody is looked at in turn, and soon after an order of the master's is over. What a venue holds beyond the copied
positions is the follower's own and nobody's business; where it holds less, somebody has sold what was copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from copytrade.copying.drift import ByHand, Cause, Drift, DriftRow, DriftRules, Repair, q
from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import LedgerError, VenueError
from copytrade.domain.instrument import base_of
from copytrade.domain.order import OrderState, Side
from copytrade.domain.venue import Balances, VenueOrder
from copytrade.engine.drift_book import DriftBook, Look
from copytrade.engine.repair import Mender
from copytrade.engine.services import Services, ServiceStopping, log
from copytrade.engine.work import RefreshEquity
from copytrade.engine.writing_off import WriteOff, WriteOffs

_TICK_S = 0.5
_FIRST_AFTER_S = 15.0  # a start has its own work: what the last run left open is carried on with first
_ROUND_AT_START_S = 60.0
_AFTER_MASTER_S = 10.0  # for the copies of an order to fill, and their balances to be read
_AFTER_MASTER_SPREAD_S = 30.0
_EACH_S = 0.01  # a look takes about a millisecond: ten times that leaves room for what matters more
_READ_WAIT_S = 5.0
_PROOF_S = 60.0  # venues' balances are a few seconds behind their fills at worst; a transfer inside takes some more
_PROOF_BY_HAND_S = 1.0  # the operator has looked as well
_ORDERS_SINCE = timedelta(days=1)
_ANY_AGE_S = 86_400.0
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class NotOurs:
    """Orders at an account that this service did not place: counted, shown, never touched."""

    orders: tuple[VenueOrder, ...]


class Reconciler:
    """Looks at every account, remembers what it saw, and has it mended as far as the settings say."""

    def __init__(self, services: Services, mender: Mender, refresh: RefreshEquity, rules: DriftRules) -> None:
        self._services = services
        self._mender = mender
        self._refresh = refresh
        self.rules = rules
        self.book = DriftBook(services)
        self._gone = WriteOffs(services)
        self._seen: dict[AccountId, Look] = {}
        self._rows: dict[AccountId, tuple[DriftRow, ...]] = {}
        self._due: dict[AccountId, float] = {}
        self._told: dict[tuple[AccountId, str], Decimal] = {}

    def report(self, account: AccountId) -> list[DriftRow]:
        """The latest look at the account, as it was; empty before the first one. Costs nothing."""
        return list(self._rows.get(account, ()))

    # -- in turn -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look at everybody in turn until the service stops."""
        await self._services.pause(_FIRST_AFTER_S)
        loop = asyncio.get_running_loop()
        while True:
            accounts = list(self._services.roster.followers)
            now, every_s = loop.time(), self.rules.every_s
            for place, account in enumerate(accounts):
                first_s = place / len(accounts) * min(every_s, _ROUND_AT_START_S)
                self._due.setdefault(account, now + first_s)
            for account in [a for a in accounts if self._due[a] <= now]:
                self._due[account] = loop.time() + every_s
                await self._look_quietly(account)
            await self._services.pause(_TICK_S)

    def soon(self, account: AccountId) -> None:
        """Look at the account at the next tick."""
        self._due[account] = 0.0

    def master_ended(self) -> None:
        """An order of the master's is over: everybody is looked at soon, one after the other."""
        now, accounts = asyncio.get_running_loop().time(), self._services.roster.followers
        for place, account in enumerate(accounts):
            at = now + _AFTER_MASTER_S + place * max(_EACH_S, _AFTER_MASTER_SPREAD_S / len(accounts))
            self._due[account] = min(at, self._due.get(account, at))

    async def _look_quietly(self, account: AccountId) -> None:
        try:
            rows = await self.look(account)
            if self.rules.by_hand is ByHand.WRITE_OFF:
                rows = await self._write_off_proved(account, rows)
            await self._mender.mend(account, rows, self._seen[account], self.rules.repair)
        except (ServiceStopping, LedgerError):
            raise
        except Exception:  # a fault of the reckoning must not end the round for everybody else
            log.exception("reconciling %s", account)

    # -- one account -------------------------------------------------------------------------------------------------

    async def look(self, account: AccountId, *, fresh: bool = False) -> list[DriftRow]:
        """Look at one account now; with `fresh` its balances are read first. Raises `LedgerError`."""
        if fresh:
            await self._refresh(account, _READ_WAIT_S)
        rows = await self._reckon(account)
        lost = [row for row in rows if row.missing and self._told.get((account, row.symbol)) != row.missing]
        if lost and not fresh:  # by balances that may be old: read them before anything is said
            return await self.look(account, fresh=True)
        for row in lost:
            await self._tell_missing(account, row)
        for key in [k for k in self._told if k[0] == account and not any(r.symbol == k[1] and r.missing for r in rows)]:
            del self._told[key]
        self._rows[account] = tuple(rows)
        self._gone.saw(account, rows)
        return rows

    async def repair(self, account: AccountId, repair: Repair) -> list[str]:
        """Look and mend now, at the operator's word: held exits are placed as well. Returns the signals that were
        emitted. Raises `LedgerError`."""
        rows = await self.look(account, fresh=True)
        return await self._mender.mend(account, rows, self._seen[account], repair, by_hand=True)

    async def write_off(self, account: AccountId, by: str) -> tuple[list[WriteOff], list[str]]:
        """Write off, at the operator's word, what two readings of the balances lack. Returns what was written off, and
        what was not, in words. Raises `LedgerError`."""
        await self.look(account, fresh=True)
        await self._services.pause(_PROOF_BY_HAND_S)
        await self.look(account, fresh=True)
        done, notes = [], self._not_provable(account)
        for symbol, seen in self._gone.proved(account, 0.0).items():
            found = await self._gone.write_off(account, symbol, seen, by)
            if found is None:
                notes.append(f"{account}: {symbol} is not written off: it has just changed; try again")
            else:
                done.append(found)
        for symbol in {row.symbol for row in self.report(account) if row.missing} - {each.symbol for each in done}:
            notes.append(f"{account}: {symbol} is not written off: its balances could not be read twice; try again")
        if done:
            await self.look(account)
        return done, notes

    async def not_ours(self, account: AccountId) -> NotOurs:
        """Orders of the last day, and all open ones, that the ledger does not know. Raises `VenueError`."""
        member = self._services.roster.get(account)
        if member is None or member.client is None:
            return NotOurs(())
        since = self._services.clock() - _ORDERS_SINCE
        known = self._services.ledger.venue_order_ids(account, since - _ORDERS_SINCE)
        found = []
        for order in await member.client.orders(since):
            ours = order.venue_order_id in known
            if not ours and order.client_order_id:
                ours = self._services.ledger.find(order.client_order_id) is not None
            if not ours:
                found.append(order)
        return NotOurs(tuple(found))

    # -- what was taken away by hand -----------------------------------------------------------------------------------

    async def _write_off_proved(self, account: AccountId, rows: list[DriftRow]) -> list[DriftRow]:
        """As `drift.by_hand` says: what has been missing for long enough, and by a reading of this moment still is."""
        if not self._gone.proved(account, _PROOF_S):
            return rows
        await self.look(account, fresh=True)
        for symbol, seen in self._gone.proved(account, _PROOF_S).items():
            await self._gone.write_off(account, symbol, seen, "drift.by_hand is write_off")
        return await self.look(account)

    def _not_provable(self, account: AccountId) -> list[str]:
        """What seems to be missing while something of it is on its way, which may be why."""
        services, found = self._services, []
        balances = services.books.balances(account)
        held = {s: q.value for s, q in services.ledger.state.positions.of(account).items()}
        for symbol in self._short(account, held, balances) if balances is not None else ():
            if waiting := self._gone.on_its_way(account, symbol):
                orders = ", ".join(f"{r.order_id} ({r.effect}, {r.state})" for r in waiting[:3])
                found.append(f"{account}: {symbol} is not written off while an order of it is open: {orders}")
        return found

    # -- reckoning ---------------------------------------------------------------------------------------------------

    async def _reckon(self, account: AccountId) -> list[DriftRow]:
        services = self._services
        alone = account in services.ledger.state.standing.alone
        seen = self._seen[account] = await self.book.look(account)
        if alone:  # what it holds is its own: nothing of the master's implies it
            return []
        fold, balances = seen.fold, services.books.balances(account)
        positions = {symbol: services.ledger.state.position(account, symbol).value for symbol in fold.drifts}
        for symbol, quantity in positions.items():
            drift = fold.drifts[symbol]
            if drift.actual != quantity:  # the fold and the ledger are two sums over the same fills
                change = quantity - drift.actual
                drift.moved(_ZERO, change, [(Cause.UNEXPLAINED.value, change)])
        missing = self._missing(account, positions, balances, seen)
        return [
            self._row(account, symbol, drift, balances, missing.get(symbol, _ZERO))
            for symbol, drift in sorted(fold.drifts.items())
            if drift.ideal or drift.actual or drift.causes
        ]

    def _row(
        self, account: AccountId, symbol: str, drift: Drift, balances: Balances | None, missing: Decimal
    ) -> DriftRow:
        if missing:
            drift.moved(_ZERO, -missing, [(Cause.BY_HAND.value, -missing)])
        price = self._price(account, symbol, drift.master_symbol)
        error = drift.error
        value = None if price is None else q(error * price)
        equity = balances.equity.value if balances else _ZERO
        held = None if balances is None else balances.holdings.get(base_of(symbol), _ZERO)
        return DriftRow(
            account, symbol, drift.ideal, drift.actual + missing, held, missing, error, value,
            q(value / equity) if value is not None and equity > 0 else None,
            tuple(sorted(drift.causes.items(), key=lambda each: -abs(each[1]))),
            dust=self._mender.is_dust(account, symbol, price),
        )  # fmt: skip

    def _missing(
        self, account: AccountId, positions: Mapping[str, Decimal], balances: Balances | None, seen: Look
    ) -> dict[str, Decimal]:
        """What was copied and is not at the venue, by symbol: only by balances asked for after every fill."""
        asked_at = self._services.books.asked_at(account)
        if balances is None or asked_at is None or (seen.latest is not None and asked_at <= seen.latest):
            return {}
        busy = {base_of(r.symbol) for r in seen.open if r.state is not OrderState.HELD}
        return {s: short for s, short in self._short(account, positions, balances).items() if base_of(s) not in busy}

    def _short(
        self, account: AccountId, positions: Mapping[str, Decimal], balances: Balances
    ) -> dict[str, Decimal]:
        """By symbol, by how much less the venue says is held than was copied."""
        left: dict[str, Decimal] = {}
        found: dict[str, Decimal] = {}
        for symbol, quantity in sorted(positions.items()):
            base = base_of(symbol)
            there = left.get(base, balances.holdings.get(base, _ZERO))
            short = quantity - max(_ZERO, there)
            left[base] = there - quantity
            instrument = self._services.instrument(venue_of(account), symbol)
            if instrument is not None and short >= instrument.lot_step:
                found[symbol] = min(short, quantity)
        return found

    def _price(self, account: AccountId, symbol: str, master_symbol: str) -> Decimal | None:
        services = self._services
        master = venue_of(services.roster.master.terms.account)
        for venue, name in ((venue_of(account), symbol), (master, master_symbol)):
            instrument = services.instrument(venue, name)
            quote = services.prices.fresh(instrument, _ANY_AGE_S) if instrument else None
            if quote is not None:
                return quote.side_price(Side.SELL).value
        return None

    async def _tell_missing(self, account: AccountId, row: DriftRow) -> None:
        self._told[account, row.symbol] = row.missing
        others: Sequence[VenueOrder] = ()
        try:
            others = (await self.not_ours(account)).orders
        except VenueError as error:
            log.warning("%s: orders of others cannot be listed: %s", account, error)
        sold = [o for o in others if base_of(o.symbol) == base_of(row.symbol) and o.side is Side.SELL and o.filled]
        by = ", ".join(f"{o.venue_order_id} sold {o.filled}" for o in sold[:3]) or "no order here tells who took it"
        self._services.alert(
            AlertKind.POSITION_GONE,
            f"{account} holds {row.held} {base_of(row.symbol)} and {row.actual} was copied: {row.missing} is gone by "
            f"hand or by another program ({by}); no exit goes beyond what is there",
            account,
        )


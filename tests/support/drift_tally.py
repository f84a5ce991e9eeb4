"""What a drift run comes to: every row of the report is checked against the venue, and in the end the ledger is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from drift_world import BASES, DriftWorld, Master, calm, market
from world import Desk, until

from copytrade.copying.drift import Cause, DriftRow, Repair, total
from copytrade.domain.account import venue_of

_NOISE = Decimal("1e-12")
_ZERO = Decimal(0)
_SELLABLE_USD = 20
_LOOKS_MAX = 5
_ABOUT_ONE = (Decimal("0.85"), Decimal("1.18"))  # equities are topped up to within 2 %, and move in between


@dataclass
class Tally:
    """What was seen. Shares are of the account's equity."""

    rows: int = 0
    exact: int = 0  # rows whose causes add up to the last digit
    unexplained: list[str] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    worst: dict[str, Decimal] = field(default_factory=dict)  # by cause
    worst_share: Decimal = _ZERO
    ideals: list[Decimal] = field(default_factory=list)
    outliers: list[str] = field(default_factory=list)  # ideals that are far from the master's own share
    read_again: int = 0
    worst_rounding: Decimal = _ZERO  # in lot steps of the follower's venue, over the master's orders since it was flat

    async def look_at_everybody(self, master: Master) -> None:
        """Each row's causes must be its whole difference, its position the venue's, its rounding no more than steps."""
        for account in master.desk.engine.services.roster.followers:
            rows = await master.desk.engine.reconciler.look(account, fresh=True)
            for _ in range(_LOOKS_MAX):
                if not any(self._differs(master, row) for row in rows):
                    break
                # A read of its money may have been under way before, and held exits are tried again in the background.
                self.read_again += 1
                await calm(master.desk, master.world)
                rows = await master.desk.engine.reconciler.look(account, fresh=True)
            for row in rows:
                self.take(master, row)

    def _differs(self, master: Master, row: DriftRow) -> bool:
        """Whether the venue holds something else than what was copied."""
        beyond = (row.held or _ZERO) - row.actual
        estimates = self._fee_estimates(master, row, row.symbol.partition("/")[0])
        return row.held is None or beyond < 0 or beyond > estimates

    def take(self, master: Master, row: DriftRow) -> None:
        self.rows += 1
        causes, base = dict(row.causes), row.symbol.partition("/")[0]
        self.causes.update(causes.keys())
        adds_up = total(causes.values()) == row.error == row.actual - row.missing - row.ideal
        self.exact += adds_up
        services = master.desk.engine.services
        price, balances = master.world.quote(row.account, base).bid, services.books.balances(row.account)
        if balances is not None and balances.equity:
            self.worst_share = max(self.worst_share, abs(row.error) * price / balances.equity.value)
            for cause, part in causes.items():
                share = abs(part) * price / balances.equity.value
                self.worst[cause] = max(self.worst.get(cause, _ZERO), share)
            self._compare(master, row, base, balances.equity.value)
        told = f"{row.account} {row.symbol}"
        if not adds_up or not row.explained:
            self.unexplained.append(f"{told}: the causes of {row.error} add up to {total(causes.values())}")
        if Cause.UNEXPLAINED in causes or row.missing or self._differs(master, row):
            orders = "; ".join(last_orders(master, row))
            self.unexplained.append(f"{told}: {row.actual} copied, {row.held} held; {causes}; {orders}")
        self._rounding(master, row, abs(causes.get(Cause.ROUNDING, _ZERO)), base)

    def _compare(self, master: Master, row: DriftRow, base: str, equity: Decimal) -> None:
        """The ideal position beside the master's real one, per unit of equity now: not what the reckoning makes of it,
        but what both hold. Equities move between the orders that made the positions, so it is about one, not one."""
        services, account = master.desk.engine.services, master.world.master
        held = services.ledger.state.position(account, market(venue_of(account), base)).value
        balances, member = services.books.balances(account), services.roster.get(row.account)
        if balances is None or member is None or held * price_of(master, base) < balances.equity.value / 100:
            return
        due = held / balances.equity.value * equity * member.terms.multiplier
        self.ideals.append(row.ideal / due)
        if not _ABOUT_ONE[0] < row.ideal / due < _ABOUT_ONE[1]:
            at = f"{master.number} acts: {row.account} {row.symbol}"
            self.outliers.append(f"{at}: ideal {row.ideal} beside {due} of the master's {held}; {dict(row.causes)}")

    def _fee_estimates(self, master: Master, row: DriftRow, base: str) -> Decimal:
        """Alpaca tells no fee before the end of the day: until then it is reckoned, up to a step too high a fill."""
        if venue_of(row.account) != "alpaca":
            return _ZERO
        instrument = master.desk.engine.services.instrument("alpaca", row.symbol)
        assert instrument is not None
        return 2 * (master.orders[base] + 1) * instrument.lot_step

    def spread_of_ideals(self) -> dict[str, str]:
        """How the ideals spread about the master's position at the ratio of equities of the moment."""
        found = sorted(self.ideals)
        at = {"1 %": 0.01, "50 %": 0.5, "99 %": 0.99}
        return {name: f"{found[int(len(found) * share)]:.3f}" for name, share in at.items()} if found else {}

    def _rounding(self, master: Master, row: DriftRow, rounding: Decimal, base: str) -> None:
        """An entry under the minimum is skipped and told as that, so a rounding is under a step for each order; exits
        make older ones less."""
        instrument = master.desk.engine.services.instrument(venue_of(row.account), row.symbol)
        assert instrument is not None
        orders = max(1, master.orders_since_flat[base])
        self.worst_rounding = max(self.worst_rounding, rounding / instrument.lot_step / orders)
        if rounding > (orders + 1) * instrument.lot_step + _NOISE:
            self.unexplained.append(f"{row.account} {row.symbol}: rounding is {rounding} after {orders} orders")

    async def close_everything(self, master: Master) -> None:
        """The venues behave again, the master goes flat, exits are repaired; what is left of anybody must be dust."""
        desk, world = master.desk, master.world
        world.clear_faults()
        await calm(desk, world)
        for record in [r for r in desk.ledger.state.orders.values() if r.account == world.master]:
            await desk.engine.changes.cancel(record.order_id)
        await calm(desk, world)
        for base in BASES:
            symbol = market(venue_of(world.master), base)
            held = desk.ledger.state.position(world.master, symbol)
            if not held:
                continue
            if held.value * price_of(master, base) < _SELLABLE_USD:  # too little to be sold: a little more first
                await desk.buy(2 * _SELLABLE_USD, symbol)
            await desk.sell(symbol=symbol)
        await calm(desk, world)
        for account in desk.engine.services.roster.followers:
            await desk.engine.reconciler.repair(account, Repair.EXITS)
        await calm(desk, world)
        for account in desk.engine.services.roster.followers:
            for row in await desk.engine.reconciler.look(account, fresh=True):
                if row.ideal or (row.actual and not row.dust):
                    self.unexplained.append(f"{account} {row.symbol}: {row.actual} is left, dust: {row.dust}")


def last_orders(master: Master, row: DriftRow) -> list[str]:
    """The account's latest orders in the market as the ledger and as the venue has them, for whoever looks into it."""
    venue, _, name = row.account.partition(":")
    with sqlite3.connect(f"file:{master.world.paths.ledger}?mode=ro", uri=True) as rows:
        query = (
            "SELECT side, kind, state, quantity, filled, venue_order_id, ended_at FROM orders WHERE account = ? AND"
            " symbol = ? AND venue_order_id IS NOT NULL ORDER BY n DESC LIMIT 8"
        )
        ours = [f"ours {found}" for found in rows.execute(query, [row.account, row.symbol])]
    theirs = master.world.links[venue].ask("GET", f"orders?account={name}")["orders"][-8:]
    shown = ("side", "type", "status", "volume", "filled", "order_id", "closed_at_s")
    return [*ours, *(f"theirs {[order[key] for key in shown]}" for order in theirs)]


def price_of(master: Master, base: str) -> Decimal:
    """What the master's venue bids."""
    return master.world.quote(master.world.master, base).bid


async def ends(desk: Desk, world: DriftWorld) -> dict[str, Any]:
    """`count_ends`, once the file has what the system knows: it is written a moment later."""

    def written() -> bool:
        with sqlite3.connect(f"file:{world.paths.ledger}?mode=ro", uri=True) as rows:
            found = rows.execute("SELECT order_id, state FROM orders WHERE ended_at IS NULL").fetchall()
        return dict(found) == {r.order_id: r.state.value for r in desk.ledger.state.orders.values()}

    await until(written, "the ledger's file is up to date")
    return await asyncio.to_thread(count_ends, desk, world)


def count_ends(desk: Desk, world: DriftWorld) -> dict[str, Any]:
    """What the ledger says became of every order. `lost` are orders that never came to an end, and pairs of signal and
    follower without an answer."""
    followers = len(desk.engine.services.roster.followers)
    # `held` are exits that wait for the operator, each told in an alert.
    with sqlite3.connect(f"file:{world.paths.ledger}?mode=ro", uri=True) as rows:
        states = dict(rows.execute("SELECT role || ' ' || state, count(*) FROM orders GROUP BY 1").fetchall())
        placed = rows.execute("SELECT count(*) FROM orders WHERE venue_order_id IS NOT NULL").fetchone()[0]
        query = "SELECT order_id FROM orders WHERE ended_at IS NULL AND state != 'held'"
        open_ = [row[0] for row in rows.execute(query).fetchall()]
        query = "SELECT account, symbol, side, reason, detail, planned_at FROM orders WHERE state = 'held'"
        held = [" ".join(row) for row in rows.execute(query).fetchall()]
        signals = rows.execute("SELECT count(*) FROM signals").fetchone()[0]
        unplanned = rows.execute("SELECT count(*) FROM signals WHERE planned_at IS NULL").fetchone()[0]
        unanswered = rows.execute(
            "SELECT count(*) FROM signals WHERE json_extract(body, '$.kind') = 'placed' AND"
            " (SELECT count(DISTINCT account) FROM orders WHERE orders.signal_id = signals.signal_id) != ?",
            [followers],
        ).fetchone()[0]
    resting = {r.order_id for r in desk.ledger.state.orders.values() if r.kind.rests and r.cancel is None}
    lost = sum(order_id not in resting for order_id in open_)
    return {
        "signals": signals, "orders_in_ledger": placed, "ends": states, "held": held,
        "lost": {"orders_without_end": lost, "signals_unplanned": unplanned, "signals_unanswered": unanswered},
    }  # fmt: skip

"""Random trading with rejects and partial fills, and what the report on drift must then say of every follower."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from world import MASTER, Desk, World

from copytrade.copying.drift import Cause, DriftRow, Repair
from copytrade.domain.errors import CopyTradeError
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import OrderState, Side
from copytrade.engine.desk import TradeRequest
from copytrade.venues.kraken.options import TIERS, Tier

SYMBOLS = ("BTC/USD", "ETH/USD")
SIZES = (40, 100, 333, 1_000, 2_500, 10_000, 77_777)


def mixed_followers(count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Of all sizes, some with caps, some paused."""
    chance = random.Random(f"followers {seed}")
    found: dict[str, dict[str, Any]] = {}
    for number in range(count):
        terms: dict[str, Any] = {"cash": chance.choice(SIZES) + number}
        if chance.random() < 0.15:
            terms["max_order"] = chance.choice([15, 60, 200])
        if chance.random() < 0.15:
            terms["multiplier"] = chance.choice([0.5, 2])
        if chance.random() < 0.05:
            terms["mode"] = "paused"
        found[f"user_{number:04}"] = terms
    return found


def limitless() -> Tier:
    """Thousands of orders in minutes: neither side keeps Kraken's rate limits here, it is the sums that are tried."""
    tier = TIERS["pro"]
    return replace(
        tier, rest_max=1_000_000, rest_decay_per_s=1_000_000, trading_max=1_000_000, trading_decay_per_s=1_000_000
    )


@dataclass
class Tally:
    """What a run came to."""

    actions: int = 0
    refused: int = 0
    rows: int = 0
    orders: int = 0
    unexplained: list[str] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    worst_share: Decimal = Decimal(0)
    worst_rounding: Decimal = Decimal(0)  # in lot steps of the follower's venue


def set_faults(world: World, seed: int) -> None:
    """A venue that now and then ends an order early or refuses it, for the master as well."""
    world.venue.add_fault("partial_cancel", method="AddOrder", fraction="0.37", probability=0.06)
    world.venue.add_fault("reject_funds", method="AddOrder", probability=0.03)
    world.venue.add_fault("error", method="AddOrder", error="EOrder:Some new rule", when="before", probability=0.02)


async def act(desk: Desk, chance: random.Random, number: int, tally: Tally) -> None:
    """One random act of the master's; one that a guard or the venue refuses is counted."""
    symbol = chance.choice(SYMBOLS)
    held = desk.ledger.state.position(MASTER, symbol)
    if held and chance.random() < 0.45:
        whole = chance.random() < 0.3
        share = Decimal(chance.randint(5, 95)) / 100
        quantity = None if whole else Quantity(held.value * share)
        request = TradeRequest(f"act {number}", symbol, Side.SELL, quantity=quantity, whole=whole)
    else:
        request = TradeRequest(f"act {number}", symbol, Side.BUY, usd=Amount.of(chance.randint(20, 1_500)))
    tally.actions += 1
    try:
        record = await desk.place(request)
    except CopyTradeError:
        tally.refused += 1
        return
    if record.state is OrderState.REFUSED:
        tally.refused += 1
    if chance.random() < 0.5:
        await desk.settled()


async def look_at_everybody(desk: Desk, tally: Tally) -> None:
    """Each row's causes must be its whole difference, its position the venue's, its rounding no more than steps."""
    for account in desk.engine.services.roster.followers:
        for row in await desk.engine.reconciler.look(account, fresh=True):
            tally.rows += 1
            tally.worst_share = max(tally.worst_share, abs(row.share or Decimal(0)))
            for cause, _ in row.causes:
                tally.causes[cause] += 1
            tally.unexplained += doubts(desk, row, tally)


def doubts(desk: Desk, row: DriftRow, tally: Tally) -> list[str]:
    causes = dict(row.causes)
    found = []
    if not row.explained:
        found.append(f"{row.account} {row.symbol}: the causes of {row.error} add up to {sum(causes.values())}")
    if Cause.UNEXPLAINED in causes or row.missing or row.held != row.actual:
        found.append(f"{row.account} {row.symbol}: {row.actual} copied, {row.held} held; {causes}")
    instrument = desk.engine.services.instrument("kraken", row.symbol)
    assert instrument is not None
    # An entry under the minimum is skipped and told as that, so a rounding is under a step; exits make older ones less.
    rounding = abs(causes.get(Cause.ROUNDING, Decimal(0)))
    tally.worst_rounding = max(tally.worst_rounding, rounding / instrument.lot_step)
    orders = len(desk.world.orders(row.account.partition(":")[2]))
    if rounding > (orders + 2) * instrument.lot_step + Decimal("1e-12"):
        found.append(f"{row.account} {row.symbol}: rounding is {causes[Cause.ROUNDING]} after {orders} orders")
    return found


async def close_everything(desk: Desk, tally: Tally) -> None:
    """The venue behaves again, the master goes flat, exits are repaired; what is left of anybody must be dust."""
    desk.world.venue.clear_faults()
    await desk.settled()
    for symbol in SYMBOLS:
        if desk.ledger.state.position(MASTER, symbol):
            await desk.sell(symbol=symbol)
    await desk.settled()
    for account in desk.engine.services.roster.followers:
        await desk.engine.reconciler.repair(account, Repair.EXITS)
    await desk.settled()
    for account in desk.engine.services.roster.followers:
        for row in await desk.engine.reconciler.look(account, fresh=True):
            if row.ideal or (row.actual and not row.dust):
                tally.unexplained.append(f"{account} {row.symbol}: {row.actual} is left, dust: {row.dust}")



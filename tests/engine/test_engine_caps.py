"""I3 and I7 over a random run: no entry over its cap, no exit over what was copied, and everything ends.

The venue's own list of orders is the witness: it knows nothing of plans and caps.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ports import ClientAround, around_clients
from world import World

from copytrade.domain.money import Quantity
from copytrade.domain.order import OrderState, Side
from copytrade.domain.venue import OrderTicket, PlaceOutcome
from copytrade.engine.ports import Gate
from copytrade.engine.service import Wiring

D = Decimal
CASH = {"ann": D(1_000), "ben": D(333), "cat": D("77.77"), "dan": D(5_000), "eve": D("41.3")}
OWN = D("0.05")  # bitcoin that every follower had before; a sell that is too large would be taken by the venue
RISK = D("0.10")


def breaches(world: World) -> list[str]:
    """What the venue was sent and should not have been. Prices stand still, so equity only falls, by fees."""
    found = []
    for user, cash in CASH.items():
        copied: dict[str, Decimal] = {}
        for order in world.orders(user):
            symbol, filled, cost = order["symbol"], D(order["filled"]), D(order["cost"])
            held = copied.get(symbol, D(0))
            if order["side"] == "buy":
                if cost > RISK * (cash + OWN * 50_000):
                    found.append(f"{user} bought for {cost}")
                copied[symbol] = held + filled
            else:
                if D(order["volume"]) > held:
                    found.append(f"{user} sold {order['volume']} of {held}")
                copied[symbol] = held - filled
    return found


async def _random_run(world: World, seed: int, adjust: Callable[[Wiring], Wiring]) -> None:
    rng = random.Random(seed)
    async with world.trading(adjust) as desk:
        for _ in range(9):
            user = rng.choice(list(CASH))
            if rng.random() < 0.5:
                world.fault("partial_cancel", user, fraction=rng.choice(["0", "0.37", "0.8"]), count=1)
            elif rng.random() < 0.5:
                world.fault("drop", user, count=1)
            held = desk.position("master")
            if held and rng.random() < 0.45:
                part = (held * D(rng.randrange(5, 95)) / 100).quantize(D("0.00000001"))
                await desk.sell(str(part))
            else:
                await desk.buy(rng.randrange(50, 1_500))
        world.venue.clear_faults()
        if desk.position("master"):
            await desk.sell()
        await desk.settled()
        left = {user: desk.position(user) for user in CASH}
        held_back = [r for r in desk.ledger.state.orders.values() if r.state is OrderState.HELD]
        assert all(desk.alerts_of(record.account, "held") for record in held_back)
        assert all(each < D("0.00005") for each in left.values()) or held_back, left
        assert {user: world.holds(user) - OWN for user in CASH} == left


def _world(tmp_path: Path) -> World:
    bold = {user: {"cash": str(cash), "multiplier": 3} for user, cash in CASH.items()}
    world = World(tmp_path, followers=bold, master_cash=40_000)
    for user in CASH:
        world.venue.deposit(user, "BTC", OWN)
    return world


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_caps_hold_and_everyone_ends_flat_over_a_random_run(tmp_path: Path, seed: int) -> None:
    with _world(tmp_path) as world:
        await _random_run(world, seed, lambda wiring: wiring)
        assert sum(len(world.orders(user)) for user in CASH) > 15
        assert breaches(world) == []
        assert world.venue.doubles() == []


def _without_the_cap(wiring: Wiring) -> Wiring:
    bold = {account: replace(t, max_user_risk=D(1)) for account, t in wiring.followers.items()}
    return replace(wiring, followers=bold)


class Oversells(ClientAround):
    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        more = Quantity(ticket.quantity.value * D("1.5")).rounded_down(ticket.instrument.lot_step)
        oversold = ticket.side is Side.SELL and "master" not in ticket.account
        return await self.inner.place(replace(ticket, quantity=more) if oversold else ticket, gate)


@pytest.mark.parametrize(
    ("wrong", "complaint"), [(_without_the_cap, "bought for"), (around_clients(Oversells), "sold")]
)
async def test_control_a_breach_is_seen(tmp_path: Path, wrong: Callable[[Wiring], Wiring], complaint: str) -> None:
    with _world(tmp_path) as world:
        async with world.trading(wrong) as desk:
            await desk.buy("20000")
            await desk.settled()
            await desk.sell()
            await desk.settled()
        assert any(complaint in breach for breach in breaches(world))

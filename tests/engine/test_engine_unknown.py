"""I1: at most one venue order per copy, whatever the venue or the network does to the request or its answer.

One fan-out meets every fault at once, each at a follower of its own, and followers without a fault beside them. Each
test then looks at one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ports import ClientAround, around_clients
from world import Json, World

from copytrade.domain.money import Amount
from copytrade.domain.order import OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import OrderTicket
from copytrade.engine.desk import TradeRequest

# What happens to the first AddOrder of each follower. Without `when: before` the venue has taken the order.
_TAKEN = {"when": "after"}
_LOST = {"when": "before"}
FAULTS: dict[str, list[Json]] = {
    "dropbefore": [{"kind": "drop", **_LOST}],
    "dropafter": [{"kind": "drop", **_TAKEN}],
    "cutafter": [{"kind": "cut", **_TAKEN}],
    "hangbefore": [{"kind": "hang", **_LOST, "hang_s": 3}],
    "hangafter": [{"kind": "hang", **_TAKEN, "hang_s": 3}],
    "page502before": [{"kind": "status", **_LOST, "status": 502}],
    "page502after": [{"kind": "status", **_TAKEN, "status": 502}],
    "page504after": [{"kind": "status", **_TAKEN, "status": 504}],
    "page429after": [{"kind": "status", **_TAKEN, "status": 429}],
    "unavailablebefore": [{"kind": "error", **_LOST, "error": "EService:Unavailable"}],
    "unavailableafter": [{"kind": "error", **_TAKEN, "error": "EService:Unavailable"}],
    "busyafter": [{"kind": "error", **_TAKEN, "error": "EService:Busy"}],
    "internalafter": [{"kind": "error", **_TAKEN, "error": "EGeneral:Internal error"}],
    "unheardofafter": [{"kind": "error", **_TAKEN, "error": "EXyzzy:Never seen before"}],
    "duplicateafter": [{"kind": "error", **_TAKEN, "error": "EOrder:Duplicate order"}],
    "truncatedafter": [{"kind": "truncated_json", **_TAKEN}],
    "emptyafter": [{"kind": "empty", **_TAKEN}],
    "redirectafter": [{"kind": "redirect", **_TAKEN, "location": "/0/private/AddOrder"}],
    "nocontentafter": [{"kind": "no_content", **_TAKEN}],
    "hugeafter": [{"kind": "huge", **_TAKEN}],
    "staleafter": [{"kind": "stale", **_TAKEN}],
    "lateanswer": [{"kind": "delay", **_TAKEN, "delay_ms": 1_500}],
    "hidden": [{"kind": "hide", "hide_s": 1.0}],
    "hiddenlateanswer": [{"kind": "hide", "hide_s": 1.8}, {"kind": "delay", **_TAKEN, "delay_ms": 1_300}],
    "blind": [
        {"kind": "drop", **_TAKEN},
        {"kind": "status", **_LOST, "method": "OpenOrders", "status": 503, "count": 4},
        {"kind": "status", **_LOST, "method": "ClosedOrders", "status": 503, "count": 4},
    ],
    "unfiltered": [{"kind": "drop", **_TAKEN}, {"kind": "ignore_filter", "method": "ClosedOrders", "count": 20}],
}
REFUSALS: dict[str, tuple[str, Reason]] = {
    "nofunds": ("EOrder:Insufficient funds", Reason.INSUFFICIENT_FUNDS),
    "toosmall": ("EOrder:Order minimum not met", Reason.BELOW_MINIMUM),
    "badargs": ("EGeneral:Invalid arguments:volume", Reason.INVALID_ORDER),
    "newrefusal": ("EOrder:Some new rule", Reason.VENUE_REFUSED),
    "nopair": ("EQuery:Unknown asset pair", Reason.NOT_LISTED),
    "notmycountry": ("EAccount:Invalid permissions:BTC trading restricted", Reason.VENUE_REFUSED),
}
WELL = ["well1", "well2", "well3"]


@dataclass
class Aftermath:
    """What was there at the end: the ledger's copies and the venue's orders, by user."""

    copies: dict[str, OrderRecord]
    orders: dict[str, list[Json]]
    doubles: list[Json]
    positions: dict[str, Decimal]
    holdings: dict[str, Decimal]
    alerts: list[str]


async def _scenario(root: Path) -> Aftermath:
    users = [*FAULTS, *REFUSALS, *WELL]
    with World(root, followers=dict.fromkeys(users, 1_000)) as world:
        async with world.trading() as desk:
            for user, faults in FAULTS.items():
                for fault in faults:
                    values: dict[str, Any] = {"method": "AddOrder", "count": 1, **fault}
                    world.fault(values.pop("kind"), user, **values)
            for user, (error, _) in REFUSALS.items():
                world.fault("error", user, error=error, when="before", count=1)
            signal = await desk.buy("1000")
            await desk.dealt_with(signal)
            await desk.settled()
            return Aftermath(
                {user: desk.copy(signal, user) for user in users},
                {user: world.orders(user) for user in users},
                world.venue.doubles(),
                {user: desk.position(user) for user in users},
                {user: world.holds(user) for user in users},
                list(world.alerts),
            )


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    return asyncio.run(_scenario(tmp_path_factory.mktemp("faults")))


@pytest.mark.parametrize("user", [*FAULTS, *WELL])
def test_one_order_per_copy_and_the_ledger_knows_it(aftermath: Aftermath, user: str) -> None:
    (order,) = aftermath.orders[user]
    copy = aftermath.copies[user]
    assert copy.state is OrderState.FILLED
    assert (copy.venue_order_id, copy.order_id) == (order["order_id"], order["client_id"])
    assert str(copy.filled) == order["filled"] == "0.002"
    assert aftermath.positions[user] == aftermath.holdings[user] == Decimal("0.002")


@pytest.mark.parametrize("user", REFUSALS)
def test_a_refused_entry_is_final_with_the_venues_reason(aftermath: Aftermath, user: str) -> None:
    copy = aftermath.copies[user]
    assert aftermath.orders[user] == []
    assert copy.state is OrderState.REFUSED
    assert copy.reason is REFUSALS[user][1]
    assert REFUSALS[user][0] in copy.detail
    assert aftermath.positions[user] == 0


def test_nothing_was_doubled(aftermath: Aftermath) -> None:
    assert aftermath.doubles == []


# -- the control ---------------------------------------------------------------------------------------------------


class FindsNothing(ClientAround):
    """What an engine would do that takes every lost answer for a failure."""

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> None:
        return None


async def test_control_an_engine_that_does_not_look_orders_up_doubles_them(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading(around_clients(FindsNothing)) as desk:
            world.fault("drop", "alice_smith", count=1)
            await desk.dealt_with(await desk.buy("1000"))
            await desk.settled()
            assert len(world.orders("alice_smith")) == 2
            assert len(world.venue.doubles()) == 1


# -- the same wish twice -------------------------------------------------------------------------------------------


async def test_one_request_handed_in_many_times_is_one_master_order(tmp_path: Path) -> None:
    wish = TradeRequest("the same wish", "BTC/USD", Side.BUY, usd=Amount.of("1000"))
    with World(tmp_path) as world:
        async with world.trading() as desk:
            at_once = await asyncio.gather(*(desk.place(wish) for _ in range(8)))
            again = await desk.place(wish)
            assert {record.order_id for record in [*at_once, again]} == {at_once[0].order_id}
            await desk.settled()
        async with world.trading() as desk:
            after_a_restart = await desk.place(wish)
            assert after_a_restart.order_id == at_once[0].order_id
            await desk.settled()
        assert [len(world.orders(user)) for user in ("master", "alice_smith", "bob_jones")] == [1, 1, 1]


async def test_a_master_order_without_an_answer_is_found_and_copied_once(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with world.trading() as desk:
            world.fault("drop", "master", count=1)
            await desk.dealt_with(await desk.buy("1000"))
            await desk.settled()
        assert [len(world.orders(user)) for user in ("master", "alice_smith", "bob_jones")] == [1, 1, 1]


async def test_a_refused_master_order_is_not_copied(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with world.trading() as desk:
            world.fault("error", "master", error="EOrder:Insufficient funds", when="before", count=1)
            record = await desk.place(TradeRequest("one", "BTC/USD", Side.BUY, usd=Amount.of("1000")))
            assert record.state is OrderState.REFUSED
            assert record.reason is Reason.INSUFFICIENT_FUNDS
            assert world.plans == []
        assert [len(world.orders(user)) for user in ("master", "alice_smith", "bob_jones")] == [0, 0, 0]

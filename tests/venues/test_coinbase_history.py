"""Reading Coinbase's history: orders and fills as it may tell them, and what proves nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from coinbase_lab import at_raw_server, ticket
from kraken_lab import http

from copytrade.domain.errors import VenueError
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.venue import ExecutionStatus


def order_object(**changes):
    return {
        "order_id": "o-1", "client_order_id": ticket().order_id, "status": "FILLED", "filled_size": "0.001",
        "filled_value": "50", "total_fees": "0.3", "reject_reason": "REJECT_REASON_UNSPECIFIED", **changes,
    }  # fmt: skip


def listing(*orders, **rest) -> bytes:
    return http({"orders": list(orders), "has_next": False, "cursor": "", **rest})


def fills(*order_ids, cursor="") -> bytes:
    return http({"fills": [{"order_id": order_id} for order_id in order_ids], "cursor": cursor})


async def test_fill_of_an_order_that_is_not_listed_leads_to_it():
    script = (listing(), fills("o-known", "o-1", "o-1"), http({"order": order_object()}))
    async with at_raw_server(*script) as (server, account):
        found = await account.find(ticket(), datetime.now(UTC), ("o-known",))
        assert found.venue_order_id == "o-1"
        assert [heard.head.split()[1].partition("?")[0].rpartition("/")[2] for heard in server.heard] == [
            "batch", "fills", "o-1",
        ]  # fmt: skip


@pytest.mark.parametrize(
    "script",
    [
        (http({}),),
        (http({"orders": None}),),
        (http({"orders": [], "cursor": ""}),),
        (listing(7),),
        (listing({"order_id": "o-1"}),),
        (listing({"client_order_id": "x"}),),
        (listing(has_next=True),),
        (listing(has_next=True, cursor="1"),),
        (listing(has_next="yes"),),
        (listing(), http({})),
        (listing(), fills("")),
        (listing(), fills(None)),
        (listing(), fills("a/../b")),
        (listing(), fills("o-1", cursor="1")),
        (listing(), fills("o-1"), http({})),
        (listing(), fills("o-1"), http({"error": "NOT_FOUND"}, "404 Not Found")),
        (listing(), fills(*(f"o-{number}" for number in range(51)))),
        (listing(order_object(status="UNKNOWN_ORDER_STATUS")),),
    ],
    ids=lambda script: " ".join(part.partition(b"\r\n\r\n")[2].decode()[:50] for part in script),
)
async def test_history_with_a_hole_in_it_is_an_error(script):
    async with at_raw_server(*script) as (_, account):
        with pytest.raises(VenueError):
            await account.find(ticket(), datetime.now(UTC), ())


async def test_orders_of_other_programs_have_other_ids_or_none():
    others = (order_object(order_id="o-2", client_order_id=""), order_object(order_id="o-3", client_order_id=None))
    async with at_raw_server(listing(*others), fills()) as (_, account):
        assert await account.find(ticket(), datetime.now(UTC), ()) is None


async def test_look_up_asks_for_every_status_from_a_little_before():
    async with at_raw_server(listing(order_object())) as (server, account):
        await account.find(ticket(), datetime(2026, 1, 1, tzinfo=UTC), ())
        target = server.heard[0].head.split()[1]
        assert target == "/api/v3/brokerage/orders/historical/batch?limit=100&start_date=2025-12-31T23%3A58%3A58.000Z"


@pytest.mark.parametrize(
    ("changes", "status", "quantity"),
    [
        ({}, ExecutionStatus.FILLED, "0.001"),
        ({"filled_size": "0"}, ExecutionStatus.OPEN, "0"),  # the status runs ahead of the fills
        ({"filled_size": ""}, ExecutionStatus.OPEN, "0"),
        ({"status": "QUEUED", "filled_size": "0"}, ExecutionStatus.OPEN, "0"),
        ({"status": "EDIT_QUEUED"}, ExecutionStatus.OPEN, "0.001"),
        ({"status": "EXPIRED"}, ExecutionStatus.CANCELLED, "0.001"),
        ({"status": "FAILED", "filled_size": "0", "reject_reason": "NO_ROOM"}, ExecutionStatus.CANCELLED, "0"),
    ],
)
async def test_order_is_read_as_totals(changes, status, quantity):
    async with at_raw_server(http({"order": order_object(**changes)})) as (_, account):
        execution = await account.execution("o-1")
        assert (execution.status, execution.quantity) == (status, Quantity.of(quantity))
        assert (execution.cost, execution.fee) == (Amount.of(50), Amount.of("0.3"))
        assert not execution.fee_base
        assert execution.detail == ("NO_ROOM" if "reject_reason" in changes else "")


@pytest.mark.parametrize(
    "order",
    [
        order_object(status="NEW_WORD"), order_object(status="UNKNOWN_ORDER_STATUS"), order_object(filled_size="-1"),
        order_object(filled_value="much"), order_object(total_fees="NaN"), order_object(order_id="o-2"),
        {"order_id": "o-1"}, {}, [], None,
    ],
    ids=str,
)  # fmt: skip
async def test_order_that_cannot_be_read_is_an_error(order):
    async with at_raw_server(http({"order": order})) as (_, account):
        with pytest.raises(VenueError):
            await account.execution("o-1")

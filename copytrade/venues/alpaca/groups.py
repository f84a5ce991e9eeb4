"""What belongs to one order at Alpaca: those that replaced it, and the other leg of its list.

Who changes an order there (PATCH) makes a new one with an id of its own, which names the old one. A list has its legs
inside its first order, where it is asked for with `nested`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from copytrade.domain.errors import VenueUnavailable
from copytrade.venues.alpaca.orders import REPLACED, Group, Order

# Somebody who replaces an order by hand does so a few times; each takes a request to follow.
REPLACED_MAX = 100

# What a leg is that waits for its entry, or ended with it.
_IDLE = ("held", "pending_new", "canceled", "expired", "rejected")

Read = Callable[[str], Awaitable[Order]]
"""An order by its id, legs inside. Raises `VenueError`."""


def is_list(order: Order) -> bool:
    """Whether an order is part of a list (bracket, OCO, OTO), or its first."""
    return order.get("order_class") not in (None, "", "simple")


def legs_of(order: Order) -> list[Order]:
    """The orders inside an order."""
    legs = order.get("legs")
    return [leg for leg in legs if isinstance(leg, dict)] if isinstance(legs, list) else []


def members(group: Group) -> Iterator[Order]:
    """Every order object of a group."""
    yield from group.chain
    yield from group.legs


async def gather(order: Order, read: Read) -> Group:
    """The order with what replaced it, and with its other leg. Raises `VenueError`."""
    chain = await _chain(order, read)
    legs: dict[str, Order] = {}
    for part in chain:
        for leg in legs_of(part):
            if leg.get("side") == order.get("side"):  # a bracket's exits are orders of their own
                for each in await _chain(leg, read):
                    legs[str(each.get("id"))] = each
    for part in chain:
        legs.pop(str(part.get("id")), None)
    return Group(chain, list(legs.values()))


async def exits(order: Order, read: Read) -> Group | None:
    """The legs of an entry (a bracket, an OTO) as an order of their own; None unless its fill set them to work."""
    legs = [leg for leg in legs_of(order) if leg.get("side") != order.get("side")]
    idle = all(leg.get("status") in _IDLE for leg in legs)
    if not legs or (idle and order.get("status") != "filled"):
        return None
    profit = next((leg for leg in legs if leg.get("stop_price") is None), legs[0])
    others = [part for leg in legs if leg is not profit for part in await _chain(leg, read)]
    return Group(await _chain(profit, read), others)


async def head(order: Order, read: Read) -> Order:
    """The first of the orders that this one replaced. Raises `VenueError`."""
    for _ in range(REPLACED_MAX):
        before = order.get("replaces")
        if before is None:
            return order
        order = await read(str(before))
    raise _without_end(order)


async def _chain(order: Order, read: Read) -> list[Order]:
    chain = [order]
    while chain[-1].get("status") == REPLACED and (following := chain[-1].get("replaced_by")) is not None:
        if len(chain) == REPLACED_MAX:
            raise _without_end(order)
        chain.append(await read(str(following)))
    return chain


def _without_end(order: Order) -> VenueUnavailable:
    return VenueUnavailable(
        f"order {order.get('id')!s:.64} was replaced more than {REPLACED_MAX} times; look it up by hand at "
        "alpaca.markets"
    )

"""The way of a copy when nothing goes wrong: sizes, order, fills, the worked example."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from world import World

from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason


async def test_the_worked_example_over_http(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000, "bob_jones": 500}) as world:
        async with world.trading() as desk:
            signal = await desk.buy("1000")
            copies = await desk.dealt_with(signal)
            assert [str(c.quantity * c.price) for c in copies if c.price] == ["100", "50"]
            await desk.settled()
            assert desk.copy(signal, "alice_smith").state is OrderState.FILLED
            assert world.holds("alice_smith") == desk.position("alice_smith") == Decimal("0.002")
            assert world.holds("bob_jones") == desk.position("bob_jones") == Decimal("0.001")

            out = await desk.sell()
            await desk.settled()
            assert [c.reason for c in desk.copies(out)] == [Reason.WHOLE_POSITION, Reason.WHOLE_POSITION]
            assert world.holds("alice_smith") == world.holds("bob_jones") == world.holds("master") == 0
            assert world.venue.doubles() == []

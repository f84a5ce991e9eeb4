"""`limits` and `rearm`, with a worker and without one."""

from __future__ import annotations

from typing import Any

import pytest
from console_world import Program, World

ALICE = "kraken:alice_smith"


def rows(world: World, *arguments: str) -> dict[str, Any]:
    return {row["limit"]: row for row in world.json("limits", *arguments)}


@pytest.mark.parametrize("with_worker", [True, False], ids=["worker", "alone"])
def test_a_limit_that_has_tripped_is_shown_and_armed_again(world: World, with_worker: bool) -> None:
    world.change_user("alice_smith", min_equity={"limit": 5_000, "rearm": "by_hand"}, max_order=100)
    before = rows(world, "alice_smith")
    assert before["min_equity"]["used"] is None
    assert before["min_equity"]["allowed"] == "5000"

    def act() -> None:
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        world.settle()
        copies = {copy["account"]: copy for copy in world.json("copies", "--signal", "last")}
        assert copies[ALICE]["reason"] == "equity_floor"
        shown = rows(world, "alice_smith")
        assert set(shown) == {"min_equity", "max_order"}
        assert "under 5000" in shown["min_equity"]["detail"]
        assert (shown["min_equity"]["used"], shown["min_equity"]["rearm"]) == ("1000", "by_hand")
        text = world.command("limits").out
        assert "under 5000" in text
        # The floor is lowered first: an account that is still under it would trip again at once.
        world.change_user("alice_smith", min_equity={"limit": 500, "rearm": "by_hand"}, max_order=100)

    def again() -> None:
        assert world.json("rearm", "alice_smith", "min_equity") == {
            "rearmed": [{"account": ALICE, "limit": "min_equity"}]
        }
        assert rows(world, ALICE)["min_equity"]["tripped_at"] is None
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        world.settle()
        copies = {copy["account"]: copy for copy in world.json("copies", "--signal", "last")}
        assert copies[ALICE]["state"] == "filled"

    if with_worker:
        with world.worker() as worker:
            act()
            worker.line("min_equity.amount: 5000 -> 500")
            again()
    else:
        act()
        again()


def test_who_and_what_is_not_there_is_said(shared: tuple[World, Program]) -> None:
    world, _ = shared
    assert world.json("limits") == []
    assert "no follower has such limits" in world.command("limits").out
    done = world.command("limits", "nobody", "--json")
    assert (done.code, "nobody" in done.json["message"]) == (1, True)
    done = world.command("rearm", "alice_smith", "--json")
    assert (done.code, "limits shows them" in done.json["message"]) == (1, True)
    done = world.command("rearm", "alice_smith", "max_luck", "--json")
    assert (done.code, "max_drawdown" in done.json["message"]) == (2, True)

"""Orders that rest, from the command line: with a worker and without one, and what is said of wrong ones."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from console_world import Program, World, wait_until

from copytrade.console.cli import main

TRADE = ["trade", "BTC/USD", "buy", "--usd", "100"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*TRADE, "--limit", "cheap"], "--limit is"),
        ([*TRADE, "--stop", "NaN"], "--stop is"),
        ([*TRADE, "--take-profit", "Infinity"], "--take-profit is"),
        ([*TRADE, "--ioc"], "go with --limit alone"),
        ([*TRADE, "--post-only"], "go with --limit alone"),
        ([*TRADE, "--limit", "1", "--ioc", "--post-only"], "one of them"),
        ([*TRADE, "--limit", "1", "--stop", "2", "--post-only"], "go with --limit alone"),
        ([*TRADE, "--limit", "1", "--stop", "2", "--take-profit", "3"], "takes no --limit"),
    ],
    ids=lambda value: " ".join(value[5:]) if isinstance(value, list) else "",
)
def test_prices_that_make_no_order(
    world: World, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    folders = ["--config", str(world.config), "--users", str(world.users_dir), "--state", str(world.state)]
    code = main([*arguments, "--json", *folders])
    out, err = capsys.readouterr()
    assert (code, err) == (2, "")
    assert words in json.loads(out)["message"]
    assert not world.state.exists()


def refused(world: World, *arguments: str) -> str:
    """What a command says that must fail."""
    done = world.command(*arguments, "--json")
    assert (done.code, done.err) == (1, ""), done
    return str(done.json["message"])


def price(world: World) -> Decimal:
    """What the market stands at, by a small order at market."""
    return Decimal(world.json("trade", "BTC/USD", "buy", "--usd", "300")["master"]["price"])


def copies_at_venue(result: dict[str, Any]) -> list[str]:
    return sorted(copy["account"] for copy in result["copies"] if copy["venue_order_id"] is not None)


FOLLOWERS = ["kraken:alice_smith", "kraken:bob_jones"]


def rests_is_changed_and_taken_back(world: World, *, errors: bool) -> None:
    """A limit order's life, by one process for each command."""
    market = price(world)
    low, lower = (str((market * Decimal(part)).quantize(Decimal(1))) for part in ("0.9", "0.8"))
    placed = world.json("trade", "BTC/USD", "buy", "--usd", "1000", "--limit", low)
    assert (placed["master"]["state"], placed["master"]["kind"]) == ("accepted", "limit")
    assert Decimal(placed["master"]["limit_price"]) == Decimal(low)
    assert copies_at_venue(placed) == FOLLOWERS
    order_id = placed["master"]["order_id"]
    copy_id = next(copy["order_id"] for copy in placed["copies"] if copy["account"] == FOLLOWERS[0])
    shown = world.json("orders")[0]
    assert (shown["order_id"], shown["state"], shown["taken_back"]) == (order_id, "accepted", None)

    if errors:
        assert "cancel the master's order instead" in refused(world, "cancel", copy_id)
        assert "there is no order nonsense; `orders` lists" in refused(world, "cancel", "nonsense")
        assert "say what to change: --quantity, --limit" in refused(world, "amend", order_id)
        for few in ("0", "-1"):
            told = refused(world, "amend", order_id, "--quantity", few)
            assert f"--quantity is {few}, and must be above zero" in told
        assert "--quantity is" in refused(world, "amend", order_id, "--quantity", "much")
        assert "limit order takes no stop price" in refused(world, "amend", order_id, "--stop", low)
        assert "has no take-profit to change" in refused(world, "amend", order_id, "--take-profit", low)

    changed = world.json("amend", order_id, "--limit", lower)
    assert changed["master"]["order_id"] != order_id
    assert Decimal(changed["master"]["limit_price"]) == Decimal(lower)
    assert copies_at_venue(changed) == FOLLOWERS
    if errors:
        assert "is over already: cancelled" in refused(world, "amend", order_id, "--limit", low)

    gone = world.command("cancel", changed["master"]["order_id"])
    assert gone.code == 0, gone
    assert f"is cancelled, 0 filled; order {changed['master']['order_id']}" in gone.out
    # Those of the change, and not once more the ones that had been taken back for it.
    assert gone.out.count("the master has cancelled its order") == len(FOLLOWERS)
    assert gone.out.count("alice_smith: ") == 1
    assert gone.out.count("cancelled, 0 of ") == len(FOLLOWERS), "it waits for the venue to confirm"
    assert "is over already: cancelled" in refused(world, "cancel", changed["master"]["order_id"])
    states = [(order["state"], order["kind"]) for order in world.json("orders")[:2]]
    assert states == [("cancelled", "limit")] * 2
    world.settle()
    table = world.command("orders").out
    assert low in table
    assert lower in table
    told = world.command("signals").out
    assert [what for what in ("placed", "amended", "cancelled") if f" {what} " not in told] == []
    assert "sized: scaled by the ratio of equities (" in world.command("copies").out


def rests_as_a_bracket(world: World) -> None:
    """A bracket at a venue without them: its profit can be moved, and is part of what is shown."""
    market = price(world)
    stop, profit, higher = (str((market * Decimal(part)).quantize(Decimal(1))) for part in ("0.9", "1.2", "1.3"))
    sell = ["trade", "BTC/USD", "sell", "--all", "--stop", stop, "--take-profit", profit]
    placed = world.json(*sell)
    assert (placed["master"]["state"], placed["master"]["kind"]) == ("accepted", "stop")
    assert copies_at_venue(placed) == FOLLOWERS
    changed = world.json("amend", placed["master"]["order_id"], "--take-profit", higher)
    assert copies_at_venue(changed) == FOLLOWERS
    assert Decimal(changed["master"]["stop_price"]) == Decimal(stop)
    assert Decimal(world.json("orders")[0]["profit"]) == Decimal(higher)
    assert Decimal(changed["master"]["take_profit"]) == Decimal(higher)
    row = next(line for line in world.command("orders").out.splitlines() if changed["master"]["order_id"] in line)
    assert row.split()[-4:] == [stop, higher, "accepted", "0"]
    assert " bracket " in row
    held = world.command("trade", "BTC/USD", "sell", "--all")
    assert held.code == 1
    assert f"held by {changed['master']['order_id']}, at rest" in held.out
    gone = world.command("cancel", changed["master"]["order_id"]).out
    assert f"bracket sell {changed['master']['quantity']} BTC/USD stop {stop} take-profit {higher}" in gone
    world.json("trade", "BTC/USD", "sell", "--all")
    world.settle()
    assert world.json("positions") == []


@pytest.mark.slow
def test_without_a_worker_an_order_rests_is_changed_and_taken_back(world: World) -> None:
    rests_is_changed_and_taken_back(world, errors=False)


@pytest.mark.slow
def test_with_a_worker(shared: tuple[World, Program]) -> None:
    world, worker = shared
    rests_is_changed_and_taken_back(world, errors=True)
    rests_as_a_bracket(world)
    assert worker.process.poll() is None, "\n".join(worker.out[-5:] + worker.err[-30:])


def test_at_once_or_not_at_all_and_never_at_once(shared: tuple[World, Program]) -> None:
    world, _ = shared
    market = price(world)
    low, high = (str((market * Decimal(part)).quantize(Decimal(1))) for part in ("0.9", "1.1"))
    done = world.command("trade", "BTC/USD", "buy", "--usd", "300", "--limit", high, "--post-only")
    assert done.code == 1, "it would have filled at once"
    assert "was not placed" in done.out
    missed = world.json("trade", "BTC/USD", "buy", "--usd", "300", "--limit", low, "--ioc")
    assert missed["master"]["kind"] == "ioc_limit"
    wait_until(lambda: world.json("orders")[0]["state"] == "cancelled", "the order to end at the venue")
    assert Decimal(world.json("orders")[0]["filled"]) == 0
    assert world.json("signals")[0]["kind"] == "cancelled"
    wait_until(
        lambda: {c["state"] for c in world.json("copies", "--signal", "last")} == {"cancelled", "skipped"},
        "the copies of the order, which its end asks nothing of",
    )
    assert "no such copies" in world.command("copies", "--signal", "last", "--in", "filled").out
    waits = world.command("trade", "BTC/USD", "buy", "--usd", "300", "--limit", low, "--post-only")
    assert waits.code == 0, waits
    assert f"limit {low}" in waits.out
    order_id = world.json("orders")[0]["order_id"]
    assert f"order {order_id}, for cancel and amend" in waits.out
    world.json("cancel", order_id)
    world.json("trade", "BTC/USD", "sell", "--all")
    world.settle()
    assert world.json("positions") == []


def test_the_times_of_every_hop_of_a_copy(shared: tuple[World, Program]) -> None:
    world, _ = shared
    world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    world.settle()
    table = world.command("copies", "--signal", "last", "--times").out
    assert "milliseconds since the master's order was accepted" in table
    assert all(hop in table for hop in ("durable", "planned", "sent", "acknowledged", "filled", "cancelled"))
    copy = next(copy for copy in world.json("copies", "--signal", "last") if copy["state"] == "filled")
    hops = copy["hops_ms"]
    assert hops["planned"] <= hops["sent"] <= hops["acknowledged"] <= hops["filled"], hops
    skipped = world.json("copies", "--signal", "last", "--in", "skipped")[0]
    assert (skipped["hops_ms"]["sent"], skipped["hops_ms"]["filled"]) == (None, None)
    world.json("trade", "BTC/USD", "sell", "--all")
    world.settle()
    assert world.json("positions") == []

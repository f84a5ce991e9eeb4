"""Random stories of orders that rest: whatever a master may do with a market it has to itself, in a legal order."""

from __future__ import annotations

import random
from typing import Any

from crash_resting_stories import USD, Market, Step

WHO = ("alice_smith", "bob_jones", "master")
# Every limit is within one percent of the market and every trigger within two, so that four reach all of them.
FAR, NEAR = "4", ("-0.4", "-0.3", "-0.2", "-0.1")
# How an order to sell all is made, and where the market goes that ends it.
EXITS: tuple[tuple[str, dict[str, str], tuple[str, ...]], ...] = (
    ("limit", {"limit": "0.4"}, ("4",)),
    ("post_only", {"limit": "0.8"}, ("4",)),
    ("stop", {"stop": "-1.5"}, ("-4",)),
    ("stop_limit", {"stop": "-1", "limit": "-6"}, ("-4",)),
    ("take_profit", {"stop": "1.5"}, ("4",)),
    ("bracket", {"limit": "1.8", "stop": "-1.8"}, ("4", "-4")),
)


def random_story(chance: random.Random, market: Market) -> list[Step]:
    """Entries and exits one after the other, most of which rest for a while; in the end the master is flat."""
    steps: list[Step] = []
    for number in range(chance.randint(1, 3)):
        steps += _entry(chance, market, f"in-{number}")
        if chance.random() < 0.3:
            share = {"act": "place", "id": f"part-{number}", "side": "sell", "share": "0.5"}
            steps.append(share)
        steps += _exit(chance, market, f"out-{number}")
        steps.append({"act": "place", "id": f"rest-{number}", "side": "sell", "whole": True})
    for step in steps:  # hasty ones: what follows is asked for while the copies are on their way
        if step["act"] in ("place", "amend", "cancel") and "share" not in step and chance.random() < 0.3:
            step["calm"] = False
    return steps


def _entry(chance: random.Random, market: Market, name: str) -> list[Step]:
    step: Step = {"act": "place", "id": name, "side": "buy", "usd": USD}
    kind = chance.choice(["market", "limit", "limit", "post_only", "stop"])
    if kind == "market":
        return [step]
    if kind == "stop":
        step |= {"kind": kind, "stop": market.at("1")}
        return [step, *_end(chance, market, name, ["4"])]
    step |= {"kind": kind, "limit": market.at(chance.choice(NEAR))}
    return [step, *_middle(chance, market, name), *_end(chance, market, name, ["-4"])]


def _exit(chance: random.Random, market: Market, name: str) -> list[Step]:
    kind, prices, ends = chance.choice(EXITS)
    at = {word: market.at(percent) for word, percent in prices.items()}
    step: Step = {"act": "place", "id": name, "side": "sell", "whole": True, "kind": kind, **at}
    met = [{"act": "fill", "who": chance.choice(WHO), "share": "0.4"}] if kind == "limit" else []
    return [step, *met, *_end(chance, market, name, list(ends))]


def _middle(chance: random.Random, market: Market, name: str) -> list[Step]:
    """What happens to a bid while it rests."""
    steps: list[Step] = []
    turn = 0
    for _ in range(chance.randint(0, 3)):
        if chance.random() < 0.5:
            step: Step = {"act": "amend", "of": name, "turn": turn, "limit": market.at(chance.choice(NEAR))}
            if chance.random() < 0.5:
                step["share"] = chance.choice(["0.7", "1.3"])
            turn += 1
        else:
            step = {"act": "fill", "who": chance.choice(WHO), "share": chance.choice(["0.2", "0.5", "0.7"])}
        steps.append(step)
    return steps


def _end(chance: random.Random, market: Market, name: str, percents: list[str]) -> list[Step]:
    """The order is taken back, met in whole, or reached by the market, which then goes back to where it was."""
    how = chance.random()
    cancel: Step = {"act": "cancel", "of": name}
    if how < 0.35:
        return [cancel]
    if how < 0.6:
        return [{"act": "fill", "who": "master", "share": "1"}, cancel]
    return [
        {"act": "price", "price": market.at(chance.choice(percents)), "ends": True},
        {"act": "price", "price": market.at("0"), "ends": False},
        cancel,
    ]


def random_fault(chance: random.Random, venue: str) -> dict[str, Any]:
    """A lost or late answer of a cancel, an order or a look."""
    method = chance.choice(METHODS[venue])
    return {"method": method, **chance.choice(FAULTS)}


# What each venue calls a cancel, an order, and a look at one.
CALLS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "kraken": (("CancelOrder",), ("AddOrder",), ("QueryOrders",)),
    "binance": (("DELETE /api/v3/order",), ("POST /api/v3/order",), ("GET /api/v3/order",)),
    "coinbase": (("cancel_orders",), ("create_order",), ("get_order",)),
    "alpaca": (("DELETE /v2/orders/{id}",), ("POST /v2/orders",), ("GET /v2/orders/{id}",)),
    "okx": (
        ("POST /trade/cancel-order", "POST /trade/cancel-algos"), ("POST /trade/order", "POST /trade/order-algo"),
        ("GET /trade/order", "GET /trade/order-algo"),
    ),
}  # fmt: skip
METHODS = {venue: tuple(name for names in calls for name in names) for venue, calls in CALLS.items()}
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "drop", "when": "after"}, {"kind": "drop", "when": "before"}, {"kind": "cut", "when": "after"},
    {"kind": "status", "when": "before", "status": 503}, {"kind": "status", "when": "after", "status": 502},
    {"kind": "empty", "when": "after"}, {"kind": "delay", "when": "before", "delay_ms": 500},
    {"kind": "delay", "when": "after", "delay_ms": 500},
)  # fmt: skip

"""A strategy for the tests: buys at its first look, adds nothing, and sells when it is told to by the price.

It is asked at every cycle (its candles are none), and its memory counts what it has been asked.
"""

from __future__ import annotations

from decimal import Decimal

from copytrade.domain.money import Amount
from copytrade.domain.order import Side
from copytrade.strategy.port import Decision, Needs, View, Wish


class Loner:
    """Buys for `amount`; sells all of it at the look after `looks` of them."""

    name = "loner"
    needs = Needs(symbols=("BTC/USD",), every_s=0.01)
    amount = Decimal(50)
    looks = 10**9

    def decide(self, view: View) -> Decision:
        count = int(view.memory["count"]) + 1 if view.memory else 1
        memory = {"count": count}
        if not view.held:
            wish = Wish(f"in {count}", Side.BUY, amount=Amount(self.amount))
            return Decision(memory, wish, if_refused=memory)
        if count >= self.looks:
            return Decision(memory, Wish(f"out {count}", Side.SELL, whole=True), if_refused=memory)
        return Decision(memory)


class Brief(Loner):
    """Sells again at its fifth look, and is then done."""

    looks = 5

    def decide(self, view: View) -> Decision:
        if view.memory and int(view.memory["count"]) >= self.looks and not view.held:
            return Decision(view.memory)
        return super().decide(view)


class Greedy(Loner):
    """Wants more than any account has."""

    amount = Decimal(1_000_000)


class Broken(Loner):
    """Fails at every look."""

    def decide(self, view: View) -> Decision:
        raise RuntimeError("no idea")

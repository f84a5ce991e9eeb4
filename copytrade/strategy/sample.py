"""The sample strategy of paper mode: it has no opinion on the market and trades every few seconds, to be watched."""

from __future__ import annotations

from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Side
from copytrade.strategy.port import Decision, Needs, View, Wish


class SampleStrategy:
    """Buys, buys half as much again, sells half of what it has, sells the rest; and so on."""

    name = "sample"

    def __init__(self, symbol: str, amount: Amount, every_s: float) -> None:
        self._amount = amount
        self._every_s = every_s
        self.needs = Needs(symbols=(symbol,), every_s=every_s)

    def decide(self, view: View) -> Decision:
        """It needs no memory: what it does follows from the time, and so does the key."""
        step = round(view.at_s / self._every_s)
        key, move = str(step), step % 4
        if move in (0, 1):
            amount = self._amount if move != 1 else Amount(self._amount.value / 2)
            return Decision(wish=Wish(key, Side.BUY, amount=amount))
        if not view.held:
            # Asked again within this step it holds something and sells: another order, which needs another key.
            return Decision(wish=Wish(f"{key} first", Side.BUY, amount=self._amount))
        if move == 2:
            return Decision(wish=Wish(key, Side.SELL, quantity=Quantity(view.held.value / 2)))
        return Decision(wish=Wish(key, Side.SELL, whole=True))

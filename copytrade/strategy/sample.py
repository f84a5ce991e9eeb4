"""The sample strategy of paper mode: it has no opinion on the market and trades every few seconds, to be watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from copytrade.domain.money import NO_QUANTITY, Amount, Quantity
from copytrade.domain.order import Side
from copytrade.strategy.port import Wish


class SampleStrategy:
    """Buys, buys half as much again, sells half of what it has, sells the rest; and so on."""

    name = "sample"

    def __init__(self, symbol: str, amount: Amount, every_s: float) -> None:
        self._symbol = symbol
        self._amount = amount
        self.every_s = every_s

    def decide(self, now: datetime, positions: Mapping[str, Quantity]) -> Sequence[Wish]:
        step = int(now.timestamp() / self.every_s)
        key, held = str(step), positions.get(self._symbol, NO_QUANTITY)
        move = step % 4
        if move in (0, 1) or not held:
            amount = self._amount if move != 1 else Amount(self._amount.value / 2)
            return [Wish(key, self._symbol, Side.BUY, amount=amount)]
        if move == 2:
            return [Wish(key, self._symbol, Side.SELL, quantity=Quantity(held.value / 2))]
        return [Wish(key, self._symbol, Side.SELL, whole=True)]

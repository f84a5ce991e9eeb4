"""What a strategy is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Side


@dataclass(frozen=True, slots=True)
class Wish:
    """An order that the strategy wants placed: for `amount` of quote currency, or of `quantity`, or `whole`.

    `key` names the wish within the strategy. The same key again is the same wish, also after a restart, and is
    placed once.
    """

    key: str
    symbol: str
    side: Side
    amount: Amount | None = None
    quantity: Quantity | None = None
    whole: bool = False


class Strategy(Protocol):
    """Decides at every step; steps come `every_s` seconds apart."""

    @property
    def name(self) -> str: ...

    @property
    def every_s(self) -> float: ...

    def decide(self, now: datetime, positions: Mapping[str, Quantity]) -> Sequence[Wish]:
        """What to do now, given the positions that this strategy's own orders have built, by symbol."""
        ...

"""Why a follower's result is not the master's: the gap taken apart by cause, so that the parts add up to the whole.

Beside every follower stands its *ideal*: an account that does with each of the master's orders exactly what the ratio
says, in any fraction, at the master's price and the master's fee. What the follower holds less than its ideal is kept
by the cause that it is missing for (a cap, a minimum, a skip, the lot step), shrinks with each exit as the position
does, and gains or loses as the price moves. Prices and fees that differ are causes of their own. What is left is the
ratio itself: a multiplier, and equities that drift apart.

These are figures about money, not money: floats.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

PRICE, FEES, RATIO, STEP = "fill_price", "fees", "ratio", "lot_step"
TEXTS = {
    PRICE: "other prices than the master's",
    FEES: "other fees than the master's",
    RATIO: "the multiplier, and equities that drifted apart",
    STEP: "sizes rounded to the venue's step",
}


@dataclass(frozen=True, slots=True)
class MasterFill:
    """What the master got: base units, average price, and its fee for each unit."""

    quantity: float
    price: float
    fee_per_unit: float


@dataclass(slots=True)
class Gap:
    """One follower's. Quantities in base units, amounts in the quote currency; `price` is where it was valued last."""

    price: float
    held: float = 0.0
    ideal_profit: float = 0.0
    missing: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    lost: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def ideal_held(self) -> float:
        return self.held + sum(self.missing.values())

    def move(self, price: float) -> None:
        """The market's price is another."""
        change = price - self.price
        self.price = price
        if not change:
            return
        self.ideal_profit += self.ideal_held * change
        for cause, quantity in self.missing.items():
            self.lost[cause] -= quantity * change

    def entered(self, master: MasterFill, ratio: float, quantity: float, paid: float, fee: float, cause: str) -> None:
        """The master bought; the follower bought `quantity` for `paid` and `fee`, and what lacks is `cause`'s."""
        ideal = master.quantity * ratio
        lacking = ideal - quantity
        to_here = self.price - master.price
        self.ideal_profit += ideal * (to_here - master.fee_per_unit)
        self.lost[cause] -= lacking * (to_here - master.fee_per_unit)
        self.lost[PRICE] -= paid - quantity * master.price
        self.lost[FEES] -= fee - quantity * master.fee_per_unit
        self.missing[cause] += lacking
        self.held += quantity

    def left(self, master: MasterFill, fraction: float, quantity: float, got: float, fee: float, cause: str) -> None:
        """The master sold `fraction` of its position; the follower sold `quantity` for `got` less `fee`."""
        for_each = master.price - self.price - master.fee_per_unit
        self.ideal_profit += self.ideal_held * fraction * for_each
        for missing, lacking in self.missing.items():
            self.lost[missing] -= lacking * fraction * for_each
            self.missing[missing] = lacking * (1 - fraction)
        kept = self.held * fraction - quantity
        self.lost[cause] -= kept * for_each
        self.lost[PRICE] += got - quantity * master.price
        self.lost[FEES] -= fee - quantity * master.fee_per_unit
        self.missing[cause] -= kept
        self.held -= quantity

    def closed(self, quantity: float, got: float, fee: float, cause: str) -> None:
        """The follower sold without the master: a limit took it out."""
        self.lost[cause] += got - quantity * self.price - fee
        self.missing[cause] += quantity
        self.held -= quantity

    def parts(self, profit: float, start: float, master_return: float) -> dict[str, float]:
        """The causes and what each of them made (negative: cost) in quote currency; together the follower's profit
        less `start * master_return`."""
        parts = {cause: amount for cause, amount in self.lost.items() if abs(amount) > 1e-9}
        parts[RATIO] = profit - start * master_return - sum(self.lost.values())
        return parts

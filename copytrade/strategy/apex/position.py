"""What APEX remembers of a position it has opened, or has asked for; as values, and as the memory that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from copytrade.domain.money import NO_QUANTITY, Quantity, plain
from copytrade.strategy.port import Memory

ENTRY, EXIT, STEP = "entry", "exit", "step"
"""What an order is for; a profit step has its number behind it."""


@dataclass(frozen=True, slots=True)
class Position:
    """One position. Prices are in the quote currency.

    `name` is the close of the entry's candle in unix seconds and part of every order's key. `risk` is R: entry less
    first stop. `taken` profit steps are known to have happened. `asked` is the order that was last wished for, and
    `held_then` what was held before it: that less is held now is how the next decision knows that it happened.
    `tries` counts orders that came to nothing, so that the next one has a key of its own. `leaving` says why all of it
    is being sold; once it is set, nothing else is decided until nothing is held.
    """

    name: str
    entry: Decimal
    stop: Decimal
    risk: Decimal
    points: int
    taken: int = 0
    trail: Decimal | None = None
    asked: str = ""
    held_then: Quantity = NO_QUANTITY
    tries: int = 0
    leaving: str = ""

    @property
    def level(self) -> Decimal:
        """Where the position is left: the stop, or the trailing level once that is higher."""
        return self.stop if self.trail is None else max(self.stop, self.trail)

    def key(self, what: str) -> str:
        """The key of an order of this position."""
        return f"{self.name} {what}" if not self.tries else f"{self.name} {what} again {self.tries}"

    def to_memory(self) -> Memory:
        return {
            "position": self.name, "entry": plain(self.entry), "stop": plain(self.stop), "risk": plain(self.risk),
            "points": self.points, "taken": self.taken, "trail": None if self.trail is None else plain(self.trail),
            "asked": self.asked, "held_then": str(self.held_then), "tries": self.tries,
            "leaving": self.leaving,
        }  # fmt: skip

    @classmethod
    def from_memory(cls, memory: Memory) -> Position:
        """Raises `KeyError`, `ValueError` or `ArithmeticError` for a memory that is not one of these."""
        return cls(
            name=str(memory["position"]), entry=Decimal(memory["entry"]), stop=Decimal(memory["stop"]),
            risk=Decimal(memory["risk"]), points=int(memory["points"]), taken=int(memory["taken"]),
            trail=None if memory["trail"] is None else Decimal(memory["trail"]), asked=str(memory["asked"]),
            held_then=Quantity.of(memory["held_then"]), tries=int(memory["tries"]),
            leaving=str(memory["leaving"]),
        )  # fmt: skip

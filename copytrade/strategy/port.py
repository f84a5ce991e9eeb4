"""What a strategy is: it sees a market's closed candles, its own position and its own memory, and answers.

A strategy knows no venue, no clock and no ledger. Facts go in (`View`), a decision comes out (`Decision`): at most one
order for this market, and what to remember of it. Whoever runs it places the order and keeps the memory, both in one
transaction, so that a crash between the two cannot happen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from copytrade.domain.candles import CandleRow
from copytrade.domain.money import NO_QUANTITY, Amount, Quantity
from copytrade.domain.order import Side

if TYPE_CHECKING:  # numpy is for strategies that look at candles; nobody else pays for it
    import numpy as np
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Times = NDArray[np.int64]

Memory = Mapping[str, Any]
"""What a strategy remembers of one market: JSON values under names of its own. Amounts go in as text."""

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Closed candles of one market, oldest first, as columns of equal length.

    `time` is the start of each candle in unix seconds (int64), `volume` is in base units, prices are quote per base
    (float64). The columns are shared and not to be written to.
    """

    interval_s: int
    time: Times
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column

    @classmethod
    def of_rows(cls, rows: Sequence[CandleRow], interval_s: int) -> Candles:
        """From rows, oldest first. Raises `ValueError` for one that is no candle, or is out of its turn."""
        import numpy as np

        table = np.array(rows, dtype=np.float64).reshape(-1, 6)
        time = table[:, 0].astype(np.int64)
        opening, high, low, close, volume = (np.ascontiguousarray(table[:, place]) for place in range(1, 6))
        if not np.isfinite(table).all() or (table[:, 1:5] <= 0).any() or (volume < 0).any():
            raise ValueError("a candle has a price that is not above zero, or a volume below it")
        if (high < np.maximum(opening, close)).any() or (low > np.minimum(opening, close)).any():
            raise ValueError("a candle opens or closes outside its high and low")
        if (np.diff(time) <= 0).any():
            raise ValueError("the candles are not in the order of their times")
        return cls(interval_s, time, opening, high, low, close, volume)

    def __len__(self) -> int:
        return len(self.time)

    @property
    def closed_at_s(self) -> int:
        """When the last of them closed, in unix seconds; 0 without any."""
        return int(self.time[-1]) + self.interval_s if len(self) else 0

    def last(self, count: int) -> Candles:
        """The last so many of them, without copying."""
        return self.part(max(0, len(self) - count), len(self))

    def part(self, start: int, stop: int) -> Candles:
        """Those from number `start` up to and without number `stop`, without copying."""
        at = slice(start, stop)
        return Candles(
            self.interval_s, self.time[at], self.open[at], self.high[at], self.low[at], self.close[at], self.volume[at]
        )


@dataclass(frozen=True, slots=True)
class Needs:
    """What a strategy wants to be shown, and when.

    With `candles` above 0 it is asked after each close of a candle, `settle_s` later, about markets that have at
    least `candles_min`; with 0 it is asked every `every_s` seconds and sees no candles. `symbols` are the markets it
    wants (`BTC/USD`); empty means every market that the scanner comes by.
    """

    symbols: tuple[str, ...] = ()
    interval_s: int = 300
    candles: int = 0
    candles_min: int = 0
    settle_s: float = 0.0
    every_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Funds:
    """An account's money in its quote currency: `equity` is cash plus positions, `cash` what is free to spend."""

    equity: Amount
    cash: Amount


@dataclass(frozen=True, slots=True)
class View:
    """All that a strategy sees of one market.

    `at_s` is the moment of the decision in unix seconds: the close of the last candle, or the tick of a strategy
    without candles. `into_candle_s` is how long the running candle has been open by then. `held` is the position that
    this account's orders have built here; no order of the account is under way in this market. `memory` is what this
    strategy last noted here, or None.
    """

    symbol: str
    at_s: float
    funds: Funds
    held: Quantity = NO_QUANTITY
    memory: Memory | None = None
    candles: Candles | None = None
    into_candle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wish:
    """An order that the strategy wants placed: for `amount` of quote currency, or of `quantity`, or `whole`.

    `key` names the wish within the strategy and the market. The same key again is the same wish, also after a restart,
    and is placed once. `why` is for people.
    """

    key: str
    side: Side
    amount: Amount | None = None
    quantity: Quantity | None = None
    whole: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: an order or none, and what to remember.

    `memory` becomes durable in the same transaction as the order's intent. Where a guard refuses the order before
    anything left, `if_refused` is noted in its place, and the wish may come again at the next decision. None forgets
    the market.
    """

    memory: Memory | None = None
    wish: Wish | None = None
    if_refused: Memory | None = None


class Strategy(Protocol):
    """Decides about one market at a time. Must be a function of the view alone: a backtest and a restart ask again.

    A class that `master.strategy` names is made without arguments.
    """

    @property
    def name(self) -> str:
        """Lower-case letters, digits and `_`; it is part of every order's id, so it never changes."""
        ...

    @property
    def needs(self) -> Needs: ...

    def decide(self, view: View) -> Decision: ...


class BatchStrategy(Strategy, Protocol):
    """A strategy that decides about many markets faster than one by one. The answers are those of `decide`."""

    def decide_all(self, views: Sequence[View]) -> Sequence[Decision]: ...


def decide_all(strategy: Strategy, views: Sequence[View]) -> Sequence[Decision]:
    """What the strategy says of each view, all at once where it can do that."""
    if hasattr(strategy, "decide_all"):
        return cast(BatchStrategy, strategy).decide_all(views)
    return [strategy.decide(view) for view in views]


# -- memory as text ---------------------------------------------------------------------------------------------------

NOTE_CHARACTERS_MAX = 20_000  # a memory is some numbers; a growing one would end as a row of megabytes at each candle


def memory_to_text(memory: Memory | None) -> str:
    """As the ledger keeps it; "" for None. The same memory gives the same text.

    Raises `ValueError` for what is no JSON object, or is too long.
    """
    if memory is None:
        return ""
    try:
        text = json.dumps(dict(memory), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except TypeError as error:
        raise ValueError(
            f"the memory is not made of JSON values ({error}): write decimals as text, times as unix seconds"
        ) from None
    if len(text) > NOTE_CHARACTERS_MAX:
        raise ValueError(f"the memory of one market is {len(text)} characters long, over {NOTE_CHARACTERS_MAX}")
    return text


def memory_from_text(text: str) -> Memory | None:
    """The inverse. Raises `ValueError`."""
    if not text:
        return None
    memory = json.loads(text)
    if not isinstance(memory, dict):
        raise ValueError("the memory is no JSON object")
    return memory


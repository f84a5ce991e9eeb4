"""The scanner's arithmetic: whose turn it is, how large a batch, how long between two, and when to leave a venue alone.

Pure: times come in as seconds of a clock that only rises, answers and errors as facts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from copytrade.domain.candles import DayFigures
from copytrade.domain.instrument import Instrument, MarketStatus

_OUTCOMES_KEPT = 50  # three to ten batches: old trouble is forgotten within minutes
_SLOW_COUNTS = 0.5


@dataclass(frozen=True, slots=True)
class ScanRules:
    """Sizes count markets, times are in seconds, shares are fractions."""

    batch_min: int = 5
    batch_max: int = 15
    share_of_limit: float = 0.5
    errors_to_open: int = 4
    open_for_s: float = 30.0
    slow_s: float = 2.0


# -- health -----------------------------------------------------------------------------------------------------------


class Health:
    """How well a venue's public side answers, in percent of its last 50 answers. A slow one counts half."""

    def __init__(self, slow_s: float) -> None:
        self.slow_s = slow_s
        self._outcomes: deque[float] = deque(maxlen=_OUTCOMES_KEPT)

    def answered(self, took_s: float) -> None:
        self._outcomes.append(1.0 if took_s <= self.slow_s else _SLOW_COUNTS)

    def failed(self) -> None:
        self._outcomes.append(0.0)

    @property
    def percent(self) -> int:
        """100 as long as nothing is known."""
        if not self._outcomes:
            return 100
        return round(100 * sum(self._outcomes) / len(self._outcomes))


def batch_size(health_percent: int, rules: ScanRules) -> int:
    """From the smallest batch at 0 % to the largest at 100 %."""
    return rules.batch_min + round((rules.batch_max - rules.batch_min) * health_percent / 100)


def spacing_s(calls: int, calls_per_s: float, rules: ScanRules) -> float:
    """How long so many calls are spread over, so that scanning takes its share of the venue's limit and no more."""
    return calls / (calls_per_s * rules.share_of_limit)


# -- the circuit breaker ----------------------------------------------------------------------------------------------


class BreakerState(StrEnum):
    CLOSED = "closed"  # all is well: calls flow
    OPEN = "open"  # too many errors: no calls
    HALF_OPEN = "half_open"  # one call, to see


class Breaker:
    """Stops the calls to one venue after so many errors in a row, and tries one of them after a while."""

    def __init__(self, rules: ScanRules) -> None:
        self.rules = rules
        self._errors = 0
        self._opened_at_s: float | None = None

    def state(self, now_s: float) -> BreakerState:
        if self._opened_at_s is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self.wait_s(now_s) <= 0 else BreakerState.OPEN

    def wait_s(self, now_s: float) -> float:
        """How long until a call may be tried; 0 when one may now."""
        if self._opened_at_s is None:
            return 0.0
        return max(0.0, self._opened_at_s + self.rules.open_for_s - now_s)

    def answered(self) -> None:
        """A call went well: closed."""
        self._errors, self._opened_at_s = 0, None

    def failed(self, now_s: float) -> bool:
        """A call failed; True when that opened it. The one call of a half-open breaker opens it again at once."""
        self._errors += 1
        if self._opened_at_s is None and self._errors < self.rules.errors_to_open:
            return False
        self._opened_at_s = now_s
        return True


# -- whose turn it is -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Markets number `first` to `last` (from 1) of `total`."""

    markets: tuple[Instrument, ...]
    first: int
    last: int
    total: int

    @property
    def text(self) -> str:
        """`scanning 70-75 of 732 (1 %)`: the share is the batch's."""
        return f"scanning {self.first}-{self.last} of {self.total} ({round(100 * len(self.markets) / self.total)} %)"


@dataclass(slots=True)
class Rotation:
    """Goes round the markets of one venue. A changed list keeps its place by the market that would come next."""

    markets: Sequence[Instrument] = ()
    place: int = 0
    rounds: int = field(default=0)

    def replace(self, markets: Sequence[Instrument]) -> None:
        following = [each.symbol for each in (*self.markets[self.place :], *self.markets[: self.place])]
        places = {each.symbol: place for place, each in enumerate(markets)}
        self.place = next((places[symbol] for symbol in following if symbol in places), 0)
        self.markets = markets

    def next(self, size: int) -> Batch | None:
        """The next markets, never past the end of a round; None when there are none at all."""
        if not self.markets:
            return None
        first = self.place
        chosen = tuple(self.markets[first : first + size])
        self.place = first + len(chosen)
        if self.place >= len(self.markets):
            self.place, self.rounds = 0, self.rounds + 1
        return Batch(chosen, first + 1, first + len(chosen), len(self.markets))

    def put_back(self, batch: Batch, done: int) -> None:
        """The batch just taken was broken off after `done` markets: the rest of it comes next."""
        if done < len(batch.markets):
            self.place = batch.first - 1 + done
            self.rounds -= batch.last == batch.total


# -- which markets ----------------------------------------------------------------------------------------------------


def tradable(markets: Iterable[Instrument], currency: str, blocked: frozenset[str] = frozenset()) -> list[Instrument]:
    """Those that an account measured in `currency` could buy now: no request is spent on any other."""
    return [
        each for each in markets
        if each.status is MarketStatus.ONLINE and each.quote == currency and each.symbol not in blocked
    ]  # fmt: skip


def qualifying(
    markets: Iterable[Instrument], figures: Mapping[str, DayFigures], min_day_volume: Decimal
) -> list[Instrument]:
    """Those that traded for at least so much within a day. One that the figures do not tell of stays in."""
    return [
        each for each in markets
        if (day := figures.get(each.symbol)) is None or (day.volume.value > 0 and day.volume.value >= min_day_volume)
    ]  # fmt: skip


def share_out(
    wanted: Sequence[Instrument], listings: Mapping[str, Mapping[str, Instrument]], capacity: Mapping[str, float]
) -> dict[str, list[Instrument]]:
    """Which venue's candles each wanted market is read from: each market at one venue, the load by what they can take.

    `listings` are the markets by symbol of every venue; `capacity` is calls a second. A market goes to the venue, of
    those that list it in the same class, whose round would be the shortest with it. The instruments in the answer are
    those of the venue that reads them. A wanted market that only its own venue has stays there.
    """
    shared: dict[str, list[Instrument]] = {venue: [] for venue in capacity}
    options = [
        (each, [
            found for venue in capacity
            if (found := listings.get(venue, {}).get(each.symbol)) is not None
            and found.asset_class is each.asset_class and found.status is not MarketStatus.CLOSED
        ])
        for each in wanted
    ]  # fmt: skip
    for each, places in sorted(options, key=lambda option: len(option[1])):  # those without a choice first
        candidates = places or [each]
        chosen = min(candidates, key=lambda at: ((len(shared.setdefault(at.venue, [])) + 1) / capacity[at.venue]))
        shared[chosen.venue].append(chosen)
    return shared


def rotation_calls(markets: int, qualifying_markets: int, figure_calls: int) -> tuple[int, int]:
    """How many requests one full round takes: without day figures, and with them."""
    return markets, qualifying_markets + figure_calls


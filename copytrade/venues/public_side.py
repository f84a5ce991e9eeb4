"""What the public sides of all venues have in common: their connections, clocks, repeated reads, and when to ask again.

What a venue's calls, limits and answers look like stays in its own `public.py`.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar, Generic, NotRequired, Protocol, TypedDict, TypeVar

from copytrade.venues.pool import Clock
from copytrade.venues.retries import Retries, Sleep
from copytrade.venues.wire import Wire


class PublicOptions(Protocol):
    """The options that every venue has; each `options.py` says where its figures come from."""

    @property
    def currency(self) -> str: ...
    @property
    def max_connections(self) -> int: ...
    @property
    def keepalive_s(self) -> float: ...
    @property
    def request_timeout_s(self) -> float: ...
    @property
    def body_max_bytes(self) -> int: ...
    @property
    def read_total_s(self) -> float: ...
    @property
    def read_attempts_max(self) -> int: ...


class Timing(TypedDict):
    """Where a venue has its time and its chance from.

    clock: the time now, UTC.
    monotonic: seconds that only rise, for rate budgets.
    rng, sleep: for the pauses between repeated reads.
    """

    clock: Clock
    monotonic: NotRequired[Callable[[], float]]
    rng: NotRequired[random.Random | None]
    sleep: NotRequired[Sleep]


O = TypeVar("O", bound=PublicOptions)  # noqa: E741  (options, and no figure)
R = TypeVar("R", bound=Retries)


class PublicSide(ABC, Generic[O]):
    """The part of the engine's `Venue` that is the same everywhere."""

    _name: ClassVar[str]  # as in the settings: `kraken`
    _title: ClassVar[str]  # as people write it: `Kraken`

    def __init__(
        self,
        base_url: str,
        options: O,
        *,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.options = options
        self.clock = clock
        self.monotonic = monotonic
        self._rng = rng or random.Random()  # noqa: S311  (spreads load, guards nothing)
        self._sleep = sleep
        self._clock_asked_at: float | None = None
        self._loading = asyncio.Lock()
        self.wire = self._made_wire(base_url)

    def _made_wire(
        self, url: str, *, connections: int | None = None, timeout_s: float | None = None, most_bytes: int | None = None
    ) -> Wire:
        """A wire as the options have it, but for what is given: connections at a time, seconds, bytes of an answer."""
        return Wire(
            url,
            clock=self.clock,
            max_connections=connections or self.options.max_connections,
            keepalive_s=self.options.keepalive_s,
            timeout_s=timeout_s or self.options.request_timeout_s,
            body_max_bytes=most_bytes or self.options.body_max_bytes,
        )

    def _made_retries(self, kind: type[R]) -> R:
        return kind(self._title, self.options.read_total_s, self.options.read_attempts_max, self._rng, self._sleep)

    @property
    def name(self) -> str:
        return self._name

    @property
    def currency(self) -> str:
        """What its accounts are measured in."""
        return self.options.currency

    @property
    @abstractmethod
    def offset(self) -> timedelta:
        """How far the venue's clock is ahead of ours."""

    def now(self) -> datetime:
        """The venue's time now, UTC."""
        return self.clock() + self.offset

    def unix_s(self) -> float:
        """The venue's time now, in seconds since 1970."""
        return self.now().timestamp()

    def _due(self, at_s: float | None, every_s: float) -> bool:
        """Whether what was last done at `at_s` (`monotonic`; None for never) is to be done again."""
        return at_s is None or self.monotonic() - at_s >= every_s

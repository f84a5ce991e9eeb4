"""Repeating reads, and nothing but reads: within bounds, when nothing usable came back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from copytrade.domain.errors import VenueUnavailable

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")

# The first pause between two tries is up to this long, the next up to twice that, and so on to the longest.
_PAUSE_FIRST_S = 0.25
_PAUSE_MAX_S = 4.0


class Retries:
    """Repeats a read that failed for a passing cause: a few times, with random pauses, within a total time.

    `venue` is its name for people; `rng` and `sleep` make the pauses.
    """

    def __init__(
        self, venue: str, total_s: float, attempts_max: int, rng: random.Random, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._venue = venue
        self.total_s = total_s
        self._attempts_max = attempts_max
        self._rng = rng
        self.sleep = sleep

    async def run(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Raises what the last try raised, and `VenueUnavailable` when the total time is over."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._attempts_max),
            wait=self._pause_s,
            retry=retry_if_exception_type(VenueUnavailable),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            async with asyncio.timeout(self.total_s):
                return await retrying(attempt)
        except TimeoutError:
            raise VenueUnavailable(
                f"{self._venue} did not answer {what} within {self.total_s:g} s in all; it will be asked again later"
            ) from None

    def _pause_s(self, state: RetryCallState) -> float:
        return self._rng.uniform(0, min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2 ** (state.attempt_number - 1)))

"""Alpaca's clock: its time against ours, and when stocks trade."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from copytrade.domain.errors import VenueUnavailable


def read_time(text: Any) -> datetime:
    """A time of Alpaca's (RFC 3339, up to nine decimals). Raises `ValueError`."""
    if not isinstance(text, str):
        raise ValueError(f"expected a time, got {type(text).__name__}")
    head, dot, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    moment = datetime.fromisoformat(f"{head}.{digits[:6]}{tail[len(digits) :]}" if dot else text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r:.40} has no offset")
    return moment


class MarketClock:
    """One reading of `/v2/clock`; between two readings the times it names carry it on."""

    def __init__(self, is_open: bool, next_open: datetime, next_close: datetime, offset: timedelta) -> None:
        self._is_open = is_open
        self._next_open = next_open
        self._next_close = next_close
        self.offset = offset
        """How far Alpaca's clock is ahead of ours, to within half a round trip."""

    @classmethod
    def read(cls, body: Any, asked_at: datetime, answered_at: datetime) -> MarketClock:
        """From the answer. Raises `VenueUnavailable`."""
        try:
            if not isinstance(body, Mapping) or not isinstance(body["is_open"], bool):
                raise ValueError("it does not say whether the market is open")
            venue_now = read_time(body["timestamp"])
            next_open, next_close = read_time(body["next_open"]), read_time(body["next_close"])
        except (KeyError, ValueError) as error:
            raise VenueUnavailable(f"Alpaca's answer about the clock cannot be read: {error!r:.200}") from None
        # An answer comes from some moment within the round trip: only what lies outside it is a difference.
        late, early = venue_now - answered_at, venue_now - asked_at
        offset = late if late > timedelta(0) else early if early < timedelta(0) else timedelta(0)
        return cls(body["is_open"], next_open, next_close, offset)

    def stocks_open(self, now: datetime) -> bool:
        """Whether stocks trade, `now` on our clock."""
        venue_now = now + self.offset
        if self._is_open:
            return venue_now < self._next_close or venue_now >= self._next_open
        return self._next_open <= venue_now < self._next_close

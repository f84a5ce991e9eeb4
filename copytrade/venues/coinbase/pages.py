"""Reading a list of Coinbase's to its end, or failing: a list with a hole in it proves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.venues.coinbase.envelope import Answer, Rejection
from copytrade.venues.coinbase.orders import entries_in

# Coinbase filters by its own clock: look a little further back.
OVERLAP_S = 60
PAGE = 100

Page = Sequence[Mapping[str, Any]]


class Ask(Protocol):
    """A signed read: its answer or the gateway's refusal, or `VenueError`."""

    async def __call__(self, call: str, *, urgent: bool = False, **arguments: Any) -> Answer | Rejection: ...


class Pages:
    """The lists of one account. `refused` makes the error of a refusal."""

    def __init__(self, ask: Ask, refused: Callable[[str, Rejection], VenueError], pages_max: int) -> None:
        self._ask = ask
        self._refused = refused
        self._pages_max = pages_max

    async def call(self, call: str, **arguments: Any) -> Mapping[str, Any]:
        """The body of one answer. Raises `VenueError`."""
        got = await self._ask(call, **arguments)
        if isinstance(got, Rejection):
            raise self._refused(call, got)
        return got.body

    async def read(self, call: str, part: str, unending: str, **arguments: Any) -> AsyncIterator[Page]:
        """Page by page, the newest first. Raises `VenueError`, with the advice `unending` for a list without end."""
        cursors: set[str] = set()
        turn: dict[str, str] = {}
        for _ in range(self._pages_max):
            body = await self.call(call, limit=PAGE, **arguments, **turn)
            page = entries_in(body, part)
            yield page
            cursor = body.get("cursor")
            more = body.get("has_next")
            if part == "fills" and more is None:
                # Fills are listed without `has_next`: there a page without entries or without a cursor is the last.
                more = bool(cursor) and bool(page)
            if more is False:
                return
            if more is not True or not isinstance(cursor, str) or not cursor or cursor in cursors:
                raise VenueUnavailable(f"Coinbase's list of {part} goes on but does not say where: it proves nothing")
            cursors.add(cursor)
            turn = {"cursor": cursor}
        raise VenueError(f"more than {self._pages_max * PAGE} {part}: {unending}")


def start_text(unix_s: float) -> str:
    """A moment on the venue's clock, less the overlap, as its filters take it."""
    return datetime.fromtimestamp(unix_s - OVERLAP_S, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

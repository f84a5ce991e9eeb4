"""Reading one of OKX's lists to its end, or to where it is old enough."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.venues.okx.envelope import OK, Envelope
from copytrade.venues.okx.orders import is_order_id, rows

PAGE = 100  # entries a page (OKX v5, every list of orders or trades: "limit")


class Ask(Protocol):
    """A signed read as it was answered, refusals included, or `VenueError`."""

    def __call__(self, call: str, fields: Mapping[str, Any] | None = None) -> Awaitable[Envelope]: ...


Refused = Callable[[str, str, str], VenueError]


class Lists:
    """Reads lists of one account, at most `pages_max` pages each."""

    def __init__(self, account: str, ask: Ask, refused: Refused, pages_max: int) -> None:
        self._account = account
        self._ask = ask
        self._refused = refused
        self._pages_max = pages_max

    async def pages(
        self, call: str, id_field: str, fields: Mapping[str, str], until: Callable[[Mapping[str, Any]], bool]
    ) -> AsyncIterator[list[Mapping[str, Any]]]:
        """Page by page, newest first, each asked for by the last id of the one before, so that none is missed.

        `until` says of a page's last entry that what follows is too old to matter. Raises `VenueError`, also for a
        list that has no end.
        """
        asked = {"limit": str(PAGE), **fields}
        for _ in range(self._pages_max):
            envelope = await self._ask(call, asked)
            if envelope.code != OK:
                raise self._refused(call, envelope.code, envelope.message)
            page = rows(envelope.data, "orders or trades")
            yield page
            if len(page) < PAGE or until(page[-1]):
                return
            last = page[-1].get(id_field)
            if not is_order_id(last) or last == asked.get("after"):
                raise VenueUnavailable(f"OKX's answer to {call} cannot be followed to its end: it proves nothing")
            asked["after"] = str(last)
        raise VenueError(
            f"{self._account}: more than {self._pages_max * PAGE} entries in {call}: the list has no end. "
            "Look the account's orders up by hand at okx.com"
        )


def older_than(moment: datetime, field: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether an entry's time (milliseconds, OKX's clock) is before `moment`; one without a time is not."""
    limit = milliseconds(moment)

    def is_older(entry: Mapping[str, Any]) -> bool:
        value = entry.get(field)
        return isinstance(value, str) and value.isascii() and value.isdigit() and int(value) < limit

    return is_older


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

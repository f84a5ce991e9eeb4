"""Asking Coinbase whether spot accounts have stops and brackets at all; see `kinds.DISPUTED`.

A preview takes the body of an order, creates nothing, and tells what is wrong with it. It is asked for once by the
first account of a process that is checked; what is refused as a kind is left to the engine's stand-ins. So is a kind
that turns out not to be there when it is first used.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from copytrade.domain.instrument import Instrument
from copytrade.domain.money import floor_to, plain
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import Quote
from copytrade.venues.coinbase.errors import says_no_such_kind
from copytrade.venues.coinbase.kinds import DISPUTED, NATIVE, STOP_KINDS

logger = logging.getLogger(__name__)

Call = Callable[..., Awaitable[Mapping[str, Any]]]


class Kinds:
    """The order kinds that Coinbase is believed to have."""

    def __init__(self) -> None:
        self.native = NATIVE
        self.asked = False

    def missing(self, kinds: Iterable[OrderKind], word: str) -> None:
        """The venue says that it has none of these."""
        gone = self.native & (DISPUTED & frozenset(kinds))
        if gone:
            self.native -= gone
            logger.warning(
                "Coinbase does not take %s orders here (%.100s); the service stands in for them",
                " and ".join(sorted(gone)), word,
            )  # fmt: skip

    def refused(self, kind: OrderKind, detail: str) -> None:
        """An order of this kind was refused; a stop-limit order is the same to the venue in both directions."""
        if kind in DISPUTED and says_no_such_kind(detail):
            self.missing(STOP_KINDS if kind in STOP_KINDS else (kind,), detail)


async def ask(kinds: Kinds, call: Call, instrument: Instrument, quote: Quote) -> None:
    """Preview a sale of each disputed kind, at prices well away from the market's. Raises `VenueError`."""
    low, high = (floor_to(quote.bid.value * factor, instrument.tick) for factor in (Decimal("0.9"), Decimal("1.1")))
    size = str(instrument.minimum_at(Side.SELL, quote.bid).scaled(Decimal(2)).rounded_down(instrument.lot_step))
    stop = {"stop_price": plain(low), "limit_price": plain(low), "stop_direction": "STOP_DIRECTION_STOP_DOWN"}
    bracket = {"limit_price": plain(high), "stop_trigger_price": plain(low)}
    for asked, name, prices in (
        (STOP_KINDS, "stop_limit_stop_limit_gtc", stop),
        (frozenset({OrderKind.BRACKET}), "trigger_bracket_gtc", bracket),
    ):
        configuration = {name: {"base_size": size, **prices}}
        body = await call(
            "preview_order", product_id=instrument.venue_symbol, side="SELL", order_configuration=configuration
        )
        said = body.get("errs")
        words = " ".join(str(word) for word in said) if isinstance(said, list) else ""
        if says_no_such_kind(words):
            kinds.missing(asked, words)

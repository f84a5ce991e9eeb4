"""The market of a copy that was planned before its venue's list of markets had been read."""

from __future__ import annotations

from copytrade.domain.account import venue_of
from copytrade.domain.order import Effect
from copytrade.domain.signal import Signal
from copytrade.engine.services import Services
from copytrade.engine.work import Work


def market_found(services: Services, work: Work, signal: Signal) -> str:
    """Our spelling of it, now that the list is there; as planned where the venue lists nothing that stands for it.

    An exit goes after the entry that it was planned behind: what that found stands for its market too, unless the
    account holds the market that was named, or has another exit of the signal for the one that was found.
    """
    found = services.markets.answering(venue_of(work.account), signal)
    if found is None:
        return work.symbol
    if work.effect is Effect.EXIT:
        copies = services.ledger.copies_of(signal.signal_id, work.account)
        served = any(each.symbol == found.symbol for each in copies)
        if served or services.ledger.state.position(work.account, work.symbol):
            return work.symbol
    return found.symbol

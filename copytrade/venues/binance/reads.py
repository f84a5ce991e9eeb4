"""Asking Binance things that change nothing: repeated within bounds when nothing usable comes back."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.reasons import Reason
from copytrade.venues.binance.envelope import Answer, Fault, read_answer
from copytrade.venues.binance.errors import Limit, Refusal, classify
from copytrade.venues.binance.options import ENTRY_RESERVE, EXIT_RESERVE, ORDER_WEIGHT, READ_RESERVE
from copytrade.venues.wire import WireFailure

if TYPE_CHECKING:
    from copytrade.venues.binance.public import BinanceVenue
    from copytrade.venues.binance.signer import BinanceSigner

logger = logging.getLogger(__name__)


class SignedReads:
    """The signed calls of one API key that are safe to make again."""

    __slots__ = ("_account", "_signer", "_venue", "_window_ms")

    def __init__(self, account: str, venue: BinanceVenue, signer: BinanceSigner) -> None:
        self._account = account
        self._venue = venue
        self._signer = signer
        self._window_ms = round(venue.options.read_window_s * 1000)

    async def call(self, call: str, fields: Mapping[str, str], weight: int, *, urgent: bool = False) -> Any:
        """The result of a read. `urgent` ones may use more of the address's limit. Raises `VenueError`."""
        answer = await self.ask(call, fields, weight, urgent=urgent)
        if isinstance(answer, Fault):
            raise self.refused(call, answer)
        return answer.result

    async def ask(self, call: str, fields: Mapping[str, str], weight: int, *, urgent: bool = False) -> Answer | Fault:
        """The answer as it came, refusals included. Raises `VenueError`."""

        async def attempt() -> Answer | Fault:
            return await self._attempt(call, fields, weight, ENTRY_RESERVE if urgent else READ_RESERVE)

        return await self._venue.retries.run(f"{call} of {self._account}", attempt)

    async def cancel(self, call: str, fields: Mapping[str, str]) -> Answer | Fault:
        """A cancel: it may use the address's limit up, and weighs nothing when it succeeds. Raises `VenueError`."""

        async def attempt() -> Answer | Fault:
            answer = await self._attempt(call, fields, ORDER_WEIGHT, EXIT_RESERVE)
            if isinstance(answer, Answer):
                self._venue.address.give_back(ORDER_WEIGHT)
            return answer

        return await self._venue.retries.run(f"{call} of {self._account}", attempt)

    def refused(self, call: str, fault: Fault) -> VenueError:
        """The error that says what the venue said."""
        verdict = classify(fault)
        said = f"{self._account}: Binance refuses {call}: {fault}"
        if not isinstance(verdict, Refusal):
            return VenueRefusedRead(f"{said}. Look the code up in Binance's list of errors")
        if verdict.reason is Reason.NO_PERMISSION:
            return CredentialsRejected(f"{said}. Give the API key the permission that {call} needs at binance.com")
        if verdict.reason is Reason.BAD_KEY:
            return CredentialsRejected(
                f"{said}. Check key and secret, that the key may read and trade, and that this machine's address is on "
                "the key's list at binance.com"
            )
        wait_s = None if verdict.retry_after_s is None else math.ceil(verdict.retry_after_s)
        return VenueRefusedRead(f"{said}. {verdict.reason.text}", wait_s)

    async def _attempt(self, call: str, fields: Mapping[str, str], weight: int, reserve: float) -> Answer | Fault:
        venue = self._venue
        await venue.settle_clock()
        await venue.afford(f"{self._account}: {call}", weight, reserve)
        try:
            async with venue.wire.read_slot() if reserve == READ_RESERVE else venue.wire.slot():
                request = self._signer.sign(call, fields, window_ms=self._window_ms)
                reply = await venue.wire.request(request.method, request.target, request.headers, request.body)
        except WireFailure as failure:
            raise VenueUnavailable(
                f"{self._account}: no usable answer from Binance to {call}: {failure.detail}"
            ) from None
        venue.address.observe(reply.headers)
        answer = read_answer(reply)
        if isinstance(answer, str):
            raise VenueUnavailable(f"{self._account}: no usable answer from Binance to {call}: {answer}")
        if isinstance(answer, Fault):
            self._note(call, answer)
        return answer

    def _note(self, call: str, fault: Fault) -> None:
        """Learn from a refusal; raises `VenueUnavailable` for one that may pass when it is asked again."""
        verdict = classify(fault)
        if not isinstance(verdict, Refusal):
            if verdict.passing:
                raise VenueUnavailable(f"{self._account}: Binance cannot answer {call} now: {fault}")
            return
        if verdict.limit is Limit.WEIGHT:
            self._venue.limit_reached(verdict)
        if verdict.reason is Reason.DEADLINE_ELAPSED:
            self._venue.doubt_clock()
            raise VenueUnavailable(f"{self._account}: {call} came too late or too early by Binance's clock: {fault}")

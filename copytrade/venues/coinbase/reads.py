"""Asking Coinbase things that change nothing: repeated within bounds when nothing usable comes back."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.reasons import Reason
from copytrade.venues.coinbase.allowance import Allowance
from copytrade.venues.coinbase.clock import ClockReading
from copytrade.venues.coinbase.envelope import Answer, Rejection, read_reply
from copytrade.venues.coinbase.errors import RATE_RETRY_S, Refusal, classify_rejection
from copytrade.venues.coinbase.options import CoinbaseOptions
from copytrade.venues.retries import Retries
from copytrade.venues.wire import Wire, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.coinbase.signer import CoinbaseSigner  # brings the SDK along

logger = logging.getLogger(__name__)


class SignedReads:
    """The signed calls of one API key that are safe to make again."""

    def __init__(
        self,
        account: str,
        wire: Wire,
        signer: CoinbaseSigner,
        allowance: Allowance,
        retries: Retries,
        options: CoinbaseOptions,
        clock_reading: Callable[[], ClockReading],
        clock_was_wrong: Callable[[ClockReading], Awaitable[bool]],
    ) -> None:
        self._account = account
        self._wire = wire
        self._signer = signer
        self._allowance = allowance
        self._retries = retries
        self._options = options
        self._clock_reading = clock_reading
        self._clock_was_wrong = clock_was_wrong

    async def call(self, call: str, *, urgent: bool = False, **arguments: Any) -> Mapping[str, Any]:
        """The body of an answer. `urgent` goes before other reads. Raises `VenueError`."""
        got = await self.ask(call, urgent=urgent, **arguments)
        if isinstance(got, Rejection):
            raise self.refused(call, got)
        return got.body

    async def ask(self, call: str, *, urgent: bool = False, **arguments: Any) -> Answer | Rejection:
        """The answer, or the gateway's refusal. Raises `VenueError`."""

        async def attempt() -> Answer | Rejection:
            return await self._attempt(call, arguments, urgent)

        return await self._retries.run(f"{call} of {self._account}", attempt)

    def refused(self, call: str, rejection: Rejection) -> VenueError:
        """The error that says what the venue said."""
        verdict = classify_rejection(rejection)
        said = f"{self._account}: Coinbase refuses {call}: {verdict.detail}"
        if not isinstance(verdict, Refusal):
            return VenueRefusedRead(f"{said}. Look the text up in Coinbase's list of errors")
        if verdict.reason is Reason.NO_PERMISSION:
            return CredentialsRejected(f"{said}. Give the API key View and Trade at portal.cdp.coinbase.com")
        if verdict.reason is Reason.BAD_KEY:
            return CredentialsRejected(f"{said}. Check key and secret; make a new key if need be")
        wait_s = None if verdict.retry_after_s is None else math.ceil(verdict.retry_after_s)
        return VenueRefusedRead(f"{said}. {verdict.reason.text}", wait_s)

    async def _attempt(self, call: str, arguments: Mapping[str, Any], urgent: bool) -> Answer | Rejection:
        await self._afford(call, urgent)
        reading = self._clock_reading()
        got = await self._once(call, arguments, urgent)
        if isinstance(got, Answer):
            return got
        verdict = classify_rejection(got)
        if isinstance(verdict, Refusal):
            if verdict.reason is Reason.RATE_LIMITED:
                self._allowance.refused(verdict.retry_after_s or RATE_RETRY_S)
            if verdict.reason is Reason.BAD_KEY and await self._clock_was_wrong(reading):
                raise VenueUnavailable(f"{self._account}: Coinbase did not take the token: a clock had been set")
        return got

    async def _afford(self, call: str, urgent: bool) -> None:
        wait_s = self._allowance.wait_s(urgent=urgent)
        if wait_s > self._options.read_total_s:
            raise VenueRefusedRead(
                f"{self._account}: {call} has to wait {wait_s:.0f} s for Coinbase's rate limit", math.ceil(wait_s)
            )
        self._allowance.charge()  # before the pause, so that whoever comes next waits behind us
        if wait_s > 0:
            await self._retries.sleep(wait_s)

    async def _once(self, call: str, arguments: Mapping[str, Any], urgent: bool) -> Answer | Rejection:
        try:
            async with self._wire.slot() if urgent else self._wire.read_slot():
                request = self._signer.sign(call, **arguments)
                reply = await self._wire.request(request.method, request.target, request.headers, request.body)
        except WireFailure as failure:
            detail = failure.detail
        else:
            self._allowance.observe(reply.headers)
            got = read_reply(reply)
            if not isinstance(got, str):
                return got
            detail = got
        raise VenueUnavailable(f"{self._account}: no usable answer from Coinbase to {call}: {detail}")

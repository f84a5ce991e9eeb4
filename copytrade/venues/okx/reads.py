"""Asking OKX things that change nothing: repeated within bounds when nothing usable comes back."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.reasons import Reason
from copytrade.venues.budget import DecayCounter, Seconds
from copytrade.venues.okx.envelope import OK, Envelope, read_envelope
from copytrade.venues.okx.errors import Refusal, classify
from copytrade.venues.okx.options import CANCELS, READS_PER_2_S
from copytrade.venues.okx.signer import OkxSigner
from copytrade.venues.retries import Retries
from copytrade.venues.wire import Wire, WireFailure


def counter_for(per_2_s: float, clock: Seconds, *, reserve_share: float = 0.0) -> DecayCounter:
    """A budget that never lets more than `per_2_s` requests into any two seconds: half at once, half as they decay."""
    return DecayCounter(per_2_s / 2, per_2_s / 4, clock, reserve=per_2_s / 2 * reserve_share)


class OkxRetries(Retries):
    """Reads, within OKX's rate limits."""

    async def afford(self, what: str, counter: DecayCounter) -> None:
        """Wait until a budget has room for one request. Raises `VenueRefusedRead` when that takes too long."""
        wait_s = counter.wait_s(1)
        if wait_s > self.total_s:
            raise VenueRefusedRead(f"{what} has to wait {wait_s:.0f} s for OKX's rate limit", math.ceil(wait_s))
        counter.charge(1)  # before the pause, so that whoever comes next waits behind us
        if wait_s > 0:
            await self.sleep(wait_s)


class SignedReads:
    """The signed calls of one API key that are safe to make again, under the SDK's names for them.

    `venue_now` gives OKX's time, `check_clock` reads it anew when `doubt_clock` was called.
    """

    def __init__(
        self,
        account: str,
        wire: Wire,
        signer: OkxSigner,
        retries: OkxRetries,
        monotonic: Seconds,
        venue_now: Callable[[], datetime],
        check_clock: Callable[[], Awaitable[None]],
        doubt_clock: Callable[[], None],
    ) -> None:
        self._account = account
        self._wire = wire
        self._signer = signer
        self._retries = retries
        self._venue_now = venue_now
        self._check_clock = check_clock
        self._doubt_clock = doubt_clock
        self._counters = {call: counter_for(most, monotonic) for call, most in READS_PER_2_S.items()}

    async def call(self, call: str, fields: Mapping[str, Any] | None = None) -> list[Any]:
        """The data of a read. Raises `VenueError`."""
        envelope = await self.ask(call, fields)
        if envelope.code != OK:
            raise self.refused(call, envelope.code, envelope.message)
        return envelope.data

    async def ask(self, call: str, fields: Mapping[str, Any] | None = None) -> Envelope:
        """The envelope as it came, refusals included. Raises `VenueError`."""

        async def attempt() -> Envelope:
            return await self._attempt(call, fields or {})

        return await self._retries.run(f"{call} of {self._account}", attempt)

    async def ask_once(self, call: str, fields: Mapping[str, Any]) -> Envelope:
        """Like `ask`, without waiting for a budget and without a second try. Raises `VenueError`."""
        if self._counters[call].wait_s(1) > 0:
            raise VenueRefusedRead(f"{self._account}: {call} would have to wait for OKX's rate limit")
        return await self._attempt(call, fields)

    def refused(self, call: str, code: str, message: str) -> VenueError:
        """The error that says what the venue said."""
        verdict = classify(code, message)
        said = f"{self._account}: OKX refuses {call}: {verdict.detail}"
        if not isinstance(verdict, Refusal):
            return VenueRefusedRead(f"{said}. Look the code up in OKX's list of errors")
        if verdict.reason is Reason.NO_PERMISSION:
            return CredentialsRejected(f"{said}. Give the API key the permission, or this address, at okx.com")
        if verdict.reason is Reason.BAD_KEY:
            return CredentialsRejected(
                f"{said}. Check key, secret and passphrase, and whether they are of the live or the demo account"
            )
        wait_s = None if verdict.retry_after_s is None else math.ceil(verdict.retry_after_s)
        return VenueRefusedRead(f"{said}. {verdict.reason.text}", wait_s)

    async def _attempt(self, call: str, fields: Mapping[str, Any]) -> Envelope:
        counter = self._counters[call]
        await self._retries.afford(f"{self._account}: {call}", counter)
        await self._check_clock()
        envelope = await self._once(call, fields)
        if envelope.code == OK:
            return envelope
        verdict = classify(envelope.code, envelope.message)
        if not isinstance(verdict, Refusal):
            if verdict.passing:
                raise VenueUnavailable(f"{self._account}: OKX cannot answer {call} now: {verdict.detail}")
            return envelope
        if verdict.reason is Reason.RATE_LIMITED:
            counter.saturate()
        if verdict.doubts_clock:
            self._doubt_clock()
            raise VenueUnavailable(f"{self._account}: {call} came too late by OKX's clock: {verdict.detail}")
        return envelope

    async def _once(self, call: str, fields: Mapping[str, Any]) -> Envelope:
        try:
            # Cancels are as urgent as orders: they have all connections, reads only a share of them.
            async with self._wire.slot() if call in CANCELS else self._wire.read_slot():
                request = self._signer.sign(call, fields, self._venue_now())
                if request.body:
                    reply = await self._wire.post(request.target, request.body, request.headers)
                else:
                    reply = await self._wire.request("GET", request.target, request.headers)
        except WireFailure as failure:
            detail = failure.detail
        else:
            envelope = read_envelope(reply)
            if not isinstance(envelope, str):
                return envelope
            detail = envelope
        raise VenueUnavailable(f"{self._account}: no usable answer from OKX to {call}: {detail}")

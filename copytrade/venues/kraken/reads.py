"""Asking Kraken things that change nothing: repeated within bounds when nothing usable comes back."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from copytrade.domain.errors import (
    CredentialsRejected,
    NonceUnavailable,
    VenueError,
    VenueRefusedRead,
    VenueUnavailable,
)
from copytrade.domain.reasons import Reason
from copytrade.venues.budget import DecayCounter
from copytrade.venues.kraken.envelope import Envelope, read_envelope
from copytrade.venues.kraken.errors import LOCKOUT_S, Limit, Refusal, classify
from copytrade.venues.kraken.options import NONCE_STEPS_MS, KrakenOptions
from copytrade.venues.kraken.signer import KrakenSigner
from copytrade.venues.kraken.traffic import Traffic
from copytrade.venues.retries import Retries
from copytrade.venues.wire import Wire, WireFailure

logger = logging.getLogger(__name__)

_PAUSE_MIN_S = 0.001  # what is left to wait for after a pause is a rounding error


class SignedReads:
    """The private calls of one API key that are safe to make again."""

    __slots__ = (
        "_account", "_counter", "_options", "_retries", "_signer", "_traffic", "_turn", "_unix_s", "_waiting", "_wire",
    )  # fmt: skip

    def __init__(
        self,
        account: str,
        wire: Wire,
        signer: KrakenSigner,
        traffic: Traffic,
        counter: DecayCounter,
        retries: Retries,
        options: KrakenOptions,
        unix_s: Callable[[], float],
    ) -> None:
        self._account = account
        self._wire = wire
        self._signer = signer
        self._traffic = traffic
        self._counter = counter
        self._retries = retries
        self._options = options
        self._unix_s = unix_s
        self._turn = asyncio.Lock()
        self._waiting = 0.0  # what those add up to that wait for room on the counter

    async def call(
        self, method: str, fields: Mapping[str, str] | None = None, *, cost: float = 1, first: bool = False
    ) -> Any:
        """The result of a read. `cost` is what it adds to the key's REST counter; `first` goes ahead of all that wait
        for room there. Raises `VenueError`."""
        envelope = await self.ask(method, fields, cost=cost, first=first)
        if envelope.errors:
            raise self.refused(method, envelope)
        return envelope.result

    async def ask(
        self, method: str, fields: Mapping[str, str] | None = None, *, cost: float = 1, urgent: bool = False,
        first: bool = False,
    ) -> Envelope:  # fmt: skip
        """The envelope as it came, refusals included. `urgent` goes in an order's turn. Raises `VenueError`."""

        async def attempt() -> Envelope:
            return await self._attempt(method, fields or {}, cost, urgent, first)

        return await self._retries.run(f"{method} of {self._account}", attempt)

    def refused(self, method: str, envelope: Envelope) -> VenueError:
        """The error that says what the venue said."""
        verdict = classify(envelope.errors, self._unix_s())
        said = f"{self._account}: Kraken refuses {method}: {verdict.detail}"
        if not isinstance(verdict, Refusal):
            return VenueRefusedRead(f"{said}. Look the text up in Kraken's list of errors")
        if verdict.reason is Reason.NO_PERMISSION:
            return CredentialsRejected(f"{said}. Give the API key the permission that {method} needs at kraken.com")
        if verdict.reason is Reason.BAD_KEY:
            return CredentialsRejected(f"{said}. Check key and secret; make a new pair at kraken.com if need be")
        if verdict.reason is Reason.LOCKED_OUT:
            return VenueRefusedRead(f"{said}. Leave the key alone for {LOCKOUT_S // 60} minutes", LOCKOUT_S)
        if verdict.reason is Reason.BAD_NONCE:
            return VenueRefusedRead(f"{said}. {Reason.BAD_NONCE.text}; give this service a key of its own")
        wait_s = None if verdict.retry_after_s is None else math.ceil(verdict.retry_after_s)
        return VenueRefusedRead(f"{said}. {verdict.reason.text}", wait_s)

    async def _attempt(
        self, method: str, fields: Mapping[str, str], cost: float, urgent: bool, first: bool
    ) -> Envelope:
        # A read whose nonce is refused may just have been overtaken by an order: the first time it is made again
        # with the next nonce, and only from then on the nonces jump.
        for refusals in range(self._options.nonce_jumps_max + 2):
            await self._afford(method, cost, first)
            envelope = await self._once(method, fields, urgent)
            if not envelope.errors:
                return envelope
            verdict = classify(envelope.errors, self._unix_s())
            if not isinstance(verdict, Refusal):
                if verdict.passing:
                    raise VenueUnavailable(f"{self._account}: Kraken cannot answer {method} now: {verdict.detail}")
                return envelope
            if verdict.limit is Limit.REST:
                self._counter.saturate()
            if verdict.reason is not Reason.BAD_NONCE:
                return envelope
            if 1 <= refusals <= self._options.nonce_jumps_max:
                step_ms = NONCE_STEPS_MS[refusals - 1]
                logger.warning("%s: Kraken refuses the nonce; going on %d s ahead", self._account, step_ms // 1000)
                try:
                    self._signer.jump(step_ms)
                except NonceUnavailable as error:
                    raise VenueRefusedRead(str(error)) from error
        return envelope

    async def _afford(self, method: str, cost: float, first: bool) -> None:
        """Wait for room on the REST counter. What an order hangs on goes ahead of what is only good to know: a
        look-up is several calls, and would else never come to its end beside somebody who always asks again."""
        if not cost:
            return  # orders and their cancels have a counter of their own, and no backlog of reads holds them up
        wait_s = self._counter.wait_s(cost if first else cost + self._waiting)
        if wait_s > self._options.read_total_s:
            raise VenueRefusedRead(
                f"{self._account}: {method} has to wait {wait_s:.0f} s for Kraken's rate limit", math.ceil(wait_s)
            )
        if first:
            self._counter.charge(cost)  # before the pause, so that nobody takes the room meanwhile
            if wait_s > 0:
                await self._retries.sleep(wait_s)
            return
        self._waiting += cost
        try:
            async with self._turn:
                while (wait_s := self._counter.wait_s(cost)) > 0:
                    await self._retries.sleep(max(wait_s, _PAUSE_MIN_S))
                self._counter.charge(cost)
        finally:
            self._waiting -= cost

    async def _once(self, method: str, fields: Mapping[str, str], urgent: bool) -> Envelope:
        try:
            if urgent:
                async with self._traffic.order(), self._wire.slot():
                    reply = await self._wire.post(*self._signer.sign(method, fields))
            else:
                async with self._traffic.read():
                    reply = await self._wire.post(*self._signer.sign(method, fields))
        except NonceUnavailable as error:
            raise VenueRefusedRead(str(error)) from error
        except WireFailure as failure:
            detail = failure.detail
        else:
            envelope = read_envelope(reply)
            if not isinstance(envelope, str):
                return envelope
            detail = envelope
        raise VenueUnavailable(f"{self._account}: no usable answer from Kraken to {method}: {detail}")

"""Asking Alpaca things that change nothing: repeated within bounds when nothing usable comes back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.reasons import Reason
from copytrade.venues.alpaca.envelope import Answer, Problem, read_reply
from copytrade.venues.alpaca.errors import RATE_RETRY_S, Refusal, classify
from copytrade.venues.alpaca.limits import MinuteBudget
from copytrade.venues.alpaca.options import EXIT_SHARE, READ_SHARE, AlpacaOptions
from copytrade.venues.retries import Retries
from copytrade.venues.wire import Wire, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.alpaca.signer import AlpacaSigner  # brings the SDK along

Query = Mapping[str, str]


class Other(NamedTuple):
    """Another wire than the account's own; `counted` says whether its requests count against the account's limit."""

    wire: Wire
    counted: bool


class SignedReads:
    """The calls of one API key that are safe to make again."""

    def __init__(
        self,
        account: str,
        wire: Wire,
        signer: AlpacaSigner,
        budget: MinuteBudget,
        retries: Retries,
        options: AlpacaOptions,
        unix_s: Callable[[], float],
    ) -> None:
        self.account = account
        self._wire = wire
        self._signer = signer
        self._budget = budget
        self._retries = retries
        self._options = options
        self._unix_s = unix_s

    async def call(
        self, method: str, path: str, query: Query | None = None, *, urgent: bool = False, other: Other | None = None
    ) -> Any:
        """The body of an answer. Raises `VenueError`."""
        got = await self.ask(method, path, query, urgent=urgent, other=other)
        if isinstance(got, Problem):
            raise self.refused(f"{method} {path}", got)
        return got.body

    async def ask(
        self, method: str, path: str, query: Query | None = None, *, urgent: bool = False, other: Other | None = None
    ) -> Answer | Problem:
        """The answer, or the venue's error. `urgent` goes before other reads. Raises `VenueError`."""

        async def attempt() -> Answer | Problem:
            return await self._attempt(method, path, query, urgent, other)

        return await self._retries.run(f"{method} {path} of {self.account}", attempt)

    def refused(self, what: str, problem: Problem) -> VenueError:
        """The error that says what the venue said."""
        verdict = classify(problem, self._unix_s())
        said = f"{self.account}: Alpaca refuses {what}: {problem.detail}"
        if not isinstance(verdict, Refusal):
            return VenueRefusedRead(f"{said}. Look the text up in Alpaca's documentation")
        if verdict.reason is Reason.BAD_KEY:
            return CredentialsRejected(
                f"{said}. Check key and secret; keys of a paper account work at https://paper-api.alpaca.markets alone "
                "(venues.alpaca.base_url)"
            )
        if verdict.reason is Reason.NO_PERMISSION:
            return CredentialsRejected(f"{said}. Look at the account at alpaca.markets")
        wait_s = None if verdict.retry_after_s is None else math.ceil(verdict.retry_after_s)
        return VenueRefusedRead(f"{said}. {verdict.reason.text}", wait_s)

    async def _attempt(
        self, method: str, path: str, query: Query | None, urgent: bool, other: Other | None
    ) -> Answer | Problem:
        if other is None or other.counted:
            await self._afford(f"{method} {path}", urgent)
        got = await self._once(method, path, query, urgent, other)
        if isinstance(got, Problem) and got.status == 429:
            verdict = classify(got, self._unix_s())
            wait_s = verdict.retry_after_s if isinstance(verdict, Refusal) else None
            if other is None or other.counted:
                self._budget.refused(wait_s or RATE_RETRY_S)
            raise VenueRefusedRead(
                f"{self.account}: Alpaca's rate limit is reached ({method} {path})", math.ceil(wait_s or RATE_RETRY_S)
            )
        return got

    async def _afford(self, what: str, urgent: bool) -> None:
        # Asked again after the wait: others may have waited for the same moment. The time of all tries ends this.
        while (wait_s := self._budget.wait_s(EXIT_SHARE if urgent else READ_SHARE)) > 0:
            if wait_s > self._options.read_total_s:
                raise VenueRefusedRead(
                    f"{self.account}: {what} has to wait {wait_s:.0f} s for Alpaca's rate limit", math.ceil(wait_s)
                )
            await self._retries.sleep(wait_s)
        self._budget.charge()

    async def _once(
        self, method: str, path: str, query: Query | None, urgent: bool, other: Other | None
    ) -> Answer | Problem:
        wire = self._wire if other is None else other.wire
        try:
            async with wire.slot() if urgent else wire.read_slot():
                request = self._signer.sign(method, path, query)
                reply = await wire.request(request.method, request.target, request.headers, request.body)
        except WireFailure as failure:
            detail = failure.detail
        else:
            if other is None or other.counted:
                self._budget.observe(reply.headers)
            got = read_reply(reply)
            if not isinstance(got, str):
                return got
            detail = got
        raise VenueUnavailable(f"{self.account}: no usable answer from Alpaca to {method} {path}: {detail}")

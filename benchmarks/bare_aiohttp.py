"""The yardstick: sign with krakenex, send with aiohttp, read the order id. No record, no checks, no second look.

What it leaves out is what the service is for, so nothing that places orders safely can be faster; how much slower
the service is, is the price of its safety. The body is written by hand, the deadline made once for all, the reply
searched for the id rather than parsed.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import aiohttp
import krakenex
from yarl import URL

from benchmarks.contender import VENUE_SYMBOL, Job, Sample, Stopwatch, serve

PATH = "/0/private/AddOrder"
FORM = "application/x-www-form-urlencoded"


class BareAiohttp:
    """One session for all accounts, one signer for each, every connection open before the clock starts."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._url = URL(job.url + PATH)
        self._signers = [krakenex.API(key, secret) for key, secret in job.followers]
        self._session: aiohttp.ClientSession | None = None
        self._last_nonce = 0

    async def prepare(self) -> None:
        connector = aiohttp.TCPConnector(limit=self._job.connections, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def run(self, number: int) -> Sample:
        assert self._session is not None
        await self._warm(self._session)
        deadline = (datetime.now(UTC) + timedelta(seconds=55)).strftime("%Y-%m-%dT%H:%M:%S.000Z").replace(":", "%3A")
        ids = [f"b{number:05d}x{place:05d}" for place in range(len(self._signers))]
        watch = Stopwatch()
        orders = [
            self._place(self._session, signer, order_id, deadline, watch)
            for signer, order_id in zip(self._signers, ids, strict=True)
        ]
        latencies = await asyncio.gather(*orders)
        return Sample(watch.wall_s, watch.cpu_s, list(latencies))

    async def settle(self) -> None:
        """Nothing is left to do after a run."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _place(
        self, session: aiohttp.ClientSession, signer: krakenex.API, order_id: str, deadline: str, watch: Stopwatch
    ) -> float:
        fields = {
            "ordertype": "market", "type": "buy", "volume": self._job.volume, "pair": VENUE_SYMBOL, "oflags": "fciq",
            "cl_ord_id": order_id, "deadline": deadline.replace("%3A", ":"), "nonce": int(1000 * time.time()),
        }  # fmt: skip
        body = (
            f"ordertype=market&type=buy&volume={fields['volume']}&pair={VENUE_SYMBOL}&oflags=fciq"
            f"&cl_ord_id={order_id}&deadline={deadline}&nonce={fields['nonce']}"
        ).encode()
        headers = {"API-Key": signer.key, "API-Sign": signer._sign(fields, PATH), "Content-Type": FORM}
        async with session.post(self._url, data=body, headers=headers) as response:
            reply = await response.read()
        if b'"txid"' not in reply:
            raise RuntimeError(f"the venue refused an order: {reply[:200]!r}")
        return watch.wall_s

    async def _warm(self, session: aiohttp.ClientSession) -> None:
        """As many requests at once as there may be connections, so that each opens one (or proves one open)."""
        wanted = min(len(self._signers), self._job.connections)

        async def knock() -> None:
            async with session.get(self._job.url + "/0/public/Time") as response:
                await response.read()

        await asyncio.gather(*(knock() for _ in range(wanted)))


if __name__ == "__main__":
    serve(BareAiohttp)

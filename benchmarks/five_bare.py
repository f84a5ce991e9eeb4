"""The yardstick at five venues: each order built by the adapter's own signer, sent with aiohttp, and no more.

One session for all, a signer for each account, every connection open beforehand; the answer is searched for the words
of an accepted order rather than parsed.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp
from yarl import URL

from benchmarks.contender import Sample, Stopwatch, serve
from benchmarks.five_job import FiveJob
from benchmarks.signing import Build, make_build

STAYS_OPEN_S = 20.0  # open connections are trusted for so long, well under both sides' time limits
# In the answer to an order that was taken, and in no other.
ACCEPTED = {
    "kraken": b'"txid"',
    "coinbase": b'"success_response"',
    "alpaca": b'"client_order_id"',
    "okx": b'"ordId":"',
    "binance": b'"orderId"',
}


class BareFive:
    """Contender c of `five_venues`."""

    def __init__(self, job: FiveJob) -> None:
        self._job = job
        self._orders: list[tuple[str, Build]] = []
        for venue, keys in job.followers:
            host = job.venues[venue]["url"].removeprefix("http://")
            self._orders.append((venue, make_build(venue, keys, host, job.volume(venue))))
        self._urls: dict[tuple[str, str], URL] = {}
        self._session: aiohttp.ClientSession | None = None
        self._warm_until = 0.0

    async def prepare(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=self._job.connections, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def run(self, number: int) -> Sample:
        assert self._session is not None
        await self._warm(self._session)
        ids = [f"b{number:05d}x{place:05d}" for place in range(len(self._orders))]
        watch = Stopwatch()
        placed = [
            self._place(self._session, venue, build, order_id, watch)
            for (venue, build), order_id in zip(self._orders, ids, strict=True)
        ]
        latencies = await asyncio.gather(*placed)
        self._warm_until = time.monotonic() + STAYS_OPEN_S
        return Sample(watch.wall_s, watch.cpu_s, list(latencies))

    async def settle(self) -> None:
        """Nothing is left to do after a run."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _place(
        self, session: aiohttp.ClientSession, venue: str, build: Build, order_id: str, watch: Stopwatch
    ) -> float:
        request = build(order_id)
        url = self._url(venue, request.target)
        async with session.request(request.method, url, data=request.body, headers=request.headers) as response:
            reply = await response.read()
        if response.status != 200 or ACCEPTED[venue] not in reply or b'"ordId":""' in reply:
            raise RuntimeError(f"{venue} refused an order: {response.status} {reply[:200]!r}")
        return watch.wall_s

    def _url(self, venue: str, target: str) -> URL:
        url = self._urls.get((venue, target))
        if url is None:
            url = self._urls[venue, target] = URL(self._job.venues[venue]["url"] + target, encoded=True)
        return url

    async def _warm(self, session: aiohttp.ClientSession) -> None:
        """As many requests at once as there may be connections, so that each opens one (or proves one open)."""
        if time.monotonic() < self._warm_until:
            return

        async def knock(url: str) -> None:
            async with session.get(url + "/sim") as response:
                await response.read()

        for venue in self._job.venues.values():
            wanted = min(len(venue["followers"]), self._job.connections)
            await asyncio.gather(*(knock(venue["url"]) for _ in range(wanted)))


if __name__ == "__main__":
    serve(BareFive, FiveJob)

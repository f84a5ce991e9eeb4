"""`ccxt.async_support`: one exchange object for each account, all orders in one gather. Runs in `.venv-bench`."""

from __future__ import annotations

import asyncio

import ccxt.async_support as ccxt  # type: ignore[import-not-found]  # not in this environment

from benchmarks.contender import SYMBOL, Job, Sample, Stopwatch, serve


class GatherCcxt:
    """Markets are loaded once and shared, and every exchange has an open connection before the clock starts."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._exchanges: list[ccxt.kraken] = []

    async def prepare(self) -> None:
        first = None
        for key, secret in self._job.followers:
            exchange = ccxt.kraken({"apiKey": key, "secret": secret, "enableRateLimit": False, "timeout": 30_000})
            exchange.urls["api"] = {"public": self._job.url, "private": self._job.url}
            self._exchanges.append(exchange)
            if first is None:
                await exchange.load_markets()
                first = exchange
            else:
                exchange.set_markets(first.markets, first.currencies)

    async def run(self, number: int) -> Sample:
        await asyncio.gather(*(exchange.fetch_time() for exchange in self._exchanges))
        volume = float(self._job.volume)
        watch = Stopwatch()

        async def place(exchange: ccxt.kraken) -> float:
            order = await exchange.create_order(SYMBOL, "market", "buy", volume)
            assert order["id"]
            return watch.wall_s

        latencies = await asyncio.gather(*(place(exchange) for exchange in self._exchanges))
        return Sample(watch.wall_s, watch.cpu_s, list(latencies))

    async def settle(self) -> None:
        """Nothing is left to do after a run."""

    async def close(self) -> None:
        await asyncio.gather(*(exchange.close() for exchange in self._exchanges))


if __name__ == "__main__":
    serve(GatherCcxt)

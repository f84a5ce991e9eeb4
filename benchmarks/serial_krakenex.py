"""The original's way: for every order a new `krakenex.API`, and with it a new connection; one after the other."""

from __future__ import annotations

import krakenex

from benchmarks.contender import VENUE_SYMBOL, Job, Sample, Stopwatch, serve


class SerialKrakenex:
    """Blocks while it works, as the original did."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def prepare(self) -> None:
        """There is nothing that it keeps ready."""

    async def run(self, number: int) -> Sample:
        latencies = []
        watch = Stopwatch()
        for key, secret in self._job.followers:
            api = krakenex.API(key, secret)
            api.uri = self._job.url
            order = {"pair": VENUE_SYMBOL, "type": "buy", "ordertype": "market", "volume": self._job.volume}
            answer = api.query_private("AddOrder", order, timeout=30)
            if answer["error"]:
                raise RuntimeError(f"the venue refused an order: {answer['error']}")
            latencies.append(watch.wall_s)
            api.close()
        return Sample(watch.wall_s, watch.cpu_s, latencies)

    async def settle(self) -> None:
        """Nothing is left to do after a run."""

    async def close(self) -> None:
        """Nothing is kept."""


if __name__ == "__main__":
    serve(SerialKrakenex)

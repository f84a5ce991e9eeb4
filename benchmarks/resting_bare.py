"""The yardstick for orders that rest: sign with krakenex, send with aiohttp, place a limit order each and cancel it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

import krakenex
from yarl import URL

from benchmarks.bare_aiohttp import FORM, BareAiohttp
from benchmarks.contender import VENUE_SYMBOL, serve

_AWAY = Decimal("0.95")


@dataclass(frozen=True)
class BareSample:
    """One run, in seconds."""

    entry_s: float
    cancel_s: float


class RestingBare(BareAiohttp):
    """No record, no checks, no second look."""

    async def run(self, number: int) -> BareSample:  # type: ignore[override]
        price = f"{Decimal(self._job.price) * _AWAY:.1f}"
        ids = [f"r{number:05d}x{place:05d}" for place in range(len(self._signers))]
        fixed = {"ordertype": "limit", "type": "buy", "volume": self._job.volume, "pair": VENUE_SYMBOL, "price": price}
        entry_s = await self._everybody("AddOrder", [{**fixed, "cl_ord_id": order_id} for order_id in ids], b'"txid"')
        await asyncio.sleep(1.0)
        cancel_s = await self._everybody("CancelOrder", [{"cl_ord_id": order_id} for order_id in ids], b'"count":1')
        return BareSample(entry_s, cancel_s)

    async def _everybody(self, call: str, fields: list[dict[str, str]], proof: bytes) -> float:
        assert self._session is not None
        await self._warm(self._session)
        began = time.perf_counter()
        pairs = zip(self._signers, fields, strict=True)
        await asyncio.gather(*(self._call(call, signer, each, proof) for signer, each in pairs))
        return time.perf_counter() - began

    async def _call(self, call: str, signer: krakenex.API, fields: dict[str, str], proof: bytes) -> None:
        assert self._session is not None
        path = f"/0/private/{call}"
        body = {**fields, "nonce": time.time_ns() // 1_000_000}
        headers = {"API-Key": signer.key, "API-Sign": signer._sign(body, path), "Content-Type": FORM}
        url = URL(self._job.url + path)
        async with self._session.post(url, data=urlencode(body).encode(), headers=headers) as response:
            reply = await response.read()
        if proof not in reply.replace(b" ", b""):
            raise RuntimeError(f"the venue refused: {reply[:200]!r}")


if __name__ == "__main__":
    serve(RestingBare)

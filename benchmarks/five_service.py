"""Ours at five venues: the whole system, its master at Kraken, timed as in `service`."""

from __future__ import annotations

import asyncio
import json

from benchmarks.contender import serve
from benchmarks.five_job import MASTER_USD, FiveJob, Keys
from benchmarks.service import Service
from benchmarks.signing import DEADLINE_S

# What is counted per account or address is counted here as well, at figures that no venue would allow: the simulated
# ones have no limits either. Binance's is no setting, and stays in force.
_VENUES: dict[str, dict[str, object]] = {
    "kraken": {"tier": "pro", "order_deadline_s": DEADLINE_S},
    "coinbase": {"calls_per_s": 1000, "public_calls_per_s": None, "token_life_s": DEADLINE_S},
    "alpaca": {"requests_per_minute": 100_000, "public_calls_per_s": None, "stocks": False},
    "okx": {"order_deadline_s": DEADLINE_S},
    "binance": {"order_deadline_s": DEADLINE_S, "require_ip_restriction": False},
}


class FiveService(Service):
    """Contender d of `five_venues`."""

    master_usd = MASTER_USD

    def __init__(self, job: FiveJob) -> None:
        super().__init__(job)  # type: ignore[arg-type]  # it asks for nothing that this job lacks
        self._five = job
        self._environ = {f"{name.upper()}_BASE_URL": venue["url"] for name, venue in job.venues.items()}

    async def _warm(self) -> None:
        assert self._system is not None
        venues = self._system.engine.services.venues
        await asyncio.gather(
            *(venues[name].warm(len(venue["followers"]) + 1) for name, venue in self._five.venues.items())
        )

    def _write_files(self) -> None:
        self._paths.users.mkdir(parents=True)
        settings = {
            "mode": "live",
            "master": {"venue": "kraken", "strategy": "none"},
            # No balance is read in the background because it is old, and no price of another venue is too far off.
            "copy": {"equity_max_age_s": 86400, "max_slippage": 0.05, "stand_ins": {"USD": ["USDC", "USDT"]}},
            "venues": {
                name: {**_VENUES[name], "max_connections": self._five.connections} for name in self._five.venues
            },
        }
        self._paths.config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        self._add_keys("KRAKEN_MASTER", self._five.master)
        users: dict[str, list[dict[str, object]]] = {name: [] for name in self._five.venues}
        for place, (venue, keys) in enumerate(self._five.followers):
            name = f"FOLLOWER{place:05d}"
            self._add_keys(f"{venue.upper()}_USER_{name}", keys)
            user = {"user_id": name.lower(), "name": name, "account_type": "retail", "broker_type": venue}
            users[venue].append({**user, "enabled": True})
        for venue, lines in users.items():
            (self._paths.users / f"retail_{venue}.json").write_text(json.dumps(lines), encoding="utf-8")

    def _add_keys(self, prefix: str, keys: Keys) -> None:
        for part, text in keys.items():
            name = "API_PASSPHRASE" if part == "passphrase" else f"API_{part.upper()}"
            self._environ[f"{prefix}_{name}"] = text


if __name__ == "__main__":
    serve(FiveService, FiveJob)

"""A world of several venues: one simulated server for each, a real system in live mode against them.

    async with VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000, "binance": {"cash": 500}}}) as world:
        async with world.trading() as desk:
            signal = await desk.buy("1000")
            await world.down("okx")

As in `world.World` nothing is a stand-in, prices stand still without a spread, and the waits are shortened.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from world import QUICK, Adjust, Desk, Json, MovableClock

from copytrade.domain.account import AccountId, account_id
from copytrade.domain.copy import Decision
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.engine.service import Wiring
from copytrade.settings.redaction import Redactor
from copytrade.simulator.server import SimulatorServer
from copytrade.simulator.venue import SimulatedVenue
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

ALL = ("kraken", "coinbase", "alpaca", "okx", "binance")
BTC = {"kraken": "BTC/USD", "coinbase": "BTC/USD", "alpaca": "BTC/USD", "okx": "BTC/USDT", "binance": "BTC/USDT"}
"""The market of each venue in the currency that its accounts are measured in."""
SPELLED = {"kraken": "XXBTZUSD", "coinbase": "BTC-USD", "alpaca": "BTCUSD", "okx": "BTC-USDT", "binance": "BTCUSDT"}
PLACE = {
    "kraken": "AddOrder", "coinbase": "create_order", "alpaca": "POST /v2/orders", "okx": "POST /trade/order",
    "binance": "POST /api/v3/order",
}  # fmt: skip
"""The simulators' names of the call that places an order, for faults."""
BOTH_WAYS = {"stand_ins": {"USD": ["USDT"], "USDT": ["USD"]}}
START_PRICE = Decimal(50_000)

_QUICK_VENUES: dict[str, Json] = {
    "kraken": {"tier": "pro", "order_deadline_s": 2, "absence_settle_s": 0},
    "coinbase": {"token_life_s": 2, "absence_settle_s": 0},
    "alpaca": {"late_order_s": 0.5, "late_exit_s": 0.5},
    "okx": {"order_deadline_s": 1, "absence_settle_s": 0},
    "binance": {"order_deadline_s": 0.5, "absence_settle_s": 0},
}
_WITH_ADDRESSES = ("kraken", "okx", "binance")


class VenuesWorld:
    """The venues, the operator's files and the environment. Inside the `async with` the venues serve."""

    def __init__(
        self,
        root: Path,
        *,
        users: Mapping[str, Mapping[str, int | Json]],
        master: str = "kraken",
        venues: Sequence[str] = (),
        down: Sequence[str] = (),
        copy: Json | None = None,
        mode: str = "live",
        settings: Mapping[str, Json] | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        """`users` are `user_id: {venue: cash}`, or `{venue: {"cash": ..., and fields of the user file}}`.

        `venues` beside those of the users serve as well; those in `down` do not answer until `up`.
        """
        self.clock = MovableClock()
        self.master = master
        self.mode = mode
        self.alerts: list[str] = []
        self.plans: list[tuple[Signal, tuple[Decision, ...]]] = []
        self.on_plan: Callable[[], object] = lambda: None
        self.environ: dict[str, str] = {}
        self.redactor = Redactor()
        self.paths = Paths(root / "copytrade.yaml", root / "users", root / "state", root / ".env")
        self.paths.users.mkdir()
        self.copy: Json = BOTH_WAYS if copy is None else copy
        self.venue_settings: dict[str, Json] = {}
        self.limits = {**QUICK, **(limits or {})}
        names = {master, *venues, *(venue for accounts in users.values() for venue in accounts)}
        self.sims: dict[str, SimulatedVenue] = {name: self._simulator(name) for name in ALL if name in names}
        self._ports: dict[str, int] = {}
        self._servers: dict[str, SimulatorServer] = {}
        self._down = set(down)
        self._settings = settings or {}
        self.users: dict[str, dict[str, Json]] = {name: {} for name in self.sims}
        self._add_account(master, "master", 10_000)
        for user_id, accounts in users.items():
            for venue, given in accounts.items():
                self.enrol(venue, user_id, given)
        self.write_settings()

    # -- the operator's files ----------------------------------------------------------------------------------------

    def enrol(self, venue: str, user_id: str, given: int | Json) -> None:
        """Give a user an account at a venue, its key in the environment, and a line in that venue's user file."""
        fields = dict(given) if isinstance(given, dict) else {"cash": given}
        self._add_account(venue, user_id, fields.pop("cash", 1_000))
        self.users[venue][user_id] = fields
        self.write_users()

    def write_users(self) -> None:
        for venue, users in self.users.items():
            lines = [{"user_id": user_id, "broker_type": venue, **fields} for user_id, fields in users.items()]
            (self.paths.users / f"retail_{venue}.json").write_text(json.dumps(lines))

    def write_settings(self) -> None:
        quick = {"clock_skew_max_s": 0.1, "request_timeout_s": 1}
        venues = {name: {**_QUICK_VENUES[name], **quick, **self.venue_settings.get(name, {})} for name in self.sims}
        settings: dict[str, Any] = {
            "mode": self.mode,
            "master": {"venue": self.master, "strategy": "none"},
            "copy": self.copy,
            "venues": venues,
            **self._settings,
        }
        self.paths.config.write_text(json.dumps(settings))  # JSON is YAML

    # -- the venues' side --------------------------------------------------------------------------------------------

    async def up(self, venue: str) -> None:
        """The venue answers again, at its old address."""
        server = SimulatorServer([self.sims[venue]], port=self._ports.get(venue, 0))
        await server.start()
        self._servers[venue] = server
        self._ports[venue] = int(server.url(venue).rpartition(":")[2])
        self.environ[f"{venue.upper()}_BASE_URL"] = server.url(venue)

    async def down(self, venue: str) -> None:
        """Nobody listens at the venue's address any more."""
        await self._servers.pop(venue).stop()

    def orders(self, venue: str, user: str) -> list[Json]:
        """Every order that the venue ever accepted from this user, by arrival."""
        return self.sims[venue].orders(user)

    def bought_anywhere(self, user: str) -> list[Json]:
        """The user's purchases at all venues."""
        return [o for venue in self.sims for o in self.orders(venue, user) if o["side"] == "buy"]

    def holds(self, venue: str, user: str, asset: str = "BTC") -> Decimal:
        account = next(each for each in self.sims[venue].accounts() if each["name"] == user)
        return Decimal(account["balances"].get(asset, "0"))

    def price(self, venue: str, price: int | str, symbol: str = "") -> None:
        self.sims[venue].set_price(symbol or BTC[venue], Decimal(price))

    def fault(self, venue: str, kind: str, user: str | None = None, **values: Any) -> int:
        """A fault of the call that places orders, unless `method` says otherwise."""
        return self.sims[venue].add_fault(kind, account=user, **{"method": PLACE[venue], **values})

    def quote_reads(self, venue: str) -> int:
        """How often prices were asked for."""
        paths = self.sims[venue].requests()["paths"]
        return sum(n for path, n in paths.items() if "icker" in path or "orderbooks" in path or "quotes" in path)

    # -- the system --------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def trading(self, adjust: Adjust = lambda wiring: wiring) -> AsyncIterator[VenuesDesk]:
        """Start the system, or start it again; `adjust` may swap any port."""

        def adjusted(wiring: Wiring) -> Wiring:
            return adjust(replace(wiring, limits=replace(wiring.limits, **self.limits)))

        hooks = Hooks(lambda alert: self.alerts.append(alert.text), self._planned, adjusted, self.clock.utc)
        async with System(self.paths, self.environ, hooks, self.redactor) as system:
            yield VenuesDesk(self, system)  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        if self.mode == "live":
            for venue in self.sims:
                await self.up(venue)
                if venue in self._down:
                    await self.down(venue)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers.values():
            await server.stop()
        for sim in self.sims.values():
            sim.close()

    def _planned(self, signal: Signal, copies: tuple[Decision, ...]) -> None:
        self.plans.append((signal, copies))
        self.on_plan()

    def _simulator(self, name: str) -> SimulatedVenue:
        made: Any = importlib.import_module(f"copytrade.simulator.{name}")
        sim: SimulatedVenue = getattr(made, f"{name.capitalize()}Simulator")(
            seed=11, volatility=0.0, spread=Decimal(0), clock=self.clock.unix_s
        )
        for symbol in {"BTC/USD", BTC[name]} - ({"BTC/USD"} if name == "binance" else set()):
            sim.set_price(symbol, START_PRICE)
        return sim

    def _add_account(self, venue: str, user: str, cash: int | str) -> None:
        extras: dict[str, Any] = {"ip_allowlist": ("127.0.0.1",)} if venue in _WITH_ADDRESSES else {}
        sim = self.sims[venue]
        made = sim.add_account(user, {sim.currency: Decimal(cash)}, tier="pro", **extras)
        name = f"{venue.upper()}_USER_{user.upper()}" if user != "master" else venue.upper()
        self.environ[f"{name}_API_KEY"], self.environ[f"{name}_API_SECRET"] = made.key, made.secret
        if made.passphrase is not None:
            self.environ[f"{name}_API_PASSPHRASE"] = made.passphrase


class VenuesDesk(Desk):
    """A running system; accounts are named with their venue."""

    def copy(self, signal: str, account: str, leg: int = 0) -> OrderRecord:
        (found,) = [c for c in self.copies(signal) if c.account == account and c.leg == leg]
        return found

    def position(self, account: str, symbol: str = "BTC/USD") -> Decimal:
        return self.ledger.state.position(AccountId(account), symbol).value

    def connected(self, venue: str, user: str) -> bool:
        member = self.engine.services.roster.get(account_id(venue, user))
        return member is not None and member.client is not None

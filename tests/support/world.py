"""A whole small world to trade in: a simulated venue in a thread of its own, users, and the real system against it.

    world = World(tmp_path, followers={"alice_smith": 1_000, "bob_jones": 500})
    with world:
        async with world.trading() as desk:
            signal = await desk.buy("1000")
            await desk.settled()
            world.orders("alice_smith")

Nothing in it is a stand-in: real HTTP over loopback, a real ledger file, real nonces. Prices stand still and have no
spread, so figures come out exact. The clock of the system and of the venue is one, and can be moved ahead.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from copytrade.domain.account import AccountId, account_id
from copytrade.domain.copy import Decision
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import OrderState, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.killswitch import KillSwitch
from copytrade.engine.service import Wiring
from copytrade.engine.services import Limits
from copytrade.settings.redaction import Redactor
from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.server import ServerThread
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

Json = dict[str, Any]
Adjust = Callable[[Wiring], Wiring]
WAIT_S = 60.0  # far beyond what any of these conditions needs, on a machine that is busy with other things
MASTER = AccountId("kraken:master")

# The engine's waits, shortened. What they wait for stays the same.
QUICK: Mapping[str, Any] = {
    "fill_delays_s": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    "retry_delays_s": (0.02, 0.05, 0.1, 0.2, 0.5),
    "lookup_delays_s": (0.02, 0.05, 0.1, 0.2, 0.5),
}


class MovableClock:
    """The time of day, ahead of the machine's by as much as a test wants. Read from two threads."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def unix_s(self) -> float:
        return time.time() + self.ahead_s

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.unix_s(), UTC)


async def until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Return once the condition holds; fail with `what` if it never does."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + timeout_s
    while not condition():
        if loop.time() > give_up_at:
            raise AssertionError(f"waited {timeout_s} s in vain for this: {what}")
        await asyncio.sleep(0.005)


def follower(user_id: str) -> AccountId:
    return account_id("kraken", user_id)


class World:
    """The venue, the operator's files, and the environment. A context manager: inside it the venue serves."""

    def __init__(
        self,
        root: Path,
        *,
        followers: Mapping[str, int | str | Json] | None = None,
        master_cash: int | str = 10_000,
        settings: Mapping[str, Json] | None = None,
        simulator: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        """`followers` are `user_id: cash`, or `user_id: {"cash": ..., and fields of the user file}`."""
        self.clock = MovableClock()
        self.venue = KrakenSimulator(
            **{"seed": 11, "volatility": 0.0, "spread": Decimal(0), "clock": self.clock.unix_s, **(simulator or {})}
        )
        self.venue.set_price("BTC/USD", Decimal(50_000))
        self.alerts: list[str] = []
        self.plans: list[tuple[Signal, tuple[Decision, ...]]] = []
        self.on_plan: Callable[[], object] = lambda: None  # called when a plan is durable and no copy has left yet
        self.users: dict[str, Json] = {}
        self.limits: dict[str, Any] = {**QUICK, **(limits or {})}
        self.redactor = Redactor()
        self.keys: dict[str, tuple[str, str]] = {}
        self.paths = Paths(root / "copytrade.yaml", root / "users", root / "state", root / ".env")
        self.paths.users.mkdir()
        self.environ: dict[str, str] = {}
        self.dotenv: dict[str, str] = {}
        self._settings = settings or {}
        self._server = ServerThread([self.venue])
        self._add_account("master", master_cash, "KRAKEN_MASTER", self.environ)
        for user_id, given in (followers or {"alice_smith": 1_000, "bob_jones": 500}).items():
            self.enrol(user_id, given)
        self.write_settings()

    # -- the operator's files -----------------------------------------------------------------------------------------

    def enrol(self, user_id: str, given: int | str | Json) -> None:
        """Give a user an account at the venue, an API key in `.env`, and a line in the user file."""
        fields = dict(given) if isinstance(given, dict) else {"cash": given}
        self._add_account(user_id, fields.pop("cash", 1_000), f"KRAKEN_USER_{user_id.upper()}", self.dotenv)
        self.users[user_id] = fields
        self.write_dotenv()
        self.write_users()

    def write_users(self) -> None:
        users = [{"user_id": user_id, "broker_type": "kraken", **fields} for user_id, fields in self.users.items()]
        (self.paths.users / "retail_kraken.json").write_text(json.dumps(users))

    def write_dotenv(self) -> None:
        self.paths.dotenv.write_text("".join(f"{name}={value}\n" for name, value in self.dotenv.items()))
        self.paths.dotenv.chmod(0o600)

    def write_settings(self, **sections: Json) -> None:
        """Waits as short as the settings allow, then what the test wants."""
        settings: dict[str, Any] = {
            "mode": "live",
            "master": {"strategy": "none"},
            "venues": {
                "kraken": {
                    "tier": "pro", "order_deadline_s": 2, "absence_settle_s": 0, "clock_skew_max_s": 0.1,
                    "request_timeout_s": 1,
                }
            },
        }  # fmt: skip
        for name, values in {**self._settings, **sections}.items():
            if name == "kraken":
                settings["venues"]["kraken"] |= values
            else:
                settings.setdefault(name, {}).update(values)
        self.paths.config.write_text(json.dumps(settings))  # JSON is YAML

    # -- the venue's side ------------------------------------------------------------------------------------------

    def orders(self, user: str) -> list[Json]:
        """Every order that the venue ever accepted from this user, by arrival."""
        return self.venue.orders(user)

    def fault(self, kind: str, user: str | None = None, method: str | None = "AddOrder", **values: Any) -> int:
        return self.venue.add_fault(kind, account=user, method=method, **values)

    def holds(self, user: str, asset: str = "BTC") -> Decimal:
        """What the venue has for this user."""
        account = next(each for each in self.venue.accounts() if each["name"] == user)
        return Decimal(account["balances"].get(asset, "0"))

    def price(self, symbol: str, price: int | str) -> None:
        self.venue.set_price(symbol, Decimal(price))

    # -- the system ------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def trading(self, adjust: Adjust = lambda wiring: wiring) -> AsyncIterator[Desk]:
        """Start the system, or start it again; `adjust` may swap any port."""

        def adjusted(wiring: Wiring) -> Wiring:
            return adjust(replace(wiring, limits=self._limits(wiring.limits)))

        hooks = Hooks(lambda alert: self.alerts.append(alert.text), self._planned, adjusted, self.clock.utc)
        async with System(self.paths, self.environ, hooks, self.redactor) as system:
            yield Desk(self, system)

    def __enter__(self) -> Self:
        self._server.start()
        self.environ["KRAKEN_BASE_URL"] = self._server.url("kraken")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self.venue.close()

    def _planned(self, signal: Signal, copies: tuple[Decision, ...]) -> None:
        self.plans.append((signal, copies))
        self.on_plan()

    def _limits(self, limits: Limits) -> Limits:
        return replace(limits, **self.limits)

    def _add_account(self, name: str, cash: int | str, variables: str, into: dict[str, str]) -> None:
        made = self.venue.add_account(name, {"USD": Decimal(cash)}, tier="pro", ip_allowlist=("127.0.0.1",))
        self.keys[name] = (made.key, made.secret)
        into[f"{variables}_API_KEY"], into[f"{variables}_API_SECRET"] = made.key, made.secret


@dataclass
class Desk:
    """A running system and the short words that tests use on it."""

    world: World
    system: System

    def __post_init__(self) -> None:
        self.engine = self.system.engine
        self.ledger = self.engine.services.ledger
        self._requests = itertools.count(1)

    # -- trading -----------------------------------------------------------------------------------------------------

    async def buy(self, usd: int | str, symbol: str = "BTC/USD", request_id: str = "") -> str:
        """The master buys; returns the signal's id once the venue has the master's order."""
        return await self._signal(TradeRequest(self._name(request_id), symbol, Side.BUY, usd=Amount.of(usd)))

    async def sell(self, quantity: str | None = None, symbol: str = "BTC/USD", request_id: str = "") -> str:
        """The master sells a quantity, or all it has; returns the signal's id."""
        much = None if quantity is None else Quantity.of(quantity)
        request = TradeRequest(self._name(request_id), symbol, Side.SELL, quantity=much, whole=much is None)
        return await self._signal(request)

    async def place(self, request: TradeRequest) -> OrderRecord:
        """The desk's own call, which must come to an end."""
        return await asyncio.wait_for(self.engine.desk.place(request), WAIT_S)

    async def dealt_with(self, signal: str) -> list[OrderRecord]:
        """Wait until each copy of a signal is at the venue or will not get there for now; returns all copies."""
        assert await self.engine.tracker.wait(signal, WAIT_S), self._open()
        return self.copies(signal)

    async def settled(self) -> None:
        """Wait until every order is at its end, held exits aside."""
        await until(
            lambda: all(r.state is OrderState.HELD for r in self.ledger.state.orders.values())
            and not self.ledger.state.unplanned,
            "every order at its end",
        )

    # -- looking -----------------------------------------------------------------------------------------------------

    def copies(self, signal: str) -> list[OrderRecord]:
        return list(self.ledger.copies_of(signal))

    def copy(self, signal: str, user: str, leg: int = 0) -> OrderRecord:
        """One user's copy."""
        (found,) = [c for c in self.copies(signal) if c.account == follower(user) and c.leg == leg]
        return found

    def position(self, user: str, symbol: str = "BTC/USD") -> Decimal:
        """The copied position, as the ledger has it."""
        return self.ledger.state.position(follower(user), symbol).value

    def alerts_of(self, *words: str) -> list[str]:
        """The alerts that carry all these words."""
        return [alert for alert in self.world.alerts if all(word in alert for word in words)]

    # -- the operator ------------------------------------------------------------------------------------------------

    @property
    def kill(self) -> KillSwitch:
        """A kill switch of the operator's own, on the same file."""
        return KillSwitch(self.world.paths.state, self.world.environ)

    def reload(self) -> None:
        """What the worker does when the files have changed."""
        change = self.system.poll_files()
        assert change is not None, "the files have changed"
        assert hasattr(change, "loaded"), f"the files were refused: {change}"
        self.system.take_change(change)

    async def _signal(self, request: TradeRequest) -> str:
        record = await self.place(request)
        assert record.venue_order_id is not None, f"the master's order: {record.state} {record.reason} {record.detail}"
        return signal_id(record.order_id, SignalKind.PLACED)

    def _name(self, given: str) -> str:
        return given or f"request {id(self)} {next(self._requests)}"

    def _open(self) -> Sequence[str]:
        return [f"{r.account} {r.state} {r.detail}" for r in self.ledger.state.orders.values()]

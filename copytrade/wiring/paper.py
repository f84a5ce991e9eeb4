"""Paper trading: the simulated venue that the worker carries along, with an account for the master and every user.

It keeps its own file under `state/paper/`, written before each reply, so that it outlives the worker as a real venue
would: after a crash, what it accepted is still there to be found.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from copytrade.domain.account import MASTER_USER, AccountId, user_of
from copytrade.settings.model import Settings
from copytrade.settings.users import User
from copytrade.wiring.paths import STATE_MODE, Paths

TIER = "pro"  # paper traders try things out: the widest of the venue's own limits


class PaperVenue:
    """An embedded, strict Kraken on loopback. Start it in the loop that trades, or any other."""

    def __init__(self, settings: Settings, paths: Paths) -> None:
        from copytrade.simulator.kraken import KrakenSimulator  # only paper mode pays for it
        from copytrade.simulator.server import SimulatorServer

        store = None
        if settings.paper.store:
            paths.paper.mkdir(mode=STATE_MODE, parents=True, exist_ok=True)
            store = paths.paper / "kraken.sqlite"
        self._settings = settings
        self._sim = KrakenSimulator(
            seed=settings.paper.seed,
            volatility=float(settings.paper.volatility),
            fill_delay_ms=settings.paper.fill_delay_ms,
            store=store,
        )
        self._server = SimulatorServer([self._sim], reply_delay_ms=settings.paper.reply_delay_ms)
        self._credentials: dict[AccountId, tuple[str, str]] = {}

    @property
    def base_url(self) -> str:
        return self._server.url("kraken")

    @property
    def admin_url(self) -> str:
        return self._server.admin_url("kraken")

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()
        self._sim.close()

    def enrol(self, users: Iterable[User]) -> None:
        """See that the master and every user has an account there; balances of known ones stay as they are."""
        self._account(AccountId(f"kraken:{MASTER_USER}"), self._settings.paper.master_cash)
        for user in users:
            if user.broker_type == "kraken":
                cash = self._settings.paper.follower_cash if user.paper_cash is None else user.paper_cash
                self._account(AccountId(user.account), cash)

    def credentials(self, account: AccountId) -> tuple[str, str] | None:
        """The made-up key and secret of an account; None for one that was never enrolled."""
        return self._credentials.get(account)

    def _account(self, account: AccountId, cash: Decimal) -> None:
        if account in self._credentials:
            return
        made = self._sim.add_account(user_of(account), {"USD": cash}, tier=TIER, ip_allowlist=("127.0.0.1",))
        self._credentials[account] = (made.key, made.secret)

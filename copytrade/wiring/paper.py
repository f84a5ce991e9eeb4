"""Paper trading: the simulated venues that the worker carries along, with an account for the master and every user.

They keep files of their own under `state/paper/`, written before each reply, so that they outlive the worker as real
venues would: after a crash, what they accepted is still there to be found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from copytrade.domain.account import MASTER_USER, AccountId, account_id, user_of, venue_of
from copytrade.settings.model import Settings
from copytrade.settings.users import User
from copytrade.wiring.paths import STATE_MODE, Paths
from copytrade.wiring.venues import PAPER_TIER, Keys

if TYPE_CHECKING:
    from copytrade.simulator.venue import SimulatedVenue


# Venues whose keys can be tied to addresses; there the adapters warn of (or refuse) one that is not.
_KEYS_WITH_ADDRESSES = frozenset({"kraken", "okx", "binance"})


class PaperVenues:
    """Embedded, strict simulated venues on loopback. Start them in the loop that trades, or any other."""

    def __init__(self, settings: Settings, paths: Paths, names: Collection[str]) -> None:
        from copytrade.simulator.command import make_venue  # only paper mode pays for it
        from copytrade.simulator.server import SimulatorServer

        paper = settings.paper
        store = None
        if paper.store:
            paths.paper.mkdir(mode=STATE_MODE, parents=True, exist_ok=True)
            store = paths.paper
        self._settings = settings
        self._simulators: dict[str, SimulatedVenue] = {
            name: make_venue(name, paper.seed, store, float(paper.volatility), paper.fill_delay_ms, rate_limits=True)
            for name in sorted(names)
        }
        self._server = SimulatorServer(list(self._simulators.values()), reply_delay_ms=paper.reply_delay_ms)
        self._keys: dict[AccountId, Keys] = {}

    @property
    def names(self) -> Collection[str]:
        return self._simulators.keys()

    def base_url(self, venue: str) -> str:
        return self._server.url(venue)

    def admin_url(self, venue: str) -> str:
        return self._server.admin_url(venue)

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()
        for simulator in self._simulators.values():
            simulator.close()

    def enrol(self, users: Iterable[User]) -> None:
        """See that the master and every user has an account there, with its money in the currency that the settings
        measure the venue's accounts in (`venues.<name>.currency`). Balances of known accounts stay as they are."""
        paper = self._settings.paper
        self._enrol(account_id(self._settings.master.venue, MASTER_USER), paper.master_cash)
        for user in users:
            cash = paper.follower_cash if user.paper_cash is None else user.paper_cash
            self._enrol(AccountId(user.account), cash)

    def keys(self, account: AccountId) -> Keys | None:
        """The made-up credentials of an account; None for one that was never enrolled."""
        return self._keys.get(account)

    def _enrol(self, account: AccountId, cash: Decimal) -> None:
        simulator = self._simulators.get(venue_of(account))
        if simulator is None or account in self._keys:
            return
        extras: dict[str, Any] = {}
        if simulator.name in _KEYS_WITH_ADDRESSES:
            extras["ip_allowlist"] = ("127.0.0.1",)
        balances = {self._currency(simulator): cash}
        self._keys[account] = simulator.add_account(user_of(account), balances, tier=PAPER_TIER, **extras)

    def _currency(self, simulator: SimulatedVenue) -> str:
        """What the venue's adapter counts equity in. Not every venue leaves that to the settings."""
        settings = self._settings.venues.of(simulator.name)  # type: ignore[arg-type]
        currency: str = getattr(settings, "currency", simulator.currency)
        return currency

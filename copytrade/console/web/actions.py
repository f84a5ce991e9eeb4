"""What an operator can do from the console: the same as by the commands, in the running worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from copytrade.domain.account import Mode
from copytrade.domain.errors import BadRequest, CopyTradeError
from copytrade.domain.order import OrderState
from copytrade.engine.killswitch import ENVIRONMENT_NAME, KillState
from copytrade.engine.service import Engine

Json = dict[str, Any]
SetMode = Callable[[str, Mode], object]
"""Writes a user's mode into the user files, whole or not at all; slow, so it is called in a thread. Raises
`CopyTradeError` with what to do."""


class NotOffered(Exception):
    """This version cannot do that; the text says what to do instead."""


class Actions(Protocol):
    """All raise `NotOffered`, `BadRequest` and other `CopyTradeError`s, or `OSError` for a file that cannot be
    written. What they return goes to the page and into the audit trail."""

    async def kill(self, state: KillState) -> Json:
        """Put the kill switch on disk: halt, close_only or flatten."""
        ...

    async def unkill(self, *, place_exits: bool) -> Json:
        """Lift it, and place the exits that it held if told to."""
        ...

    async def set_mode(self, account: str, mode: Mode) -> Json:
        """Change the mode of one follower's account in its user file."""
        ...

    async def reconcile(self, account: str | None) -> Json:
        """Compare copied positions with the venue's, of one account or of all."""
        ...

    async def flatten(self, account: str) -> Json:
        """Close one follower's copied positions."""
        ...


class EngineActions:
    """The running system. What the engine does not offer yet is passed in as None."""

    def __init__(
        self,
        engine: Engine,
        set_mode: SetMode | None = None,
        reconcile: Callable[[str | None], Any] | None = None,
        flatten: Callable[[str], Any] | None = None,
    ) -> None:
        self._engine = engine
        self._set_mode = set_mode
        self._reconcile = reconcile
        self._flatten = flatten

    async def kill(self, state: KillState) -> Json:
        kill = self._engine.services.kill
        await asyncio.to_thread(kill.engage, state)
        return {"kill_switch": kill.look().value}

    async def unkill(self, *, place_exits: bool) -> Json:
        kill = self._engine.services.kill
        lifted = await asyncio.to_thread(kill.lift)
        if (still := kill.look()) is not KillState.OFF:
            raise CopyTradeError(
                f"orders are still stopped ({still}): the environment says {ENVIRONMENT_NAME}, or the state folder "
                "cannot be looked at"
            )
        orders = self._engine.services.ledger.state.orders
        held = sum(1 for order in orders.values() if order.state is OrderState.HELD)
        placed = self._engine.place_held_exits() if place_exits else 0
        return {"kill_switch": "off", "was_on": lifted, "held_exits": held, "placed": placed}

    async def set_mode(self, account: str, mode: Mode) -> Json:
        self._must_be_a_follower(account)
        if self._set_mode is None:
            raise NotOffered("this version cannot: set its mode in the follower's file in config/users")
        await asyncio.to_thread(self._set_mode, account, mode)
        return {"account": account, "mode": mode.value}

    async def reconcile(self, account: str | None) -> Json:
        if self._reconcile is None:
            raise NotOffered("this version cannot on demand: compare `python -m copytrade positions` with the venue")
        return dict(await self._reconcile(account) or {})

    async def flatten(self, account: str) -> Json:
        self._must_be_a_follower(account)
        if self._flatten is None:
            raise NotOffered("this version flattens all accounts together: use the kill switch with flatten")
        return dict(await self._flatten(account) or {})

    def _must_be_a_follower(self, account: str) -> None:
        if account not in self._engine.services.roster.followers:
            raise BadRequest(f"{account} is no follower's account")

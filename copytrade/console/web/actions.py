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
SetMode = Callable[..., object]
"""Of an account, a mode, and perhaps one instrument: writes a user's mode into the user files, whole or not at all;
slow, so it is called in a thread. Raises `CopyTradeError` with what to do."""


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

    async def set_mode(self, account: str, mode: Mode, instrument: str | None = None) -> Json:
        """Change the mode of one follower's account in its user file, or that of one instrument there."""
        ...

    async def reconcile(self, account: str | None, *, write_off: bool = False) -> Json:
        """Compare copied positions with the venue's, of one account or of all, and of one write off what is gone."""
        ...

    async def flatten(self, account: str, instrument: str | None = None) -> Json:
        """Close one follower's copied positions, or the one in an instrument, which is close-only from then on."""
        ...


class EngineActions:
    """The running system. What the engine does not offer yet is passed in as None."""

    def __init__(
        self,
        engine: Engine,
        set_mode: SetMode | None = None,
        reconcile: Callable[..., Any] | None = None,
        flatten: Callable[..., Any] | None = None,
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

    async def set_mode(self, account: str, mode: Mode, instrument: str | None = None) -> Json:
        self._must_be_a_follower(account)
        if self._set_mode is None:
            raise NotOffered("this version cannot: set its mode in the follower's file in config/users")
        if instrument is None:
            await asyncio.to_thread(self._set_mode, account, mode)
            return {"account": account, "mode": mode.value}
        await asyncio.to_thread(self._set_mode, account, mode, instrument)
        return {"account": account, "instrument": instrument, "mode": mode.value}

    async def reconcile(self, account: str | None, *, write_off: bool = False) -> Json:
        if self._reconcile is None:
            raise NotOffered("this version cannot on demand: compare `python -m copytrade positions` with the venue")
        if not write_off:
            return dict(await self._reconcile(account) or {})
        return dict(await self._reconcile(account, write_off=True) or {})

    async def flatten(self, account: str, instrument: str | None = None) -> Json:
        self._must_be_a_follower(account)
        if self._flatten is None:
            raise NotOffered("this version flattens all accounts together: use the kill switch with flatten")
        if instrument is None:
            return dict(await self._flatten(account) or {})
        notes: list[str] = []
        if self._set_mode is not None:
            try:
                await asyncio.to_thread(self._set_mode, account, Mode.CLOSE_ONLY, instrument)
            except (CopyTradeError, OSError) as error:  # what keeps that from being written keeps nothing from closing
                notes.append(f"that no entry follows could not be written into its file: {error}")
        return {**(await self._flatten(account, instrument) or {}), "notes": notes}

    def _must_be_a_follower(self, account: str) -> None:
        if account not in self._engine.services.roster.followers:
            raise BadRequest(f"{account} is no follower's account")

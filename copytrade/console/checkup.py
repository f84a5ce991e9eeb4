"""The check that the running worker makes by itself: soon after a start, and once a day. It tells only news.

What has been told is kept in `state/check_told.json`, so that a restart tells nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from copytrade.console.account_check import of_files
from copytrade.console.checking import check_running
from copytrade.domain.account import AccountId
from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.domain.errors import CopyTradeError
from copytrade.settings.notify import CheckSettings
from copytrade.wiring.system import System

log = logging.getLogger("copytrade.check")

TOLD_FILE = "check_told.json"
AFTER_START_S = 30.0  # what the last run left open, and the first signals, come first
_ACCOUNT_EVERY_S = 0.1  # ten accounts a second at most: a few dozen calls beside those of trading
_BUSY_WAIT_S = 0.05
_NAMED_MAX = 5  # accounts named where many have the same news

Line = tuple[str, str]  # account, and what is said of it


class Checkup:
    """Checks all accounts of a running system, in the background and in orders' way at no time."""

    def __init__(self, system: System, tell: Tell) -> None:
        self._system = system
        self._tell = tell
        self._path = system.paths.state / TOLD_FILE

    async def run(self, settings: CheckSettings) -> None:
        """Until cancelled."""
        await asyncio.sleep(AFTER_START_S if settings.at_start else settings.every_hours * 3600)
        while True:
            try:
                await self.once()
            except (CopyTradeError, OSError) as error:
                log.warning("the regular check could not be made: %s", error)
            if not settings.every_hours:
                return
            await asyncio.sleep(settings.every_hours * 3600)

    async def once(self) -> None:
        """Check everything and tell what is new since the last time. Raises `CopyTradeError` and `OSError`."""
        result = await check_running(self._system, None, None, self._turn)
        found = {(account, _essence(text)): text for account, text in self._lines(result)}
        told = await asyncio.to_thread(_read, self._path)
        for text, accounts in _grouped((key[0], found[key]) for key in found.keys() - told.keys()):
            self._tell(Alert(AlertKind.CHECK_NEWS, f"check: {_named(accounts)}: {text}", _only(accounts)))
        for text, accounts in _grouped((key[0], told[key]) for key in told.keys() - found.keys()):
            self._tell(Alert(AlertKind.CHECK_OVER, f"check: {_named(accounts)}: no longer so: {text}", _only(accounts)))
        if found != told:
            await asyncio.to_thread(_write, self._path, found)

    async def _turn(self) -> None:
        services = self._system.engine.services
        await asyncio.sleep(_ACCOUNT_EVERY_S)
        while services.sends_in_flight or services.ledger.state.unplanned:  # noqa: ASYNC110  (orders come first)
            await asyncio.sleep(_BUSY_WAIT_S)

    def _lines(self, result: dict[str, Any]) -> Iterable[Line]:
        """What a venue says of enabled accounts. What the files say the operator has written there."""
        for account in result["accounts"]:
            if not account["enabled"]:
                continue
            own = of_files(self._system.loaded, AccountId(account["account"]))
            known = {*own.warnings, *own.problems}
            for text in (*account["problems"], *account["warnings"]):
                if text not in known:
                    yield account["account"], text


def _grouped(lines: Iterable[Line]) -> list[tuple[str, list[str]]]:
    by_text: dict[str, list[str]] = {}
    for account, text in sorted(lines):
        by_text.setdefault(text, []).append(account)
    return sorted(by_text.items())


def _named(accounts: list[str]) -> str:
    if len(accounts) <= _NAMED_MAX:
        return ", ".join(accounts)
    return f"{', '.join(accounts[:_NAMED_MAX])} and {len(accounts) - _NAMED_MAX} more"


def _only(accounts: list[str]) -> AccountId | None:
    return AccountId(accounts[0]) if len(accounts) == 1 else None


def _essence(text: str) -> str:
    """A line without its figures: that an equity is still under a guard, by a little more, is no news."""
    return re.sub(r"\d[\d.,]*", "#", text)


def _read(path: Path) -> dict[Line, str]:
    """What has been told; nothing if the file is gone or damaged: then it is told again."""
    try:
        lines = [(str(account), str(text)) for account, text in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return {}
    return {(account, _essence(text)): text for account, text in lines}


def _write(path: Path, told: Mapping[Line, str]) -> None:
    spare = path.with_name(f".{path.name}.new")
    descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(sorted((account, text) for (account, _), text in told.items()), file, ensure_ascii=False, indent=0)
    os.replace(spare, path)

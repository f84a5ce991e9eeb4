"""What is told: one line of text, what it is about, and how grave it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import get_args

from copytrade.domain.account import MASTER_USER
from copytrade.settings.fields import VENUES
from copytrade.settings.notify import NotifyEvent, NotifyTarget


class Level(IntEnum):
    INFO = 0
    WARNING = 1
    ERROR = 2


EVENTS: tuple[str, ...] = get_args(NotifyEvent)
_ASKED_FOR = ("fills", "daily")  # told to whoever names them, whatever the level: somebody wants them


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. `account` is the follower's that it concerns; empty: it concerns everybody."""

    event: str
    level: Level
    text: str
    account: str = ""


# The first that is found in an alert's text says what it is about.
_ALERTS: tuple[tuple[str, str, Level], ...] = (
    (r"^kill switch: .* -> off$", "kill_switch", Level.WARNING),
    (r"kill switch", "kill_switch", Level.ERROR),
    (r"^check: .*: no longer so: ", "check", Level.INFO),
    (r"^check: ", "check", Level.WARNING),
    (r" is parked: ", "parked", Level.ERROR),
    (r" works again$", "parked", Level.INFO),
    (r"^an exit .* is held: |exits cannot be placed|could not be closed", "held", Level.ERROR),
    (r"^the held exit ", "held", Level.INFO),
    (r" has tripped \(", "limits", Level.ERROR),
    (r" is armed again \(", "limits", Level.INFO),
    (r"^drift: | was copied: .* is gone by ", "drift", Level.WARNING),
    (r" does not answer|stream of its orders is down|venue cannot be asked", "venue", Level.ERROR),
    (r"stream of its orders is up again|are seen again$", "venue", Level.INFO),
    (r" is not connected: ", "venue", Level.WARNING),
    (r"was refused|still refused|could not be cancelled", "failures", Level.WARNING),
    (r"^the ledger failed|a background task failed", "other", Level.ERROR),
)
_COMPILED = tuple((re.compile(pattern), event, level) for pattern, event, level in _ALERTS)
_ACCOUNT = re.compile(rf"\b(?:{'|'.join(VENUES)}):([a-z0-9][a-z0-9_-]{{0,63}})")


def of_alert(text: str) -> Notice:
    """The notice that an alert to the operator makes."""
    event, level = "other", Level.WARNING
    for pattern, about, grave in _COMPILED:
        if pattern.search(text):
            event, level = about, grave
            break
    named = {found.group(0) for found in _ACCOUNT.finditer(text)}
    one = next(iter(named)) if len(named) == 1 else ""
    return Notice(event, level, text, "" if one.endswith(f":{MASTER_USER}") else one)


def concerns(target: NotifyTarget, account: str) -> bool:
    """Whether the target is told of this follower; of what concerns everybody it always is."""
    if not account or not target.followers:
        return True
    return account in target.followers or account.partition(":")[2] in target.followers


def wants(target: NotifyTarget, notice: Notice) -> bool:
    """Whether the rules of a target let this through."""
    if target.events and notice.event not in target.events:
        return False
    asked_for = notice.event in _ASKED_FOR and notice.event in target.events
    return (asked_for or notice.level >= Level[target.level.upper()]) and concerns(target, notice.account)

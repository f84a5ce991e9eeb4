"""What is told: one line of text, what it is about, and how grave it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import get_args

from copytrade.domain.account import MASTER_USER, user_of
from copytrade.domain.alerts import Alert, AlertKind
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


_W, _E, _I = Level.WARNING, Level.ERROR, Level.INFO
TOLD_AS: dict[AlertKind, tuple[NotifyEvent, Level]] = {
    AlertKind.KILL_SWITCH_ON: ("kill_switch", _E), AlertKind.KILL_SWITCH_OFF: ("kill_switch", _W),
    AlertKind.FLATTENED: ("kill_switch", _E),
    AlertKind.LEDGER_FAILED: ("other", _E), AlertKind.TASK_FAILED: ("other", _E),
    AlertKind.RECORD_NOT_KEPT: ("other", _W), AlertKind.CANNOT_TELL: ("other", _W),
    AlertKind.PARKED: ("parked", _E), AlertKind.WORKS_AGAIN: ("parked", _I),
    AlertKind.LIMIT_TRIPPED: ("limits", _E), AlertKind.LIMIT_ARMED: ("limits", _I),
    AlertKind.JOINED: ("other", _W), AlertKind.LEFT_HOLDING: ("other", _W),
    AlertKind.CHECK_NEWS: ("check", _W), AlertKind.CHECK_OVER: ("check", _I),
    AlertKind.NOT_CONNECTED: ("venue", _W), AlertKind.VENUE_DOWN: ("venue", _E),
    AlertKind.OUTCOME_UNKNOWN: ("venue", _E), AlertKind.STREAM_DOWN: ("venue", _E), AlertKind.STREAM_UP: ("venue", _I),
    AlertKind.ORDERS_UNSEEN: ("venue", _E), AlertKind.ORDERS_SEEN: ("venue", _I),
    AlertKind.SCAN_STOPPED: ("venue", _W),
    AlertKind.EXIT_HELD: ("held", _E), AlertKind.EXIT_IMPOSSIBLE: ("held", _E),
    AlertKind.EXIT_TRIED_AGAIN: ("held", _I),
    AlertKind.ORDER_REFUSED: ("failures", _W), AlertKind.CANCEL_FAILED: ("failures", _W),
    AlertKind.FILLS_UNREADABLE: ("failures", _W), AlertKind.ORDER_STILL_OPEN: ("failures", _W),
    AlertKind.NOT_PLANNED: ("failures", _E), AlertKind.NOT_COPIED: ("failures", _W),
    AlertKind.REPAIRED: ("drift", _W), AlertKind.POSITION_GONE: ("drift", _W), AlertKind.SIZED_BY_SHARE: ("drift", _W),
    AlertKind.WRITTEN_OFF: ("drift", _W), AlertKind.TAKEN_BACK: ("other", _I),
    AlertKind.STRATEGY: ("other", _W), AlertKind.INDEPENDENT: ("other", _W),
}  # fmt: skip
"""What each kind of alert is told as. All kinds are in it: a test walks them."""


def of_alert(alert: Alert) -> Notice:
    """The notice that an alert to the operator makes. What is about the master's account concerns everybody."""
    event, level = TOLD_AS[alert.kind]
    about = alert.account
    return Notice(event, level, alert.text, "" if about is None or user_of(about) == MASTER_USER else about)


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
